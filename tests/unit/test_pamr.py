"""PAMR against a per-pixel loop in float64, and what must hold for every image."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seediff.errors import SeediffError
from seediff.masks.pamr import pamr

few = settings(max_examples=15, deadline=None, derandomize=True)


def slow_pamr(image: Tensor, score: Tensor, iterations: int, dilations: tuple[int, ...], sigma_factor: float) -> Tensor:
    """One image (channels, H, W) and one score (c, H, W), pixel by pixel from the formula."""
    pixels, values = image.tolist(), score.tolist()
    height, width = image.shape[1:]
    moves = [(dy * d, dx * d) for d in dilations for dy in (-1, 0, 1) for dx in (-1, 0, 1)]

    def at(channel: list[list[float]], y: int, x: int) -> float:
        return channel[min(max(y, 0), height - 1)][min(max(x, 0), width - 1)]

    def exponent(channel: list[list[float]], y: int, x: int, dy: int, dx: int) -> float:
        sigma = statistics.stdev(at(channel, y + my, x + mx) for my, mx in moves)
        return -abs(channel[y][x] - at(channel, y + dy, x + dx)) / (1e-8 + sigma_factor * sigma)

    neighbours = [move for move in moves if move != (0, 0)]
    weights = {}
    for y in range(height):
        for x in range(width):
            logits = [sum(exponent(channel, y, x, *move) for channel in pixels) / len(pixels) for move in neighbours]
            powers = [math.exp(logit - max(logits)) for logit in logits]
            weights[y, x] = [power / sum(powers) for power in powers]
    for _ in range(iterations):
        values = [
            [
                [
                    sum(w * at(channel, y + dy, x + dx) for w, (dy, dx) in zip(weights[y, x], neighbours, strict=True))
                    for x in range(width)
                ]
                for y in range(height)
            ]
            for channel in values
        ]
    return torch.tensor(values, dtype=torch.float64)


def random_pair(seed: int, n: int = 1, c: int = 1, height: int = 5, width: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(n, 3, height, width, dtype=torch.float64, generator=generator)
    image[..., : width // 2] = image[..., :1, :1]  # half of it flat, where sigma can be 0
    return image, torch.rand(n, c, height, width, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(
    ("dilations", "iterations", "sigma_factor"),
    [((1,), 1, 0.1), ((1, 2), 3, 0.1), ((2, 9), 2, 0.3), ((24,), 2, 0.1)],
    ids=["one step", "two dilations", "dilation beyond the image", "far beyond"],
)
def test_equals_the_loop(dilations: tuple[int, ...], iterations: int, sigma_factor: float) -> None:
    image, score = random_pair(1, n=2, c=2)
    refined = pamr(image, score, iterations=iterations, dilations=dilations, sigma_factor=sigma_factor)
    for pixels, labels, result in zip(image, score, refined, strict=True):
        expected = slow_pamr(pixels, labels, iterations, dilations, sigma_factor)
        torch.testing.assert_close(result, expected, atol=1e-9, rtol=0)


def test_single_precision_is_close_to_the_loop() -> None:
    image, score = random_pair(2)
    refined = pamr(image.float(), score.float(), iterations=3, dilations=(1, 2))
    expected = slow_pamr(image[0].float().double(), score[0].float().double(), 3, (1, 2), 0.1)
    assert refined.dtype == torch.float32
    torch.testing.assert_close(refined[0].double(), expected, atol=1e-5, rtol=0)


def test_defaults_are_the_published_settings() -> None:
    image, score = random_pair(3)
    published = pamr(image, score, iterations=10, dilations=(1, 2, 4, 8, 12, 24), sigma_factor=0.1)
    assert torch.equal(pamr(image, score), published)


@few
@given(st.integers(0, 2**32), st.sampled_from([torch.float32, torch.float64]))
def test_results_stay_within_the_scores_range(seed: int, dtype: torch.dtype) -> None:
    image, score = (tensor.to(dtype) for tensor in random_pair(seed, n=2, c=2))
    refined = pamr(image, score, iterations=4, dilations=(1, 3))
    assert refined.shape == score.shape and refined.dtype == dtype and refined.isfinite().all()
    for before, after in zip(score.flatten(0, 1), refined.flatten(0, 1), strict=True):
        assert after.min() >= before.min() - 1e-6 and after.max() <= before.max() + 1e-6


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_score_is_a_fixed_point(value: float) -> None:
    image, score = random_pair(4)
    torch.testing.assert_close(pamr(image, torch.full_like(score, value)), torch.full_like(score, value))
    flat = torch.full_like(image, 0.7)
    torch.testing.assert_close(pamr(flat, torch.full_like(score, value)), torch.full_like(score, value))


def test_a_pixel_that_stands_out_everywhere_still_has_weights() -> None:
    """With a small sigma_factor every exponent is far below what exp can hold."""
    image, score = random_pair(6)
    refined = pamr(image.float(), score.float(), iterations=1, dilations=(1,), sigma_factor=1e-4)
    assert refined.isfinite().all()


def test_a_flat_image_gives_every_neighbour_the_same_weight() -> None:
    score = torch.zeros(1, 1, 5, 5)
    score[..., 2, 2] = 1
    refined = pamr(torch.full((1, 3, 5, 5), 0.2), score, iterations=1, dilations=(1,))
    expected = torch.zeros(5, 5)
    expected[1:4, 1:4] = 1 / 8
    expected[2, 2] = 0
    torch.testing.assert_close(refined[0, 0], expected)


def test_the_score_follows_the_image_s_edge() -> None:
    image = torch.zeros(1, 3, 12, 12)
    image[..., 6:] = 1
    score = torch.zeros(1, 1, 12, 12)
    score[..., 4:] = 1  # reaches two columns too far
    refined = pamr(image, score, iterations=30, dilations=(1, 2))[0, 0]
    assert refined[:, 6:].min() > 0.9 and refined[:, :6].max() < 0.5


def test_images_of_a_batch_do_not_mix_and_inputs_stay() -> None:
    image, score = random_pair(5, n=3)
    before = image.clone(), score.clone()
    together = pamr(image, score, iterations=2, dilations=(1, 2))
    apart = torch.cat([pamr(image[[i]], score[[i]], iterations=2, dilations=(1, 2)) for i in range(3)])
    assert torch.equal(together, apart)
    assert torch.equal(image, before[0]) and torch.equal(score, before[1])


@pytest.mark.parametrize("shape", [(1, 1, 5, 7), (2, 1, 5, 6), (1, 5, 6)])
def test_shapes_must_agree(shape: tuple[int, ...]) -> None:
    with pytest.raises(SeediffError, match="PAMR"):
        pamr(torch.zeros(1, 3, 5, 6), torch.zeros(shape))


@pytest.mark.parametrize("dilations", [(), (0,), (1, -2)])
def test_dilations_that_are_none(dilations: tuple[int, ...]) -> None:
    with pytest.raises(SeediffError, match="PAMR needs dilations, each 1 or more"):
        pamr(torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4), dilations=dilations)
