"""Hostile safetensors files: weights, training states, attention maps, adapters and scores are read or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from seediff.adaptation.adapter import _read
from seediff.attention.maps import AttentionMaps
from seediff.errors import SeediffError
from seediff.masks.shards import read_score
from seediff.training.checkpoint import History, load_state, load_tensors, save_state
from seediff.workflow.status import _iteration
from tests.fuzz.hostile import damaged, tampered
from tests.fuzz.sandbox import cases

pytestmark = pytest.mark.fuzz


def network() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Linear(2, 1)
    return model, torch.optim.AdamW(model.parameters())


def state() -> bytes:
    model, optimizer = network()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with TemporaryDirectory() as folder:
        save_state(Path(folder, "x.safetensors"), "run", History(1, [{"loss": 1.0}]), model, optimizer)
        return Path(folder, "x.safetensors").read_bytes()


def maps() -> bytes:
    text = {"text": "a cat", "tokens": ["a", "cat"], "spans": [[0, 1], [2, 5]], "names": [], "cut": [0, 0]}
    words = {"prompt": text, "latent_size": [2, 2]}
    tensors = {"cross_attention.2x2": torch.rand(4, 2), "self_attention.2x2": torch.rand(4, 4)}
    return save(tensors, {"attention_maps": json.dumps(words)})


FILES: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "weights": (state(), lambda path: load_tensors(path, "The model")),
    "state": (state(), lambda path: load_state(path, "run", *network())),
    "maps": (maps(), AttentionMaps.load),
    "adapter": (save({"unet.a.lora_A.weight": torch.zeros(2, 2)}, {"lora_adapter_metadata": "{}"}), _read),
    "score": (save({"caa": torch.rand(4, 4).half()}), lambda path: read_score(path.read_bytes(), "x", "caa")),
}
DEEP = "[" * 100_000
WORD = "format"
"""The key whose value transformers wants as a word, not as JSON."""


def parts(content: bytes) -> tuple[Any, bytes]:
    """The header, the JSON in its metadata as such, and the rest."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    about = header.get("__metadata__", {})
    header["__metadata__"] = {key: value if key == WORD else json.loads(value) for key, value in about.items()}
    return header, content[end:]


def whole(header: Any, rest: bytes) -> bytes:
    if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        about = header["__metadata__"]
        written = {
            key: value if (key, type(value)) == (WORD, str) else json.dumps(value) for key, value in about.items()
        }
        header = {**header, "__metadata__": written}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def read(name: str, content: bytes) -> bool:
    """Whether the file is read; if not it is refused in three lines."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        path.write_bytes(content)
        assert _iteration(path) >= 0
        try:
            FILES[name][1](path)
        except SeediffError as error:
            assert len(str(error).splitlines()) <= 3 and " object at 0x" not in str(error)
            return False
        return True


@pytest.mark.parametrize("name", FILES)
def test_a_sound_file(name: str) -> None:
    assert read(name, FILES[name][0]) and read(name, whole(*parts(FILES[name][0])))


@cases(300)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_header_that_was_tampered_with(name: str, data: st.DataObject) -> None:
    header, rest = parts(FILES[name][0])
    read(name, whole(data.draw(tampered(header)), rest))


@cases(100)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_damaged_file(name: str, data: st.DataObject) -> None:
    read(name, data.draw(damaged(FILES[name][0])))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("header", ["[]", "3", "null", "{", DEEP, f'{{"__metadata__": {{"seediff": "{DEEP}"}}}}'])
def test_a_header_that_is_none(name: str, header: str) -> None:
    assert not read(name, len(header).to_bytes(8, "little") + header.encode() + bytes(8))
