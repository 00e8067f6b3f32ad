"""Mask2Former on ResNet-50 and Swin-B: one training step, inference, and backbones in the published format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import (
    PreTrainedModel,
    ResNetBackbone,
    ResNetConfig,
    ResNetForImageClassification,
    SwinBackbone,
    SwinConfig,
    SwinForImageClassification,
)

from seediff.segmenter.evaluate import load_segmenter, predict
from seediff.segmenter.mask2former import build
from seediff.segmenter.settings import SegmenterSettings, segmenter_settings
from seediff.segmenter.train import train
from tests.full_size.measured import measured

pytestmark = pytest.mark.full_size

CLASSES = ("background", *(f"class {label}" for label in range(1, 21)))
BACKBONES = ("resnet-50", "swin-base")
STAGES = ["stage1", "stage2", "stage3", "stage4"]


class NoisePairs:
    """One image of noise, with a square of the first class."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        labels = np.zeros((512, 512), np.uint8)
        labels[100:300, 100:300] = 1
        return noise(512, 512), labels


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module", params=BACKBONES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter after one step, as training leaves it."""
    folder = tmp_path_factory.mktemp(request.param, numbered=False)
    settings = segmenter_settings(request.param, pretrained=None, iterations=1, batch_size=1)
    measured(f"{request.param}: one step, one 512 x 512 crop", train_once, settings, folder)
    return folder


def train_once(settings: SegmenterSettings, folder: Path) -> None:
    train(NoisePairs(), settings, CLASSES, folder, folder / "state", rng_seed=0)


def test_one_step_leaves_a_segmenter(trained: Path) -> None:
    heading, row = (line.split(",") for line in (trained / "history.csv").read_text().splitlines())
    assert np.isfinite(float(row[heading.index("loss")]))


@pytest.mark.parametrize("width, window", [(512, 0), (683, 0), (683, 512)])
def test_prediction(trained: Path, width: int, window: int) -> None:
    labels = measured(f"{trained.name}: predict 512 x {width}, window {window}", predict_noise, trained, width, window)
    assert labels.shape == (1, 512, width) and labels.dtype == np.uint8
    assert labels.max() < len(CLASSES)


def predict_noise(folder: Path, width: int, window: int) -> NDArray[np.uint8]:
    segmenter = load_segmenter(folder)
    settings = segmenter_settings(**{**vars(segmenter.settings), "test_window": window})
    return predict(replace(segmenter, settings=settings), noise(512, width)[None])


def resnet_50(**more: Any) -> ResNetConfig:
    """As in microsoft/resnet-50."""
    return ResNetConfig(hidden_sizes=[256, 512, 1024, 2048], depths=[3, 4, 6, 3], layer_type="bottleneck", **more)


def swin_base(**more: Any) -> SwinConfig:
    """As in microsoft/swin-base-patch4-window12-384-in22k."""
    sizes: dict[str, Any] = {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "window_size": 12}
    return SwinConfig(image_size=384, num_labels=21841, **sizes, **more)


CHECKPOINTS = {
    "resnet-50": (resnet_50, ResNetForImageClassification, ResNetBackbone, "resnet."),
    "swin-base": (swin_base, SwinForImageClassification, SwinBackbone, "swin."),
}
"""Published configuration; the class that is published; the class without its classifier; the prefix of its names."""

PUBLISHED_NAMES = {
    "resnet-50": "resnet.encoder.stages.3.layers.2.layer.2.normalization.running_var",
    "swin-base": "swin.encoder.layers.3.blocks.1.attention.self.relative_position_bias_table",
}
"""The name of a late tensor in the file on the hub."""


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("kind", ["classifier", "backbone"])
def test_pretrained_weights_arrive(tmp_path: Path, backbone: str, kind: str) -> None:
    compared = measured(f"{backbone}: save and load a {kind}", save_and_load, backbone, kind, tmp_path)
    print(f"{compared} tensors are equal")
    assert compared > 300
    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        names = {*stored.keys()}
    assert kind == "backbone" or PUBLISHED_NAMES[backbone] in names


def save_and_load(backbone: str, kind: str, folder: Path) -> int:
    """Every tensor of the published part must be in the segmenter's encoder; returns how many there are."""
    config, classifier_class, backbone_class, prefix = CHECKPOINTS[backbone]
    torch.manual_seed(1)
    source = perturbed(
        classifier_class(config()) if kind == "classifier" else backbone_class(config(out_features=STAGES))
    )
    source.save_pretrained(folder)
    torch.manual_seed(2)
    model = build(segmenter_settings(backbone, pretrained=str(folder)), len(CLASSES))
    arrived, expected = (
        {name.removeprefix(prefix): tensor for name, tensor in network.state_dict().items()}
        for network in (model.model.pixel_level_module.encoder, source)
    )
    shared = expected.keys() & arrived.keys()
    assert all(name.startswith("classifier.") for name in expected.keys() - shared)
    assert all(torch.equal(arrived[name], expected[name]) for name in shared)
    for name in arrived.keys() - shared:  # norms that a classifier lacks start as the identity
        assert name.startswith("hidden_states_norms.") and (arrived[name] == name.endswith("weight")).all()
    return len(shared)


@torch.no_grad()
def perturbed(model: PreTrainedModel) -> PreTrainedModel:
    """Change every tensor, or unloaded ones and zeros would look as if loaded."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor += 0.01 * torch.rand_like(tensor)
    return model
