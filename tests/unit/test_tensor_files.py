"""Safetensors files with wrong headers or metadata: refused in a line, by every reader."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from seediff.adaptation.adapter import _read
from seediff.attention.maps import AttentionMaps
from seediff.errors import SeediffError
from seediff.files.seals import seal
from seediff.masks.shards import read_score
from seediff.training.checkpoint import History, _contents, load_state, load_tensors, save_state
from seediff.workflow.status import _iteration

DEEP = "[" * 100_000
READERS: dict[str, Callable[[Path], Any]] = {
    "model": lambda path: load_tensors(path, "The model"),
    "maps": AttentionMaps.load,
    "adapter": _read,
    "score": lambda path: read_score(path.read_bytes(), "x", "caa"),
}
KEYS = ("seediff", "attention_maps", "lora_adapter_metadata")


def headed(header: str) -> bytes:
    return len(header.encode()).to_bytes(8, "little") + header.encode() + bytes(64)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("header", ["[]", "3", "{", DEEP, '{"a": []}', f'{{"a": {DEEP}', '{"__metadata__": 3}', ""])
def test_a_header_that_is_none(name: str, header: str, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(headed(header))
    with pytest.raises(SeediffError):
        READERS[name](tmp_path / "x.safetensors")
    assert _iteration(tmp_path / "x.safetensors") == 0


@pytest.mark.parametrize("name", ["model", "maps", "adapter"])
@pytest.mark.parametrize("content", ["[]", "3", "null", '"x"', "{", DEEP, "9" * 5000])
def test_metadata_that_are_none(name: str, content: str, tmp_path: Path) -> None:
    tensors = {"unet.a.lora_A.weight": torch.zeros(1)}
    (tmp_path / "x.safetensors").write_bytes(save(tensors, dict.fromkeys(KEYS, content)))
    with pytest.raises(SeediffError):
        READERS[name](tmp_path / "x.safetensors")
    assert _iteration(tmp_path / "x.safetensors") == 0


@pytest.mark.parametrize("name", ["model", "maps", "adapter"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(SeediffError, match="not a regular file"):
        READERS[name](tmp_path / "x.safetensors")


@pytest.mark.parametrize("name", ["model", "maps", "adapter"])
def test_a_name_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="too long"):
        READERS[name](tmp_path / ("x" * 300 + ".safetensors"))


def sealed(path: Path, tensors: dict[str, torch.Tensor], about: Any) -> None:
    """As an attacker can write it."""
    named = {"file": path.name, "about": about}
    content = {**named, "seal": seal(path.name, _contents(tensors, named))}
    path.write_bytes(save(tensors, {"seediff": json.dumps(content)}))


@pytest.mark.parametrize("about", [[], None, 3, {}, {"run": []}])
def test_a_training_state_that_says_nothing_is_anothers(about: Any, tmp_path: Path) -> None:
    sealed(tmp_path / "state.safetensors", {"model/weight": torch.zeros(1, 1)}, about)
    model = torch.nn.Linear(1, 1)
    assert load_state(tmp_path / "state.safetensors", "run", model, torch.optim.AdamW(model.parameters())) is None


@pytest.mark.parametrize("lost", ["iteration", "history", "model", "optimizer"])
def test_a_training_state_of_this_run_that_does_not_fit(lost: str, tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    path = tmp_path / "state.safetensors"
    save_state(path, "run", History(1, []), model, optimizer)
    tensors, about = load_tensors(path, "The state")
    about.pop(lost, None)
    if lost == "model":
        tensors.pop("model/weight")
    if lost == "optimizer":
        tensors["optimizer/x/y"] = torch.zeros(1)
    sealed(path, tensors, about)
    with pytest.raises(SeediffError, match="does not fit this training"):
        load_state(path, "run", model, optimizer)
