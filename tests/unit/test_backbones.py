"""Backbones that are taught to name pictograms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seediff.embedded import backbones
from seediff.embedded.backbones import LESSONS, Lessons, Named, average_precision, present, scene, teach
from seediff.embedded.vocabulary import CLASSES
from seediff.segmenter.backbones import load_pretrained
from seediff.segmenter.mask2former import backbone, build
from seediff.segmenter.settings import segmenter_settings
from seediff.training.loop import Trainer
from tests.conftest import ROOT

SHORT = Lessons(4, batch_size=4, checkpoint_every=2)
TINY = {"queries": 4, "points": 32}


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "HELD_OUT", 60)


@pytest.mark.parametrize("name", LESSONS)
def test_a_stopped_call_goes_on_to_the_same_bytes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teach(name, tmp_path / "straight", tmp_path / "state", SHORT, 5)
    step = Trainer.step

    def dying(self: Trainer, *batch: torch.Tensor) -> None:
        if self.iteration == 3:
            raise KeyboardInterrupt
        step(self, *batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "step", dying)
        teach(name, tmp_path / "resumed", tmp_path / "state", SHORT, 5)
    torch.rand(3)
    teach(name, tmp_path / "resumed", tmp_path / "state", SHORT, 5)
    straight, resumed = (
        {path.name: path.read_bytes() for path in (tmp_path / part).iterdir()} for part in ("straight", "resumed")
    )
    assert straight == resumed and {*straight} == {"config.json", "model.safetensors", "taught.json"}
    settings = segmenter_settings(name, pretrained=str(tmp_path / "straight"), **TINY)
    found, taught = backbone(build(settings, 5)).state_dict(), load_file(tmp_path / "straight" / "model.safetensors")
    sums = [sorted(float(tensor.double().sum()) for tensor in tensors.values()) for tensors in (found, taught)]
    assert sums[0] == pytest.approx(sums[1])


def test_a_class_is_present_if_it_is_seen() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[0, :23], labels[1:9], labels[40:] = 1, 3, 255
    assert present(labels).tolist() == [0.0, 0.0, 1.0] + [0.0] * 7


def test_every_class_and_domain_is_taught() -> None:
    lesson = Named("resnet-mini", 0)
    seen = torch.stack([lesson[number][1] for number in range(120)])
    assert (seen.sum(0) > 5).all() and (seen.sum(1) > 1).any()
    image, again = lesson[3], lesson[3]
    assert torch.equal(image[0], again[0]) and image[0].shape == (64, 64, 3)
    street = scene(np.random.default_rng(0), 2)[1]
    assert (street[:20] == 0).all() and street.max() > 0


def test_average_precision_is_that_of_a_ranking() -> None:
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.array([4.0, 1.0, 3.0, 2.0]), truth) == 1.0


@pytest.mark.parametrize("name", [folder.name for folder in sorted((ROOT / "assets/backbones").iterdir())])
def test_shipped_backbones_are_loaded_and_name_what_they_see(name: str) -> None:
    folder = ROOT / "assets/backbones" / name
    about = json.loads((folder / "taught.json").read_text())
    assert about["mean_average_precision"] > 0.9
    assert f"--backbone {name}" in about["command"] and about["iterations"] == LESSONS[name].iterations
    settings = segmenter_settings(name, pretrained=str(folder), **TINY)
    model = build(settings, len(CLASSES) + 1)
    fresh = build(replace(settings, pretrained=None), len(CLASSES) + 1)
    load_pretrained(backbone(fresh), settings)
    assert all(weight.dtype == torch.float32 for weight in backbone(model).parameters())
