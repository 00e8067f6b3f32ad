"""Augmentation keeps image and labels together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seediff.errors import SeediffError
from seediff.segmenter.settings import segmenter_settings
from seediff.segmenter.views import augment, jitter_colours, pad, random_crop, random_scale

MINI = segmenter_settings("resnet-mini", crop=32, scale_min=0.6, scale_max=1.8)


def pair(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels 0, 50, ... 200 in large blocks, and an image whose red channel is the label."""
    rng = np.random.default_rng(seed)
    labels = np.kron(50 * rng.integers(0, 5, (4, 4)), np.ones((height // 4, width // 4))).astype(np.uint8)
    return np.stack([labels, labels // 2, np.zeros_like(labels)], -1), labels


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.sampled_from([24, 40, 64]), width=st.sampled_from([24, 56]))
def test_labels_follow_the_image(seed, height, width):
    image, labels = augment(np.random.default_rng(seed), *pair(height, width), replace(MINI, colour_jitter=0.0))
    assert image.shape == (32, 32, 3) and labels.shape == (32, 32) and image.dtype == labels.dtype == np.uint8
    outside = labels == 255
    assert (image[outside] == 128).all()
    assert np.isin(labels[~outside], [0, 50, 100, 150, 200]).all()
    agree = np.abs(image[..., 0].astype(int) - labels)[~outside] < 25
    assert agree.mean() > 0.75  # the rest lies between blocks, where the image is interpolated


def test_the_same_generator_gives_the_same_view():
    first, again, other = (
        augment(np.random.default_rng(seed), *pair(40, 40), replace(MINI, colour_jitter=1.0)) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_flip_always_or_never():
    still = segmenter_settings("resnet-mini", crop=32, scale_min=1.0, scale_max=1.0, colour_jitter=0.0, flip=0.0)
    image, labels = pair(32, 32)
    for flip, step in ((0.0, 1), (1.0, -1)):
        view = augment(np.random.default_rng(0), image, labels, replace(still, flip=flip))
        assert np.array_equal(view[0], image[:, ::step]) and np.array_equal(view[1], labels[:, ::step])


@pytest.mark.parametrize("height, width", [(48, 80), (80, 48)])
def test_scale_sets_the_shorter_edge(height, width):
    settings = segmenter_settings("resnet-mini", crop=32, scale_min=1.5, scale_max=1.5)
    image, labels = random_scale(np.random.default_rng(0), *pair(height, width), settings)
    assert min(labels.shape) == 48 and max(labels.shape) == 80 and image.shape[:2] == labels.shape


def test_crops_reach_every_corner_and_never_leave_the_image():
    image, _ = pair(40, 24)
    rng = np.random.default_rng(0)
    crops = [random_crop(rng, image, np.arange(40 * 24).reshape(40, 24), (32, 32))[1] for _ in range(100)]
    assert {crop.shape for crop in crops} == {(32, 24)}
    assert {int(crop[0, 0]) // 24 for crop in crops} == set(range(9))


@pytest.mark.parametrize("height, width", [(64, 96), (24, 40)])
def test_a_crop_may_be_wider_than_high(height, width):
    settings = segmenter_settings("resnet-mini", crop=[32, 64], scale_min=1.5, scale_max=1.5)
    scaled = random_scale(np.random.default_rng(0), *pair(height, width), settings)[1]
    image, labels = augment(np.random.default_rng(0), *pair(height, width), settings)
    assert min(scaled.shape) == 48
    assert image.shape == (32, 64, 3) and labels.shape == (32, 64) and (labels != 255).all()


@pytest.mark.parametrize("crop", [48, 0, -32, [32], [32, 48], [32, 64, 96], [32.0, 64], [True, 32], 32.0, "32", None])
def test_a_crop_is_one_or_two_multiples_of_32(crop):
    with pytest.raises(SeediffError, match="crop is"):
        segmenter_settings("resnet-mini", crop=crop)


def test_padding_is_ignored():
    image, labels = pad(*pair(24, 24), (32, 32))
    assert (labels[24:] == 255).all() and (labels[:, 24:] == 255).all() and (labels[:24, :24] <= 200).all()
    assert image.shape == (32, 32, 3)


def test_colour_jitter_changes_colours_by_strength():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    change = [
        np.mean(
            [np.abs(jitter_colours(np.random.default_rng(i), image, s).astype(int) - image).mean() for i in range(20)]
        )
        for s in (1e-9, 0.3, 1.0)
    ]
    assert change[0] < 3 < change[1] < change[2]  # HSV in 8 bits costs up to three grey levels
