"""Hostile model folders: no pickle is opened, and no code in a model's folder is run."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.fuzz.sandbox import sandbox

pytestmark = pytest.mark.fuzz

MODEL = ROOT / "assets" / "pictograms"
CODE = "from pathlib import Path\nPath('pwned').touch()\n"
WEIGHTS = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, (CODE,)


def test_the_bomb_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Bomb()))
    assert Path("pwned").exists()


def refused(change: Callable[[Path], None]) -> str:
    """The message about a copy of the embedded model that ``change`` has changed."""
    with sandbox() as box:
        shutil.copytree(MODEL, "model")
        change(box.folder / "model")
        options = ("--class", "cat", "--number", "1", "--steps", "1", "--guidance-scale", "2", "--output", "out")
        code, said = box.seediff("generate", "--model", "./model", *options)
        assert code == 1 and not list(box.top.rglob("pwned")) and not list(Path("out").rglob("*.png"))
        return said


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_pickle_under_the_name_of_safetensors(name: str) -> None:
    def change(model: Path) -> None:
        (model / f"{name}.safetensors").write_bytes(pickle.dumps(Bomb()))

    assert "No diffusion pipeline" in refused(change)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("suffix", ["bin", "ckpt", "pt"])
def test_weights_that_are_a_pickle(name: str, suffix: str) -> None:
    def change(model: Path) -> None:
        (model / f"{name}.safetensors").unlink()
        stem = name.replace("text_encoder/model", "text_encoder/pytorch_model")
        (model / f"{stem}.{suffix}").write_bytes(pickle.dumps(Bomb()))

    assert "No diffusion pipeline" in refused(change)


def with_index(**parts: Any) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        path = model / "model_index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))
        for folder in (model, *(part for part in model.iterdir() if part.is_dir()), model.parent):
            (folder / "evil.py").write_text(f"{CODE}\nclass Evil:\n    pass\n")

    return change


@pytest.mark.parametrize(
    "parts",
    [
        {"unet": ["evil", "Evil"]},
        {"scheduler": ["evil", "Evil"]},
        {"more": ["evil", "Evil"]},
        {"unet": ["os", "system"]},
        {"unet": ["diffusers", "DiffusionPipeline"]},
        {"text_encoder": ["transformers", "AutoModel"]},
        {"unet": ["diffusers"]},
        {"unet": ["diffusers", None]},
        {"unet": [["evil"], "Evil"]},
    ],
)
def test_parts_of_other_origin(parts: Any) -> None:
    assert "which is not run" in refused(with_index(**parts))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: (model / "model_index.json").write_text("[]"),
        lambda model: (model / "model_index.json").write_text("[" * 100_000),
        lambda model: (model / "model_index.json").write_bytes(b"\xff"),
        lambda model: (model / "unet" / "config.json").write_text("{"),
        lambda model: (model / "unet" / "config.json").write_text("[]"),
        lambda model: (model / "tokenizer" / "tokenizer.json").write_text("{}"),
        lambda model: (model / "scheduler" / "scheduler_config.json").write_bytes(b""),
        lambda model: (model / "text_encoder" / "config.json").write_text('{"hidden_size": "x"}'),
        lambda model: (model / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 100),
    ],
)
def test_parts_that_make_no_sense(change: Callable[[Path], None]) -> None:
    refused(change)


def test_code_that_nothing_asks_for_is_not_run() -> None:
    """A pipeline's own name, and classes that a configuration names, are ignored."""

    def change(model: Path) -> None:
        with_index(_class_name=["evil", "Evil"], custom_pipeline="evil")(model)
        for file, key in (
            ("text_encoder/config.json", "AutoModel"),
            ("tokenizer/tokenizer_config.json", "AutoTokenizer"),
        ):
            path = model / file
            path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {key: "evil.Evil"}}))
        (model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")

    refused(change)
