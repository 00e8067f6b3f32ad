"""Reliability against a naive loop over pixels, and on its way from the refine stage into training sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save

from seediff.datasets.images import decode_mask, encode_png
from seediff.datasets.shards import Sample, read_shard, write_shard
from seediff.datasets.training_sets import RELIABILITY, assemble, assemble_real, load_training_set
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.masks.refinement import to_mask
from seediff.masks.reliability import as_levels, background_score, margin, mask_reliability, reliability
from tests.stages import run_stage

GRID = [k / 10 for k in range(11)]
MARGINS = arrays(np.float32, (4, 5), elements=st.sampled_from(GRID))
MASKS = arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 7, 255]))


def naive_reliability(margins: np.ndarray, mask: np.ndarray) -> np.ndarray:
    result = np.zeros(mask.shape)
    for place, label in np.ndenumerate(mask):
        if label != 255:
            same = [margins[other] for other, theirs in np.ndenumerate(mask) if theirs == label]
            result[place] = sum(margin <= margins[place] for margin in same) / len(same)
    return result


@settings(deadline=None)
@given(MARGINS, MASKS)
def test_reliability_is_the_rank_among_pixels_of_the_label(margins: np.ndarray, mask: np.ndarray) -> None:
    assert np.allclose(reliability(torch.from_numpy(margins), mask), naive_reliability(margins, mask))


@settings(deadline=None)
@given(st.integers(2, 1000), st.randoms())
def test_half_of_each_label_is_above_a_half(count: int, rng) -> None:
    """Without ties: of n pixels n / 2, rounded up, as levels too."""
    margins = list(range(count))
    rng.shuffle(margins)
    levels = as_levels(reliability(torch.tensor([margins], dtype=torch.float32), np.ones((1, count), np.uint8)))
    assert ((levels.astype(int) - 1) / 254 > 0.5).sum() == (count + 1) // 2
    assert levels.min() >= 2 and levels.max() == 255


@settings(deadline=None)
@given(arrays(np.float32, (3, 4, 5), elements=st.sampled_from(GRID)))
def test_the_margin_is_best_less_second_best(scores: np.ndarray) -> None:
    expected = np.zeros((4, 5))
    for place in np.ndindex(4, 5):
        second, best = sorted(scores[(slice(None), *place)])[-2:]
        expected[place] = best - second
    assert np.allclose(margin(torch.from_numpy(scores)).numpy(), expected)


def test_the_background_wins_where_the_mask_has_it() -> None:
    """As attn2mask's background 1 - a - beta does, with beta = 1 - 2 threshold."""
    score, threshold = torch.linspace(0, 1, 101)[None], 0.3
    background = background_score(score, threshold)
    assert torch.allclose(background, 1 - score - (1 - 2 * threshold), atol=1e-6)
    mask = torch.from_numpy(to_mask(score, 1, threshold))
    clear = (score - threshold).abs() > 1e-6
    assert ((background < score) == (mask == 1))[clear].all()


def test_pixels_without_a_label_are_at_the_lowest_level() -> None:
    score = torch.tensor([[0.1, 0.52, 0.55, 0.7, 0.9]])
    mask = to_mask(score, 3, 0.6, uncertain_from=0.5)
    assert mask_reliability(score, mask, 0.6).tolist() == [[255, 1, 1, 128, 255]]


def test_margins_have_the_masks_size() -> None:
    with pytest.raises(SeediffError, match="do not fit"):
        reliability(torch.zeros(3, 4), np.zeros((4, 3), np.uint8))


# --- from the refine stage to the training set -----------------------------------------------------------------------

REFINEMENT = {"pamr": None, "input": "soft", "threshold": 0.6, "pamr_threshold": 0.5, "uncertain_from": 0.5}
SPEC = {"classes": ["cat"], "variants": {"cat": "caa"}, "refinement": REFINEMENT}


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Three images of cats and their scores."""
    rng = np.random.default_rng(0)
    keys, about = [f"cat-{index:06d}" for index in range(3)], json.dumps({"class_name": "cat"}).encode()
    images = [rng.integers(0, 256, (8, 8, 3)).astype(np.uint8) for _ in keys]
    scores = [rng.random((8, 8)).astype(np.float16) for _ in keys]
    pictures = [{"png": encode_png(image), "json": about} for image in images]
    scored = [{"safetensors": save({"caa": score})} for score in scores]
    for name, files in (("images", pictures), ("scores", scored)):
        write_shard(tmp_path / f"{name}.tar", map(Sample, keys, files))
    return tmp_path


def refined(folder: Path, **more: bool) -> Path:
    run_stage("refine", {**SPEC, **more}, [folder / "images.tar"], [folder / "scores.tar"], folder / "masks.tar")
    return folder / "masks.tar"


def test_masks_carry_reliability_only_where_it_is_asked_for(drawn: Path) -> None:
    plain = list(read_shard(refined(drawn)))
    with_reliability = list(read_shard(refined(drawn, reliability=True)))
    assert [set(sample.files) for sample in plain] == 3 * [{"png"}]
    assert [set(sample.files) for sample in with_reliability] == 3 * [{"png", RELIABILITY}]
    for before, after in zip(plain, with_reliability, strict=True):
        assert before.files["png"] == after.files["png"]
        mask, levels = decode_mask(after.files["png"], ""), decode_mask(after.files[RELIABILITY], "")
        assert {0, 1, 255} == {*mask.ravel()} and (levels[mask == 255] == 1).all() and (levels[mask != 255] > 1).all()


def test_a_class_without_a_variant(drawn: Path) -> None:
    with pytest.raises(SeediffError, match="names no variant for the class 'cat'"):
        run_stage(
            "refine",
            {**SPEC, "variants": {"car": "caa"}},
            [drawn / "images.tar"],
            [drawn / "scores.tar"],
            drawn / "m.tar",
        )
    assert not (drawn / "m.tar").exists()


def test_uncertainty_is_numbered_like_the_pairs(drawn: Path) -> None:
    samples = list(read_shard(refined(drawn, reliability=True)))
    assemble([drawn / "images.tar"], [drawn / "masks.tar"], None, drawn / "set.json")
    pairs = load_training_set(drawn / "set.json")
    assert len(pairs.uncertainty) == 3
    for index, sample in enumerate(samples):
        image, uncertainty = pairs.uncertainty[index]
        assert np.array_equal(image, pairs[index][0])
        assert np.array_equal(uncertainty, 255 - decode_mask(sample.files[RELIABILITY], ""))


def test_masks_without_reliability_are_named(drawn: Path) -> None:
    refined(drawn)
    assemble([drawn / "images.tar"], [drawn / "masks.tar"], None, drawn / "set.json")
    with pytest.raises(SeediffError, match=rf"masks.tar holds no cat-000000.{RELIABILITY}"):
        load_training_set(drawn / "set.json").uncertainty[0]


def test_a_reliability_of_0_is_refused(drawn: Path) -> None:
    samples = list(read_shard(refined(drawn, reliability=True)))
    black = encode_png(np.zeros((8, 8), np.uint8))
    write_shard(drawn / "masks.tar", [Sample(sample.key, {**sample.files, RELIABILITY: black}) for sample in samples])
    assemble([drawn / "images.tar"], [drawn / "masks.tar"], None, drawn / "set.json")
    with pytest.raises(SeediffError, match=r"reliability of cat-000000 in .*masks.tar holds a 0"):
        load_training_set(drawn / "set.json").uncertainty[0]


def test_annotated_images_have_no_reliability(tmp_path: Path) -> None:
    write_domain("voc", tmp_path / "voc", train=2, val=1, rng_seed=0)
    assemble_real("voc", tmp_path / "voc", "train", ["cat"], None, tmp_path / "set.json")
    with pytest.raises(SeediffError, match="only drawn ones"):
        _ = load_training_set(tmp_path / "set.json").uncertainty
