"""Folders of trained segmenters: what transformers makes of them, and what they hold for other architectures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, Mask2FormerForUniversalSegmentation

from seediff.embedded.scenes import natural_scene
from seediff.segmenter.backbones import normalize
from seediff.segmenter.cotraining import paired
from seediff.segmenter.evaluate import Segmenter, _resized, load_segmenter, padded_scores, predict
from seediff.segmenter.folders import write_segmenter
from seediff.segmenter.registry import architecture_of
from seediff.segmenter.settings import SegmenterSettings, segmenter_settings

CLASSES = ("background", "cat", "potted plant", "train")
SETTINGS = segmenter_settings("resnet-mini", queries=12, points=32)
HISTORY = [{"loss": 1.0}]
MODELS = {
    "resnet": SETTINGS,
    "swin": segmenter_settings("swin-mini", queries=12, points=32),
    "resized": replace(SETTINGS, test_edge=64),
}


def segmenter(settings: SegmenterSettings, rng_seed: int = 3) -> Segmenter:
    """An untrained segmenter that is sure of what it says, so that its maps have several classes."""
    torch.manual_seed(rng_seed)
    architecture = architecture_of(settings)
    model = architecture.build(settings, len(CLASSES)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith(("class_predictor", "classifiers")):
                weight *= 30
    return Segmenter(architecture, model, settings, CLASSES)


def scenes(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Eight scenes of that width and height."""
    drawn = [natural_scene(np.random.default_rng(k), ["cat", "train"]).image for k in range(8)]
    return np.stack([np.asarray(Image.fromarray(image).resize(size)) for image in drawn])


def opened(folder: Path) -> tuple[Any, Any]:
    """The model and the image processor that transformers finds in a folder."""
    model, about = Mask2FormerForUniversalSegmentation.from_pretrained(folder, output_loading_info=True)
    assert not any(about.values()), about
    return model.eval(), AutoImageProcessor.from_pretrained(folder)


@pytest.mark.parametrize(
    "name, size, rng_seed", [("resnet", (64, 64), 3), ("swin", (64, 64), 2), ("resized", (50, 75), 3)]
)
def test_transformers_gives_the_workflows_own_map(
    name: str, size: tuple[int, int], rng_seed: int, tmp_path: Path
) -> None:
    """But for a few pixels in a thousand of a resized image: transformers takes its scores on a grid of 384 x 384."""
    ours = segmenter(MODELS[name], rng_seed)
    write_segmenter(tmp_path, ours.model, ours.settings, CLASSES, {}, HISTORY)
    model, processor = opened(tmp_path)
    images = scenes(size)
    inputs = processor([*images], return_tensors="pt")
    with torch.inference_mode():
        found = processor.post_process_semantic_segmentation(model(inputs.pixel_values), [size[::-1]] * len(images))
    expected = predict(ours, images)
    assert all((expected == label).mean() > 0.02 for label in np.unique(expected)[:2]) and len(np.unique(expected)) > 2
    differ = torch.stack(found).numpy() != expected
    assert differ.mean() <= (0.002 if name == "resized" else 0)


@pytest.mark.parametrize("size", [(64, 64), (50, 75), (100, 70)])
def test_the_processor_prepares_images_as_prediction_does(size: tuple[int, int], tmp_path: Path) -> None:
    ours = segmenter(MODELS["resized"])
    write_segmenter(tmp_path, ours.model, ours.settings, CLASSES, {}, HISTORY)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    images = scenes(size)
    found = processor([*images], return_tensors="pt").pixel_values
    expected = normalize(torch.from_numpy(_resized(images, 64)))
    assert found.shape == expected.shape and torch.allclose(found, expected, atol=1e-5)


def test_labels_have_their_names_and_255_is_ignored(tmp_path: Path) -> None:
    ours = segmenter(SETTINGS)
    write_segmenter(tmp_path, ours.model, SETTINGS, CLASSES, {}, HISTORY)
    model, processor = opened(tmp_path)
    assert model.config.id2label == dict(enumerate(CLASSES)) and model.config.label2id["train"] == 3
    labels = np.full((64, 64), 255, np.uint8)
    labels[:20] = 2
    inputs = processor(scenes((64, 64))[0], segmentation_maps=labels, return_tensors="pt")
    assert inputs.class_labels[0].tolist() == [2] and inputs.mask_labels[0].sum() == 20 * 64


@pytest.mark.parametrize("architecture", ["pixel", "pair"])
def test_other_architectures_have_names_and_a_processor_too(architecture: str, tmp_path: Path) -> None:
    single = segmenter(replace(SETTINGS, architecture="pixel"))
    about = {}
    if architecture == "pair":
        both = paired(single.architecture)
        single = replace(single, architecture=both, model=both.build(single.settings, len(CLASSES)).eval())
        about = {"robust": {}}
    write_segmenter(tmp_path, single.model, single.settings, CLASSES, about, HISTORY)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"] == {str(k): name for k, name in enumerate(CLASSES)} and "model_type" not in config
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    images, loaded = scenes((64, 64)), load_segmenter(tmp_path)
    pixels = processor([*images], return_tensors="pt").pixel_values
    with torch.inference_mode():
        labels = padded_scores(loaded, pixels).argmax(1).numpy()
    assert (labels != predict(loaded, images)).mean() < 1e-4
    assert loaded.classes == CLASSES
    with pytest.raises((ValueError, OSError)):
        AutoConfig.from_pretrained(tmp_path)


def test_a_folder_is_the_same_bytes_again_and_holds_no_pickle(tmp_path: Path) -> None:
    ours = segmenter(SETTINGS)
    for name in ("models/a/b/0", "again/models/a/b/0"):
        write_segmenter(tmp_path / name, ours.model, SETTINGS, CLASSES, {}, HISTORY)
    parts = (tmp_path / "models", tmp_path / "again")
    first, again = ({path.name: path.read_bytes() for path in part.rglob("*.*")} for part in parts)
    assert first == again
    assert {*first} == {"segmenter.json", "config.json", "preprocessor_config.json", "model.safetensors", "history.csv"}
