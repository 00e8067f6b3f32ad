"""Semantic inference against a slow reference, and the confusion matrix."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from seediff.datasets.imagenet_s import NAMES
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.files.sealed import write_json
from seediff.segmenter import evaluate, mask2former
from seediff.segmenter.backbones import normalize
from seediff.segmenter.evaluate import Segmenter, _window_starts, confusion, load_segmenter, padded_scores, predict
from seediff.segmenter.folders import write_segmenter
from seediff.segmenter.metrics import miou
from seediff.segmenter.settings import as_json, segmenter_settings
from tests.stages import read_spec, run_stage

SETTINGS = segmenter_settings("resnet-mini", queries=5, points=32)
CLASSES = ("background", "a", "b", "c")


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    model = mask2former.build(SETTINGS, len(CLASSES)).eval()
    with torch.no_grad():  # untrained queries all predict the same: let them differ, so that pixels do
        model.model.pixel_level_module.decoder.mask_projection.weight *= 20
        model.class_predictor.weight *= 100
        logits = model(pixel_values=normalize(torch.from_numpy(images(2, 64, 64)))).class_queries_logits
        model.class_predictor.bias -= logits.mean((0, 1))
    return Segmenter(mask2former.ARCHITECTURE, model, SETTINGS, CLASSES)


def images(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8)


def test_predict_is_mask2formers_semantic_inference(segmenter):
    batch = images(2, 40, 50)
    padded = torch.zeros(2, 3, 64, 64)
    padded[:, :, :40, :50] = normalize(torch.from_numpy(batch))
    with torch.no_grad():
        output = segmenter.model(pixel_values=padded)
    masks = F.interpolate(output.masks_queries_logits, (64, 64), mode="bilinear")[:, :, :40, :50].sigmoid()
    scores = np.zeros((2, 4, 40, 50))
    for image in range(2):
        for query in range(5):
            probabilities = output.class_queries_logits[image, query].softmax(0)
            for label in range(4):
                scores[image, label] += (probabilities[label] * masks[image, query]).double().numpy()
    predicted = predict(segmenter, batch)
    assert predicted.shape == (2, 40, 50) and predicted.dtype == np.uint8
    assert len(np.unique(predicted)) > 1
    best = np.sort(scores, 1)
    clear = best[:, -1] - best[:, -2] > 1e-5
    assert clear.mean() > 0.9 and (predicted == scores.argmax(1))[clear].all()


def test_the_test_edge_changes_the_resolution_not_the_size(segmenter):
    larger = replace(segmenter, settings=segmenter_settings("resnet-mini", test_edge=70))
    assert predict(larger, images(1, 40, 50)).shape == (1, 40, 50)


def test_windows_cover_the_image_and_overlap():
    for length, side in ((64, 32), (65, 32), (32, 32), (20, 32), (2048, 512)):
        starts = _window_starts(length, side)
        assert starts[0] == 0 and starts[-1] == max(length - side, 0)
        assert all(0 < later - earlier <= side // 2 for earlier, later in pairwise(starts))


def test_scores_of_windows_are_averaged(segmenter):
    picture = images(1, 32, 48)
    pixels = normalize(torch.from_numpy(picture))
    with torch.no_grad():
        left, right = padded_scores(segmenter, pixels[..., :32]), padded_scores(segmenter, pixels[..., 16:])
    total = torch.zeros(1, 4, 32, 48)
    total[..., :32] += left
    total[..., 16:] += right
    total[..., 16:32] /= 2
    by_window = replace(segmenter, settings=replace(SETTINGS, test_window=32))
    assert np.array_equal(predict(by_window, picture)[0], total[0].argmax(0).numpy())
    assert not np.array_equal(predict(by_window, picture), predict(segmenter, picture))
    small = images(2, 32, 32)
    assert np.array_equal(predict(by_window, small), predict(segmenter, small))


def test_predict_does_not_depend_on_the_batch(segmenter):
    batch = images(3, 32, 32)
    assert np.array_equal(
        predict(segmenter, batch), np.concatenate([predict(segmenter, image[None]) for image in batch])
    )


def test_confusion_counts_pixels_row_truth_column_prediction(segmenter, monkeypatch):
    pictures = [*images(3, 32, 32), *images(2, 32, 40)]
    rng = np.random.default_rng(1)
    truths = [rng.choice([0, 1, 2, 3, 255], picture.shape[:2]).astype(np.uint8) for picture in pictures]
    samples = [(f"s{i}", picture, truth) for i, (picture, truth) in enumerate(zip(pictures, truths, strict=True))]
    expected = np.zeros((4, 4), int)
    for picture, truth in zip(pictures, truths, strict=True):
        for t, p in zip(truth.ravel(), predict(segmenter, picture[None]).ravel(), strict=True):
            if t != 255:
                expected[t, p] += 1
    for pixels in (1, 2 * 32 * 32, 10**6):
        monkeypatch.setattr(evaluate, "BATCH_PIXELS", pixels)
        assert np.array_equal(confusion(segmenter, iter(samples)), expected)


def test_a_label_beyond_the_classes_names_the_sample(segmenter):
    picture = images(1, 32, 32)[0]
    with pytest.raises(SeediffError, match="street_17 hold 4"):
        confusion(segmenter, [("street_17", picture, np.full((32, 32), 4, np.uint8))])
    with pytest.raises(SeediffError, match="street_18"):
        confusion(segmenter, [("street_18", picture, np.zeros((16, 16), np.uint8))])


@pytest.fixture
def folder(segmenter, tmp_path):
    write_segmenter(tmp_path, segmenter.model, SETTINGS, CLASSES, {}, [{"loss": 1.0}])
    return tmp_path


def test_a_loaded_segmenter_predicts_the_same(segmenter, folder):
    batch = images(1, 32, 32)
    assert np.array_equal(predict(load_segmenter(folder), batch), predict(segmenter, batch))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100]),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "segmenter.json").unlink(),
        lambda folder: write_json(folder / "segmenter.json", {}),
        lambda folder: write_json(
            folder / "segmenter.json", {"settings": as_json(segmenter_settings("swin-mini")), "classes": CLASSES}
        ),
    ],
)
def test_a_broken_segmenter_is_an_error(folder, spoil):
    spoil(folder)
    with pytest.raises(SeediffError, match="could not be read"):
        load_segmenter(folder)


def test_a_segmenter_of_other_classes_is_not_evaluated(folder, tmp_path):
    write_domain("voc", tmp_path / "voc", train=1, val=1, rng_seed=0)
    names = {"recipe": "a", "segmenter": "b", "repeat": 0, "benchmark": "c", "model": None}
    spec = {**names, "format": "voc", "folder": str(tmp_path / "voc"), "split": "val", "classes": ["car", "cat", "bus"]}
    with pytest.raises(SeediffError, match="other classes"):
        run_stage(
            "evaluate",
            read_spec("evaluate", json.dumps(spec)),
            folder,
            tmp_path / "metrics.json",
            tmp_path / "metrics.npz",
        )
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("subset", [50, 300, 919])
def test_a_benchmark_of_more_classes_than_a_byte_has_labels(subset, tmp_path):
    """ImageNet-S through the stage's own specification, against counting by hand."""
    classes = ["background", *NAMES[subset].values()]
    torch.manual_seed(0)
    model = mask2former.build(SETTINGS, len(classes)).eval()
    high = classes.index("television")  # above a byte in the largest, and what all pixels are predicted as
    with torch.no_grad():
        model.class_predictor.bias[high] += 100
    write_segmenter(tmp_path, model, SETTINGS, classes, {}, [{"loss": 1.0}])
    format, folder = f"imagenet_s{subset}", tmp_path / "imagenet"
    write_domain(format, folder, train=1, val=5, rng_seed=0)
    names = {"recipe": "a", "segmenter": "b", "repeat": 0, "benchmark": "c", "model": None}
    spec = {**names, "format": format, "folder": str(folder), "split": "val", "classes": classes[1:]}
    run_stage(
        "evaluate",
        read_spec("evaluate", json.dumps(spec)),
        tmp_path,
        tmp_path / "metrics.json",
        tmp_path / "metrics.npz",
    )
    found = np.array(json.loads((tmp_path / "metrics.json").read_text())["confusion"])
    expected = np.zeros_like(found)
    for path in (folder / "validation-segmentation").rglob("*.png"):
        red, green, _ = np.asarray(Image.open(path)).astype(int).transpose(2, 0, 1)
        for value in (red + 256 * green).ravel():
            if value != 1000:
                expected[value, high] += 1
    assert np.array_equal(found, expected) and np.count_nonzero(found) == 6
    assert miou(found, [high]) == found[high, high] / found.sum()
