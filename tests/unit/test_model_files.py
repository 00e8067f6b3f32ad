"""Models by reference: which files are read, how models are told apart, and what a hub id stands for."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline

import seediff
from seediff.cli import main
from seediff.diffusion import model_files
from seediff.diffusion.model_files import (
    hub_commit,
    identity,
    is_hub_id,
    network_files,
    pipeline_files,
    split_reference,
    weights_checksum,
)
from seediff.errors import SeediffError
from tests.conftest import ROOT

MODEL = ROOT / "assets" / "pictograms"
COMMIT, OTHER = "0123456789" * 4, "a" * 40
SCHEDULER = "scheduler/scheduler_config.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the embedded model, to be edited."""
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's cache of the hub, with the embedded model as 'somebody/model', and no network."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    put_on_hub(cache, COMMIT)
    return cache


def put_on_hub(cache: Path, commit: str) -> Path:
    """Make the commit the newest of 'somebody/model'; returns its files' folder."""
    folder = cache / "models--somebody--model"
    shutil.copytree(MODEL, folder / "snapshots" / commit)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def set_prediction_type(folder: Path, kind: str) -> None:
    path = folder / SCHEDULER
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": kind}))


def test_a_file_whose_name_is_no_utf_8_counts_too(model: Path) -> None:
    before = identity(model)
    (model / "tokenizer" / os.fsdecode(b"caf\xe9.json")).write_text("{}")
    assert identity(model)["configuration"] != before["configuration"]


def test_every_file_of_the_embedded_model_is_read() -> None:
    assert pipeline_files(MODEL) == sorted(
        (path for path in MODEL.rglob("*") if path.is_file()), key=lambda path: (path.parent != MODEL, path)
    )


def test_files_that_nobody_reads_are_no_part_of_a_model(model: Path) -> None:
    before, files = identity(model), pipeline_files(model)
    (model / "safety_checker").mkdir()
    unread = "whole.safetensors", "README.md", "unet/diffusion_pytorch_model.fp16.safetensors", "unet/model.bin"
    for name in (*unread, "safety_checker/model.safetensors"):
        (model / name).write_bytes(b"x")
    assert identity(model) == before and pipeline_files(model) == files


def test_a_network_is_a_file_or_a_folder_of_files(model: Path) -> None:
    names = {path.name for path in network_files(model / "unet")}
    assert names == {"config.json", "diffusion_pytorch_model.safetensors"}
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    assert network_files(weights) == [weights] and network_files(model / "nowhere") == []


def test_a_model_is_the_same_wherever_it_lies(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    assert identity("model") == identity(model) == identity(MODEL)
    assert identity(MODEL)["weights"] == weights_checksum(MODEL)


def test_the_embedded_model_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert identity("pictograms") == identity(MODEL)
    assert seediff.load("pictograms").unet.config == seediff.load(MODEL).unet.config
    (tmp_path / "pictograms").mkdir()
    with pytest.raises(SeediffError, match="has no model_index"):
        seediff.load("./pictograms")


def test_an_installation_may_lack_the_embedded_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "__file__", str(tmp_path / "seediff" / "diffusion" / "model_files.py"))
    with pytest.raises(SeediffError, match="The model 'pictograms' is missing from this installation"):
        seediff.load("pictograms")


@pytest.mark.parametrize(
    ("file", "kind"), [(SCHEDULER, "configuration"), ("tokenizer/tokenizer.json", "configuration"),
                       ("vae/diffusion_pytorch_model.safetensors", "weights")],
)  # fmt: skip
def test_any_changed_file_makes_another_model(model: Path, file: str, kind: str) -> None:
    before = identity(model)
    with (model / file).open("ab") as opened:
        opened.write(b" ")
    after = identity(model)
    assert {name for name in before if before[name] != after[name]} == {kind}


def test_an_adapter_is_part_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"a")
    assert identity(MODEL, tmp_path / "a.safetensors").keys() - identity(MODEL).keys() == {"adapter"}


def test_what_is_not_here_has_no_identity() -> None:
    with pytest.raises(SeediffError, match="There is no model assets/nothing on this machine"):
        identity("assets/nothing")


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("somebody/model", ("somebody/model", None)),
        ("somebody/model@v1", ("somebody/model", "v1")),
        ("./some@where", ("./some@where", None)),
        ("weights/r50@2.safetensors", ("weights/r50@2.safetensors", None)),
    ],
)
def test_a_reference_has_a_revision_if_it_is_of_the_hub(model: str, parts: tuple[str, str | None]) -> None:
    assert split_reference(model) == parts
    assert is_hub_id(model) == model.startswith("somebody")


def test_a_hub_id_stands_for_the_commit_in_the_cache(hub: Path) -> None:
    assert hub_commit("somebody/model") == COMMIT
    put_on_hub(hub, OTHER)
    assert hub_commit("somebody/model") == OTHER
    assert hub_commit(f"somebody/model@{COMMIT}") == COMMIT


def test_an_unknown_hub_id_without_network_stands_for_nothing(hub: Path) -> None:
    assert hub_commit("nobody/model") is None
    assert hub_commit("somebody/model@v1") is None


def test_a_commit_is_loaded_though_a_newer_one_is_there(hub: Path) -> None:
    set_prediction_type(put_on_hub(hub, OTHER), "epsilon")
    kinds = [
        seediff.load(name).scheduler.config.prediction_type for name in (f"somebody/model@{COMMIT}", "somebody/model")
    ]
    assert kinds == ["v_prediction", "epsilon"]
    assert identity(f"somebody/model@{COMMIT}") == identity(MODEL) != identity("somebody/model")


def test_a_model_is_downloaded_before_it_is_noted(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The index alone, which says how masks are made, is no model yet."""
    snapshot, output = hub / "models--somebody--model" / "snapshots" / COMMIT, tmp_path / "out"
    for part in snapshot.iterdir():
        if part.is_dir():
            shutil.rmtree(part)
    with pytest.raises(SeediffError, match="somebody/model has no weights in safetensors on this machine"):
        identity("somebody/model")
    (tmp_path / "set.yaml").write_text("model: somebody/model\nclasses: [cat]\nimages: 1\n")
    given = ["--config", str(tmp_path / "set.yaml"), "--output", str(output)]
    for line in (["dataset", "begin"], ["generate", "--processes", "2"]):
        assert main([*line, *given]) == 1
        assert "somebody/model is not a whole diffusion pipeline" in capsys.readouterr().err
        assert not output.exists()

    def download(*_: Any, **__: Any) -> Path:
        return shutil.copytree(MODEL, snapshot, dirs_exist_ok=True)

    monkeypatch.setattr(StableDiffusionPipeline, "download", download)
    assert main(["dataset", "begin", *given]) == 0
    assert json.loads((output / "settings.json").read_text())["checksums"] == identity(MODEL)
