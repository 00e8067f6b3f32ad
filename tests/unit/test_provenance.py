"""Every result says which weights it comes from, wherever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from seediff.diffusion.model_files import weights_checksum
from seediff.workflow.records import provenance
from seediff.workflow.study import load_study
from tests.conftest import ROOT
from tests.stages import spec_of


def weights(folder: Path, content: bytes) -> Path:
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "model.safetensors").write_bytes(content)
    return folder


def test_the_checksum_is_of_the_weights_and_their_names(tmp_path: Path) -> None:
    model, other = weights(tmp_path / "model", b"1"), weights(tmp_path / "other", b"2")
    assert weights_checksum(model) == weights_checksum(weights(tmp_path / "copy", b"1")) != weights_checksum(other)
    (model / "unet").rename(model / "vae")
    assert weights_checksum(model) != weights_checksum(tmp_path / "copy")


def test_a_hub_id_stands_for_the_files_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    assert provenance("somebody/model")["model"] == {"name": "somebody/model", "sha256": None}
    cached = tmp_path / "models--somebody--model"
    snapshot = weights(cached / "snapshots" / ("0" * 40), b"1")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    assert provenance("somebody/model")["model"]["sha256"] == weights_checksum(snapshot)


def test_what_is_no_hub_id_has_no_checksum() -> None:
    assert provenance("no/such/folder")["model"]["sha256"] is None


def test_results_of_drawn_images_name_the_model() -> None:
    study = load_study(ROOT / "config/studies/smoke.yaml")
    model = {recipe: spec_of("evaluate", study, recipe, "resnet", "0", "voc")["model"] for recipe in study.recipes}
    assert model["seediff"] == model["tuned"] == "assets/pictograms" and model["exact"] is None
