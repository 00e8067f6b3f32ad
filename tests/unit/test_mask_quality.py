"""Mask quality: the measures against naive ones, the baselines, and a measurement of the embedded model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seediff.attention.maps import ClassMaps
from seediff.datasets.benchmarks import open_benchmark
from seediff.diffusion.mask_quality import annotated_images, compare, distance_maps, measure
from seediff.diffusion.synthesis import load
from seediff.embedded.domains import write_domain
from seediff.embedded.vocabulary import CLASSES
from seediff.masks.judging import THRESHOLDS
from seediff.masks.refinement import Refinement
from seediff.masks.steps import centre_disc
from seediff.masks.variants import VARIANTS, resolve

MODEL = Path(__file__).parents[2] / "assets" / "pictograms"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_measures_against_naive_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    soft = rng.choice([0.01, 0.22, 0.31, 0.72, 0.99], size=(5, 6)).astype(np.float32)
    truth, valid = rng.random((5, 6)) < 0.4, rng.random((5, 6)) < 0.8
    truth[0, :2], valid[0, :2] = [True, False], True
    result = compare(soft, truth, valid, beta=0.3)
    inside = [float(value) for value, t, v in zip(soft.flat, truth.flat, valid.flat) if v and t]
    outside = [float(value) for value, t, v in zip(soft.flat, truth.flat, valid.flat) if v and not t]
    pairs = [(a > b) + 0.5 * (a == b) for a in inside for b in outside]
    assert result.auc == pytest.approx(np.mean(pairs))
    for threshold, iou in [(0.3, result.iou), *zip(THRESHOLDS, result.curve)]:
        hits, wrong = sum(v >= np.float32(threshold) for v in inside), sum(v >= np.float32(threshold) for v in outside)
        assert iou == pytest.approx(hits / max(len(inside) + wrong, 1))


def test_baselines_do_not_look_at_the_image() -> None:
    disc = centre_disc(None, ClassMaps({}, {}, 8))
    assert disc.max() <= 1 and disc[0, 0] == 0 and disc[3, 3] == disc[4, 4] == disc.max()
    maps = ClassMaps({4: torch.rand(4, 4)}, {4: torch.rand(16, 16)}, 4)
    blind = distance_maps(maps)
    assert blind.cross_attention is maps.cross_attention
    rows = blind.self_attention[4]
    assert torch.equal(rows, rows.T) and torch.all(rows.diagonal() == 1)
    assert rows[0, 1] == rows[0, 4] > rows[0, 5]  # aside is as far as down, and nearer than both


def test_the_prompt_has_the_words_that_stand_for_the_classes(tmp_path: Path) -> None:
    write_domain("voc", tmp_path / "voc", train=1, val=3, rng_seed=0)
    benchmark = open_benchmark("voc", tmp_path / "voc", "val", CLASSES)
    words = {name: f"small {name}" for name in CLASSES}
    for annotated in annotated_images(benchmark, words, 3, 64):
        named = [f"a small {name}" for name in CLASSES if name in annotated.classes]
        assert named and annotated.prompt == "a photo of " + " and ".join(named)


def test_every_class_has_the_place_of_its_own_word(tmp_path: Path) -> None:
    """Where one class's word is part of another's, or the same."""
    write_domain("voc", tmp_path / "voc", train=1, val=12, rng_seed=0)
    benchmark = open_benchmark("voc", tmp_path / "voc", "val", CLASSES)
    words = {name: ("bus", "school bus", "bus stop")[label % 3] for label, name in enumerate(CLASSES)}
    several = [image for image in annotated_images(benchmark, words, 12, 64) if len(image.classes) > 1]
    assert several
    for image in several:
        expected = "a photo of"
        for name, start in zip(image.classes, image.starts, strict=True):
            expected += f"{' and' if start > 13 else ''} a {words[name]}"
            assert start == len(expected) - len(words[name])
        assert image.prompt == expected


def test_a_measurement_of_the_embedded_model(tmp_path: Path) -> None:
    write_domain("voc", tmp_path / "voc", train=1, val=3, rng_seed=0)
    benchmark = open_benchmark("voc", tmp_path / "voc", "val", CLASSES)
    variants = {name: resolve(VARIANTS[name]) for name in ("ca_16", "seediff")}
    refinements = {"raw": Refinement(pamr=None, threshold=0.3)}

    def run(batch_size: int) -> dict:
        settings = {"images": 2, "timesteps": [200, 500], "rng_seed": 0, "batch_size": batch_size}
        return measure(load(MODEL), benchmark, {name: name for name in CLASSES}, variants, refinements, **settings)

    result = run(2)
    assert result["images"] == 2
    assert set(result["variants"]) == {"ca_16-raw", "seediff-raw", "centre_disc-raw", "distance-raw"}
    assert result["variants"]["ca_16-raw"]["auc"] > 0.85  # the class word's attention finds the object
    alone = run(1)
    for name, measured in result["variants"].items():
        assert alone["variants"][name]["iou_mean"] == pytest.approx(measured["iou_mean"], abs=0.02)
