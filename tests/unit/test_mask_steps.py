"""Mask steps against slow float64 loops, and the properties that every step and variant has."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seediff.attention.maps import ClassMaps, competing, normalize
from seediff.errors import SeediffError
from seediff.masks.pamr import pamr
from seediff.masks.steps import SOURCES, STEPS, otsu_region, seed_region
from seediff.masks.variants import VARIANTS, apply, calls_of, resolve

few = settings(max_examples=25, deadline=None, derandomize=True)

QUARTER, HALF, WHOLE = SIZES = (2, 3), (4, 5), (8, 10)
"""Of latents that halving does not divide."""
FRACTIONS = {QUARTER: "1/4", HALF: "1/2", WHOLE: "1"}


def random_maps(seed: int, sharpness: float = 3.0) -> ClassMaps:
    """Maps of latents of 8 x 10, recorded at 1/4, 1/2 and 1: softmax rows divided by their maximum.

    The word's cross-attention lies between 0.1 and 0.1 + 1 / height: normalising it changes every map differently.
    """
    generator = torch.Generator().manual_seed(seed)
    cross = {size: 0.1 + torch.rand(size, generator=generator) / size[0] for size in SIZES}
    rows = {(h, w): (sharpness * torch.randn(h * w, h * w, generator=generator)).softmax(1) for h, w in SIZES}
    return ClassMaps(cross, {size: row / row.max() for size, row in rows.items()}, WHOLE)


def degenerate_maps(kind: str) -> ClassMaps:
    """The word seen nowhere, at one place, or everywhere except one; positions that see only themselves, or all."""
    cross = {size: torch.zeros(size) for size in SIZES}
    for size in SIZES if kind != "nowhere" else ():
        cross[size][0, -1] = 1
    if kind == "everywhere":
        cross = {size: 1 - score for size, score in cross.items()}
    rows = {(h, w): torch.ones(h * w, h * w) if kind == "nowhere" else torch.eye(h * w) for h, w in SIZES}
    return ClassMaps(cross, rows, WHOLE)


seeds = st.integers(0, 2**32)
degenerate = st.builds(degenerate_maps, st.sampled_from(["nowhere", "one place", "everywhere"]))
class_maps = st.one_of(st.builds(random_maps, seeds), degenerate)
extreme_maps = st.one_of(st.builds(random_maps, seeds, st.sampled_from([0.1, 30.0])), degenerate)
alphas = st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])


# The oracles: nested lists of Python floats, written from the equations.

Grid = list[list[float]]
Size = tuple[int, int]


def grid(tensor: torch.Tensor) -> Grid:
    return tensor.double().tolist()


def slow_normalize(score: Grid) -> Grid:
    low, high = min(map(min, score)), max(map(max, score))
    return [[(value - low) / (high - low) if high > low else 0.0 for value in row] for row in score]


def slow_resize(score: Grid, size: Size, taps: Callable[[int, int, int], list[tuple[int, float]]]) -> Grid:
    """``taps``: of a pixel of the result, along an axis: the places that it looks at, and how much each weighs."""
    (height, width), (rows, columns) = (len(score), len(score[0])), size
    down, right = [taps(i, height, rows) for i in range(rows)], [taps(j, width, columns) for j in range(columns)]
    return [[sum(wy * wx * score[y][x] for y, wy in above for x, wx in beside) for beside in right] for above in down]


def slow_bilinear(score: Grid, size: Size) -> Grid:
    """Pixel (i, j) of the result looks at ((i + 1/2) * scale - 1/2, ...), clamped to the map."""

    def taps(i: int, before: int, after: int) -> list[tuple[int, float]]:
        at = max((i + 0.5) * before / after - 0.5, 0.0)
        low = math.floor(at)
        return [(low, 1 - (at - low)), (min(low + 1, before - 1), at - low)]

    return slow_resize(score, size, taps)


def slow_seeds(score: Grid, alpha: float) -> list[tuple[int, int]]:
    places = [(i, j) for i in range(len(score)) for j in range(len(score[0]))]
    best = max(score[i][j] for i, j in places)
    return [(i, j) for i, j in places if score[i][j] >= alpha] or [(i, j) for i, j in places if score[i][j] == best]


def slow_spread(seeds: list[tuple[int, int]], attention: Grid, size: Size) -> Grid:
    height, width = size
    mean = [[0.0] * width for _ in range(height)]
    for i, j in seeds:
        for k in range(height * width):
            mean[k // width][k % width] += attention[i * width + j][k] / len(seeds)
    return slow_normalize(mean)


def slow_expand(score: Grid, maps: ClassMaps, size: Size, alpha: float) -> Grid:
    return slow_spread(slow_seeds(slow_bilinear(score, size), alpha), grid(maps.self_attention[size]), size)


def slow_background(score: Grid, maps: ClassMaps, size: Size, alpha: float) -> Grid:
    score = slow_bilinear(score, size)
    behind = slow_expand([[1 - value for value in row] for row in score], maps, size, alpha)
    return slow_normalize([[(1 - behind[i][j]) * score[i][j] for j in range(size[1])] for i in range(size[0])])


def slow_mean(scores: list[Grid]) -> Grid:
    resized = [slow_bilinear(score, WHOLE) for score in scores]
    mean = [[sum(score[i][j] for score in resized) / len(resized) for j in range(WHOLE[1])] for i in range(WHOLE[0])]
    return slow_normalize(mean)


def close(result: torch.Tensor, expected: Grid) -> None:
    torch.testing.assert_close(result.double(), torch.tensor(expected, dtype=torch.float64), atol=5e-5, rtol=0)


# Each step against its oracle.


@few
@given(class_maps, st.sampled_from(SIZES))
def test_cross_attention_is_the_class_map_of_that_resolution(maps: ClassMaps, size: Size) -> None:
    close(STEPS["cross_attention"](None, maps, resolution=FRACTIONS[size]), grid(maps.class_map(size)))


@few
@given(class_maps, st.sampled_from([(), ("1",), ("1/4", "1")]))
def test_mean_cross_attention_is_caa(maps: ClassMaps, resolutions: tuple[str, ...]) -> None:
    sizes = [size for size in SIZES if FRACTIONS[size] in resolutions] or list(SIZES)
    expected = slow_mean([grid(maps.class_map(size)) for size in sizes])
    close(STEPS["mean_cross_attention"](None, maps, resolutions=resolutions), expected)


@few
@given(class_maps, st.sampled_from([(), ("1/2", "1")]), alphas)
def test_guided_expansion_is_cre(maps: ClassMaps, resolutions: tuple[str, ...], alpha: float) -> None:
    sizes = [size for size in SIZES if FRACTIONS[size] in resolutions] or list(SIZES)
    expected = slow_mean([slow_expand(grid(maps.class_map(size)), maps, size, alpha) for size in sizes])
    close(STEPS["guided_expansion"](None, maps, resolutions=resolutions, alpha=alpha), expected)


@few
@given(class_maps, st.tuples(st.sampled_from(SIZES), st.sampled_from(SIZES)), alphas)
def test_expand_is_equations_7_to_9(maps: ClassMaps, sizes: tuple[Size, Size], alpha: float) -> None:
    before, after = sizes
    score = maps.class_map(before)
    expected = slow_expand(grid(score), maps, after, alpha)
    close(STEPS["expand"](score, maps, resolution=FRACTIONS[after], alpha=alpha), expected)


@few
@given(class_maps, st.sampled_from([(WHOLE, WHOLE), (QUARTER, HALF), (HALF, WHOLE)]), alphas)
def test_background_is_equations_10_and_11(maps: ClassMaps, sizes: tuple[Size, Size], alpha: float) -> None:
    before, after = sizes
    score = maps.class_map(before)
    expected = slow_background(grid(score), maps, after, alpha)
    close(STEPS["background"](score, maps, resolution=FRACTIONS[after], alpha=alpha), expected)


@few
@given(class_maps, st.sampled_from([(WHOLE, WHOLE), (QUARTER, HALF), (HALF, WHOLE)]), alphas)
def test_controls_spread_by_nearness_alone(maps: ClassMaps, sizes: tuple[Size, Size], alpha: float) -> None:
    """Which falls to 1/e over an eighth of the shorter side; the maps' own self-attention is not looked at."""
    before, after = sizes
    score = maps.class_map(before)
    places = [(i, j) for i in range(after[0]) for j in range(after[1])]
    nearness = [[math.exp(-8 * math.dist(here, there) / min(after)) for there in places] for here in places]
    near = replace(maps, self_attention={after: torch.tensor(nearness)})
    for step, oracle in {"expand": slow_expand, "background": slow_background}.items():
        found = STEPS[f"{step}_nearby"](score, maps, resolution=FRACTIONS[after], alpha=alpha)
        close(found, oracle(grid(score), near, after, alpha))


@few
@given(class_maps, st.integers(1, 5))
def test_propagate_applies_a_matrix_power(maps: ClassMaps, power: int) -> None:
    attention = maps.self_attention[HALF].double().numpy()
    score = slow_bilinear(grid(maps.class_map(QUARTER)), HALF)
    product = np.linalg.matrix_power(attention, power) @ np.ravel(score)
    close(
        STEPS["propagate"](maps.class_map(QUARTER), maps, resolution="1/2", power=power),
        slow_normalize(product.reshape(HALF).tolist()),
    )


@few
@given(class_maps, st.lists(class_maps, max_size=2), st.sampled_from([(QUARTER, HALF), (HALF, HALF), (WHOLE, QUARTER)]))
def test_compete_leaves_a_position_to_the_word_with_the_largest_class_map(
    maps: ClassMaps, others: list[ClassMaps], sizes: tuple[Size, Size]
) -> None:
    before, size = sizes
    maps, *_ = competing([maps, *others])
    own, rivals = grid(maps.class_map(size)), [grid(other.class_map(size)) for other in others]
    expected = slow_bilinear(grid(maps.class_map(before)), size)
    for i in range(size[0]):
        for j in range(size[1]):
            if any(rival[i][j] > own[i][j] for rival in rivals):
                expected[i][j] = 0.0
    close(STEPS["compete"](maps.class_map(before), maps, resolution=FRACTIONS[size]), expected)


def test_words_that_compete_share_the_image_between_them() -> None:
    """Three words with maps of their own: every position is left to one of them."""
    words = competing([random_maps(seed) for seed in range(3)])
    everywhere = torch.ones(HALF)
    shares = [STEPS["compete"](everywhere, word, resolution="1/2") for word in words]
    assert torch.equal(sum(shares), everywhere)
    assert all(share.any() for share in shares)


def test_propagate_survives_large_powers() -> None:
    """Two halves that see only themselves: their means never mix, and a thousand sums of eight would overflow."""
    half = torch.arange(80) % 10 < 5
    maps = replace(random_maps(0), self_attention={WHOLE: (half[:, None] == half[None, :]).float()})
    score = torch.where(half, 0.9, 0.3).view(WHOLE)
    assert torch.equal(STEPS["propagate"](score, maps, resolution="1", power=1000), half.float().view(WHOLE))


@few
@given(seeds)
def test_otsu_finds_the_split_of_largest_between_class_variance(seed: int) -> None:
    values = torch.rand(4, 4, generator=torch.Generator().manual_seed(seed)).square()
    flat = sorted(grid(values.view(1, -1))[0])

    def spread_within(low: list[float], high: list[float]) -> float:
        return sum(len(part) * float(np.var(part)) for part in (low, high))

    split = min(range(1, len(flat)), key=lambda cut: spread_within(flat[:cut], flat[cut:]))
    assert otsu_region(values).tolist() == (values >= flat[split]).tolist()


def slow_similar(seeds: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    rows = attention.double().numpy()
    picked = [
        sum(seed @ row / np.sqrt((seed @ seed) * (row @ row)) for seed in rows[seeds.flatten().numpy()]) for row in rows
    ]
    return normalize(torch.tensor(picked, dtype=torch.float64).view(seeds.shape))


@few
@given(seeds)
def test_released_code_expands_by_cosine_similarity(seed: int) -> None:
    maps = random_maps(seed)
    score = maps.class_map(HALF)
    seeds = otsu_region(score.square())
    expanded = slow_similar(seeds, maps.self_attention[HALF])
    close(STEPS["expand_similar"](score, maps, resolution="1/2"), expanded.tolist())
    remaining = normalize(1 - slow_similar(~seeds, maps.self_attention[HALF]))
    close(STEPS["suppress_background"](score, maps, resolution="1/2"), normalize(remaining * score.double()).tolist())


def test_released_code_upsamples_bicubically() -> None:
    """If every position sees only itself, nothing is expanded: the seeds are returned unchanged."""
    score = random_maps(1).class_map(HALF)
    maps = replace(random_maps(1), self_attention={WHOLE: torch.eye(80)})
    resized = {
        mode: torch.nn.functional.interpolate(score[None, None], size=WHOLE, mode=mode)[0, 0]
        for mode in ("bicubic", "bilinear")
    }
    seeds = {mode: otsu_region(score.square()) for mode, score in resized.items()}
    assert not torch.equal(seeds["bicubic"], seeds["bilinear"])
    assert torch.equal(STEPS["expand_similar"](score, maps, resolution="1").bool(), seeds["bicubic"])
    expected = normalize(seeds["bicubic"] * resized["bicubic"])
    torch.testing.assert_close(STEPS["suppress_background"](score, maps, resolution="1"), expected)


# DAAM's sum, and attn2mask's background.


def slow_bicubic(score: Grid, size: Size) -> Grid:
    """Keys' cubic convolution with a = -3/4 over the 4 x 4 nearest places, the border repeated."""
    a = -0.75

    def weight(distance: float) -> float:
        d = abs(distance)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    def taps(i: int, before: int, after: int) -> list[tuple[int, float]]:
        at = (i + 0.5) * before / after - 0.5
        return [(min(max(k, 0), before - 1), weight(at - k)) for k in range(math.floor(at) - 1, math.floor(at) + 3)]

    return slow_resize(score, size, taps)


@few
@given(seeds)
def test_summed_cross_attention_visits_every_layer(seed: int) -> None:
    """Layer by layer as in DAAM, each resized and clamped separately; here all layers of a resolution are equal."""
    maps, layers = random_maps(seed), {QUARTER: 1, HALF: 3, WHOLE: 2}
    # Peaks on almost zero, so that bicubic overshoots below 0.
    maps = replace(maps, cross_attention={at: attention**8 for at, attention in maps.cross_attention.items()})
    total = [[0.0] * WHOLE[1] for _ in range(WHOLE[0])]
    for size, number in layers.items():
        for _ in range(number):
            resized = slow_bicubic(grid(maps.cross_attention[size]), WHOLE)
            for i in range(WHOLE[0]):
                for j in range(WHOLE[1]):
                    total[i][j] += max(resized[i][j], 0.0)
    by_name = {FRACTIONS[size]: number for size, number in layers.items()}
    close(STEPS["summed_cross_attention"](None, maps, layers=by_name), slow_normalize(total))


@few
@given(seeds, st.floats(0, 1))
def test_attn2mask_s_background_is_a_threshold(seed: int, beta: float) -> None:
    """Argmax over a and 1 - a - beta, each refined on its own, is a >= (1 - beta) / 2 on the refined a."""
    score = random_maps(seed).class_map(WHOLE).double()
    image = torch.rand(1, 3, *WHOLE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    channels = torch.stack([1 - score - beta, score])[None]
    behind, shown = pamr(image, channels, iterations=3, dilations=(1, 2))[0]
    refined = pamr(image, score[None, None], iterations=3, dilations=(1, 2))[0, 0]
    threshold = (1 - beta) / 2
    for i in range(WHOLE[0]):
        for j in range(WHOLE[1]):
            if abs(refined[i, j] - threshold) > 1e-9:  # where the two are equal, rounding decides
                assert (shown[i, j] >= behind[i, j]) == (refined[i, j] >= threshold)


# What the paper leaves open, and what it relies on.


def test_seeds_include_alpha_itself() -> None:
    assert seed_region(torch.tensor([[0.5, 0.49], [1.0, 0.0]]), 0.5).tolist() == [[True, False], [True, False]]


def test_without_seeds_the_maximum_positions_are_the_seeds() -> None:
    assert seed_region(torch.tensor([[0.2, 0.3], [0.3, 0.0]]), 0.5).tolist() == [[False, True], [True, False]]


def test_a_seed_in_one_of_two_regions_fills_that_region() -> None:
    """Two halves that see only themselves: one seed on the left is enough to find the left half."""
    halves = {(r, r): torch.arange(r * r) % r < r // 2 for r in (2, 4, 8)}
    rows = {size: (half[:, None] == half[None, :]).float() for size, half in halves.items()}
    cross = {size: torch.zeros(size) for size in halves}
    cross[2, 2][1, 0] = 1
    maps = ClassMaps(cross, rows, (8, 8))
    for variant in ("ire", "seediff", "released_code", "ca_sa"):
        score = apply(resolve(VARIANTS[variant]), maps)
        assert score[:, :3].min() > 0.8 and score[:, 5:].max() < 0.2, variant
    assert torch.equal(apply(resolve(VARIANTS["seediff"]), maps).flatten().bool(), halves[8, 8])


# Properties of all steps and variants.


@pytest.mark.parametrize("name", STEPS)
@few
@given(maps=extreme_maps, size=st.sampled_from(SIZES), alpha=alphas)
def test_every_step_is_a_pure_function_between_scores(name: str, maps: ClassMaps, size: Size, alpha: float) -> None:
    source = (("cross_attention", {"resolution": "1"}),) if name not in SOURCES else ()
    needed = {"resolution": FRACTIONS[size], "layers": {FRACTIONS[size]: 2, "1/4": 3}}
    params = {key: value for key, value in needed.items() if f"{key}'" in _missing(name)}
    *_, (_, explicit) = resolve((*source, (name, params)), alpha=alpha)
    start = None if name in SOURCES else maps.class_map(QUARTER)
    before = copy.deepcopy((start, maps.cross_attention, maps.self_attention))
    first = STEPS[name](start, maps, **explicit)
    assert first.dtype == torch.float32 and first.shape in SIZES
    assert first.isfinite().all() and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, STEPS[name](start, maps, **explicit))
    torch.testing.assert_close((start, maps.cross_attention, maps.self_attention), before, rtol=0, atol=0)


def _missing(name: str) -> str:
    try:
        resolve(((name, {}),))
    except SeediffError as error:
        return str(error)
    return ""


# These maps begin at 1/4; ca_8 and attn2mask have one step each, which the test of steps covers.
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in ("ca_8", "attn2mask")])
@few
@given(maps=extreme_maps, alpha=alphas)
def test_every_variant_gives_a_score_at_the_latents_size(variant: str, maps: ClassMaps, alpha: float) -> None:
    steps = resolve(VARIANTS[variant], alpha=alpha)
    maps = replace(maps, calls=calls_of(steps))
    before = copy.deepcopy((maps.cross_attention, maps.self_attention))
    score = apply(steps, maps)
    assert score.dtype == torch.float32 and score.shape == WHOLE
    assert score.isfinite().all() and score.min() >= 0 and score.max() <= 1
    assert torch.equal(score, apply(steps, maps))
    score.fill_(0.5)
    torch.testing.assert_close((maps.cross_attention, maps.self_attention), before, rtol=0, atol=0)


def test_seediff_is_the_paper_s_chain() -> None:
    """Cross-attention at 1/4, expansion at 1/4, 1/2 and 1, background; each by its oracle."""
    for seed in range(5):
        maps = random_maps(seed)
        score = slow_expand(grid(maps.class_map(QUARTER)), maps, QUARTER, 0.5)
        for size in (HALF, WHOLE):
            score = slow_expand(score, maps, size, 0.5)
        close(apply(resolve(VARIANTS["ire"]), maps), score)
        close(apply(resolve(VARIANTS["seediff"]), maps), slow_background(score, maps, WHOLE, 0.5))


def test_a_resolution_that_was_not_recorded_is_named() -> None:
    with pytest.raises(SeediffError, match="1/8"):
        STEPS["cross_attention"](None, random_maps(0), resolution="1/8")


def test_released_code_refuses_a_map_of_one_position() -> None:
    """A quarter of a side of 4: Otsu's threshold has nothing to split."""
    maps = {(side, side): torch.rand(side, side) for side in (1, 2, 4)}
    looks = {(side, side): torch.rand(side * side, side * side) for side in (1, 2, 4)}
    with pytest.raises(SeediffError, match="single position"):
        apply(resolve(VARIANTS["released_code"]), ClassMaps(maps, looks, (4, 4)))
