"""DiffuMask's augmentations: image and labels stay together, and all is drawn from the generator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from scipy.ndimage import maximum_filter, minimum_filter

from seediff.datasets.augmentation import (
    GREY,
    Augmentation,
    Pair,
    add_noise,
    augmented,
    blur,
    change_perspective,
    occlude,
    random_grid,
    splice,
)
from seediff.datasets.images import Array
from seediff.errors import SeediffError

Change = Callable[[Generator, Array, Array, Augmentation], Pair]

CHANGES: dict[str, Change] = {
    "perspective": change_perspective,
    "occlusion": occlude,
    "blur": blur,
    "noise": add_noise,
}
PROBABILITIES = ("splice", *CHANGES)
ALWAYS = Augmentation(**dict.fromkeys(PROBABILITIES, 1.0), splice_grid=3)

SEEDS = st.integers(0, 10**6)
SIZES = {"height": st.integers(48, 100), "width": st.integers(48, 100)}


def coloured_pair(height: int, width: int, seed: int = 0, blocks: int = 4) -> Pair:
    """Labels 20, 40, ... 100 in blocks, and an image whose colour shows the label; both are read-only."""
    cells = 20 * default_rng(seed).integers(1, 6, (blocks, blocks)).astype(np.uint8)
    rows, columns = (np.arange(length) * blocks // length for length in (height, width))
    labels = cells[rows[:, None], columns]
    image = np.stack([labels, 240 - labels, np.full_like(labels, 10)], -1)
    return locked(image, labels)


def textured_pair(height: int, width: int, label: int = 7) -> Pair:
    """A single label, and random colours that differ between neighbours."""
    image = default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return locked(image, np.full((height, width), label, np.uint8))


def plain_pair(height: int, width: int, label: int) -> Pair:
    return locked(np.full((height, width, 3), label, np.uint8), np.full((height, width), label, np.uint8))


def locked(image: Array, labels: Array) -> Pair:
    image.flags.writeable = labels.flags.writeable = False
    return image, labels


def same(first: Pair, second: Pair) -> bool:
    return np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])


def calm(labels: Array, radius: int) -> Array:
    """Where all labels in a square of that radius are equal."""
    return minimum_filter(labels, 2 * radius + 1) == maximum_filter(labels, 2 * radius + 1)


def colours_agree(image: Array, labels: Array, radius: int) -> bool:
    """Whether colours match labels wherever no edge is near; False also if an edge is near everywhere."""
    where = calm(labels, radius) & (labels != 255)
    found, expected = image[where].astype(int), labels[where].astype(int)
    return where.mean() > 0.1 and np.array_equal(found, np.stack([expected, 240 - expected, 0 * expected + 10], -1))


# --- all of them ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, name=st.sampled_from(PROBABILITIES), **SIZES)
def test_sizes_types_and_labels(seed: int, name: str, height: int, width: int) -> None:
    """Only the labels of the pairs, 255 beyond the border of a changed perspective, and 0 behind a patch."""
    pairs = [coloured_pair(height, width), plain_pair(width, height, 3), plain_pair(50, 50, 255)]
    image, labels = augmented(default_rng(seed), pairs, 0, replace(Augmentation(), **{name: 1.0}))
    assert image.shape == (height, width, 3) and labels.shape == (height, width)
    assert image.dtype == labels.dtype == np.uint8
    allowed = {"splice": {3, 255}, "perspective": {255}, "occlusion": {0}}.get(name, set())
    assert set(np.unique(labels).tolist()) <= set(np.unique(pairs[0][1]).tolist()) | allowed


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, count=st.integers(1, 4))
def test_everything_follows_from_the_generator(seed: int, count: int) -> None:
    pairs = [coloured_pair(48, 64, k) for k in range(count)]
    augmentation = replace(ALWAYS, blur=0.5, occlusion=0.5, perspective=0.5, noise=0.5, splice=0.5)
    first = augmented(default_rng(seed), pairs, 0, augmentation)
    np.random.seed(count)  # the global generator has no effect
    assert same(first, augmented(default_rng(seed), pairs, 0, augmentation))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_another_generator_gives_another_pair(name: str) -> None:
    pairs = [coloured_pair(48, 64, k) for k in range(9)]
    augmentation = replace(Augmentation(), **{name: 1.0})
    results = [augmented(default_rng(seed), pairs, 0, augmentation)[0] for seed in range(10)]
    assert len({image.tobytes() for image in results}) > 7


@pytest.mark.parametrize("name", PROBABILITIES)
def test_inputs_stay_as_they_are(name: str) -> None:
    """Writing into them would fail, as they are locked; so this holds for the copies made of them too."""
    pairs = [coloured_pair(48, 64, k) for k in range(3)]
    before = [(image.copy(), labels.copy()) for image, labels in pairs]
    for seed in range(5):
        augmented(default_rng(seed), pairs, 0, replace(Augmentation(), **{name: 1.0}))
    assert all(same(*both) for both in zip(before, pairs, strict=True))


@given(seed=SEEDS, index=st.integers(0, 2))
def test_nothing_happens_by_default(seed: int, index: int) -> None:
    pairs = [coloured_pair(48, 64, k) for k in range(3)]
    assert same(augmented(default_rng(seed), pairs, index, Augmentation()), pairs[index])


@pytest.mark.parametrize("name", PROBABILITIES)
@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_each_happens_with_its_own_probability(name: str, probability: float) -> None:
    pairs = [textured_pair(16, 16, 7), plain_pair(16, 16, 3)]
    augmentation = replace(Augmentation(), **{name: probability}, blur_radius=1.0, occlusion_size=1.0)
    rng = default_rng(0)
    changed = [not same(augmented(rng, pairs, 0, augmentation), pairs[0]) for _ in range(400)]
    assert np.mean(changed) == pytest.approx(probability, abs=0.08)


def test_they_come_in_the_documented_order() -> None:
    pairs = [coloured_pair(48, 64, k) for k in range(3)]
    rng = default_rng(5)
    rng.random()
    grid = random_grid(rng, ALWAYS.splice_grid)
    pair = splice([pairs[1], *(pairs[k] for k in rng.integers(3, size=grid[0] * grid[1] - 1))], grid)
    for change in (change_perspective, occlude, blur, add_noise):
        rng.random()
        pair = change(rng, *pair, ALWAYS)
    assert same(pair, augmented(default_rng(5), pairs, 1, ALWAYS))


# --- splice --------------------------------------------------------------------------------------------------------


def test_a_splice_holds_each_picture_in_its_cell() -> None:
    image, labels = splice([plain_pair(20, 30, k) for k in range(6)], (2, 3))
    assert np.array_equal(labels, np.kron([[0, 1, 2], [3, 4, 5]], np.ones((10, 10))))
    assert np.array_equal(image, np.repeat(labels[..., None], 3, axis=2))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, grid=st.sampled_from([(1, 2), (2, 1), (2, 2), (3, 3)]), **SIZES)
def test_labels_follow_the_image_into_the_cells(seed: int, grid: tuple[int, int], height: int, width: int) -> None:
    """Pictures of different sizes, each complete in its cell."""
    first = coloured_pair(height, width, seed, blocks=2)
    others = [coloured_pair(64 + 9 * k, 90 - 7 * k, seed + k, blocks=2) for k in range(1, grid[0] * grid[1])]
    image, labels = splice([first, *others], grid)
    assert labels.shape == (height, width) and colours_agree(image, labels, radius=2)
    corner = labels[: height // grid[0], : width // grid[1]]
    assert np.array_equal(corner[[1, 1, -2, -2], [1, -2, 1, -2]], first[1][[1, 1, -2, -2], [1, -2, 1, -2]])


def test_cells_need_not_divide_the_picture() -> None:
    _, labels = splice([plain_pair(51, 37, k) for k in range(25)], (5, 5))
    rows, columns = labels[:, 0] // 5, labels[0]
    assert set(np.bincount(rows).tolist()) == {10, 11} and set(np.bincount(columns).tolist()) == {7, 8}
    assert np.array_equal(labels, 5 * rows[:, None] + columns)


def test_a_splice_begins_with_the_pair_and_goes_on_with_any() -> None:
    pairs = [plain_pair(16, 16, k) for k in range(5)]
    augmentation, rng = Augmentation(splice=1.0, splice_grid=2), default_rng(0)
    spliced = [augmented(rng, pairs, 3, augmentation)[1] for _ in range(100)]
    assert {int(labels[0, 0]) for labels in spliced} == {3}
    assert {int(labels[-1, -1]) for labels in spliced} == {0, 1, 2, 3, 4}


def test_grids_come_as_often_as_in_diffumask() -> None:
    rng, thousands = default_rng(0), {(1, 2): 1.5, (2, 1): 1.5, (2, 2): 3, (3, 3): 4}
    thousands |= {(5, 5): 3, (6, 6): 2, (7, 7): 2, (8, 8): 1}
    counts = Counter(random_grid(rng, 8) for _ in range(9000))
    assert set(counts) == set(thousands)
    assert all(counts[grid] / 9000 == pytest.approx(share / 18, abs=0.015) for grid, share in thousands.items())


@pytest.mark.parametrize(("largest", "expected"), [(2, {1, 2}), (4, {1, 2, 3}), (5, {1, 2, 3, 5})])
def test_no_grid_is_larger_than_allowed(largest: int, expected: set[int]) -> None:
    rng = default_rng(0)
    assert {rows for rows, _ in (random_grid(rng, largest) for _ in range(200))} == expected


def test_a_smaller_grid_leaves_the_others_their_shares() -> None:
    rng = default_rng(0)
    counts = Counter(random_grid(rng, 3) for _ in range(5000))
    assert counts[3, 3] / 5000 == pytest.approx(4 / 10, abs=0.03)
    assert (counts[1, 2] + counts[2, 1]) / 5000 == pytest.approx(3 / 10, abs=0.03)


# --- perspective ---------------------------------------------------------------------------------------------------


def positions(height: int, width: int) -> Pair:
    """An image whose red is the row and whose green is the column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return locked(np.stack([rows, columns, 0 * rows], -1), np.zeros((height, width), np.uint8))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, shift=st.sampled_from([0.05, 0.15, 0.25]), height=st.integers(96, 140), width=st.integers(96, 140))
def test_labels_follow_the_image_into_perspective(seed: int, shift: float, height: int, width: int) -> None:
    pair = coloured_pair(height, width, seed, blocks=3)
    image, labels = change_perspective(default_rng(seed), *pair, Augmentation(perspective_shift=shift))
    assert colours_agree(image, labels, radius=4)
    outside = labels == 255
    assert (image[outside] == GREY).all() and not (image[~outside] == GREY).all(axis=1).any()


def test_without_shift_the_perspective_stays() -> None:
    pair = coloured_pair(50, 70)
    assert same(change_perspective(default_rng(0), *pair, Augmentation(perspective_shift=0.0)), pair)


def test_corners_move_up_to_the_shift_on_their_own() -> None:
    """Distance of each corner from the position that it shows, if that is inside, as a share of the sides."""
    pair, rng, augmentation = positions(100, 200), default_rng(0), Augmentation(perspective_shift=0.2)
    found = [change_perspective(rng, *pair, augmentation) for _ in range(400)]
    outside = np.array([labels[[0, 0, -1, -1], [0, -1, 0, -1]] == 255 for _, labels in found])
    assert outside.mean(axis=0) == pytest.approx(0.75, abs=0.08)  # three of four directions lead out of the picture
    assert abs(np.corrcoef(outside.T) - np.eye(4)).max() < 0.25
    seen = np.array([image[[0, 0, -1, -1], [0, -1, 0, -1], :2] for image, _ in found])
    for corner in range(4):
        moved = abs((seen[~outside[:, corner], corner] + 0.5) / (100, 200) - (corner // 2, corner % 2))
        assert (moved.max(axis=0) > 0.17).all() and (moved.max(axis=0) < 0.215).all()
        assert moved.mean(axis=0) == pytest.approx(0.1, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_the_picture_never_folds(seed: int) -> None:
    """Even at the largest shift: rightwards stays rightwards and down stays down."""
    image, labels = change_perspective(default_rng(seed), *positions(90, 120), Augmentation(perspective_shift=0.25))
    down, right, inside = image[..., 0].astype(int), image[..., 1].astype(int), labels == 0
    assert (np.diff(right, axis=1)[inside[:, 1:] & inside[:, :-1]] >= 0).all()
    assert (np.diff(down, axis=0)[inside[1:] & inside[:-1]] >= 0).all()
    assert inside.mean() > 0.3


def test_lines_stay_straight_and_equal_steps_shorten_with_distance() -> None:
    """The second distinguishes a perspective from any mixture of shifts, turns and shears."""
    bulges = []
    for seed in range(20):
        image, labels = change_perspective(default_rng(seed), *positions(120, 150), Augmentation(perspective_shift=0.2))
        down, right = image[60, labels[60] == 0, :2].astype(float).T
        assert abs(np.polyval(np.polyfit(right, down, 1), right) - down).max() < 1.5
        bulges.append(abs(np.polyfit(np.arange(len(right)), right, 2)[0]) * len(right) ** 2 / 4)
    assert max(bulges) > 8 and min(bulges) < 2  # columns, between the middle of the line and that of its ends


# --- occlusion -----------------------------------------------------------------------------------------------------


def test_a_patch_is_a_plain_rectangle_of_background() -> None:
    (image, labels), rng = textured_pair(60, 90), default_rng(0)
    augmentation = Augmentation(occlusion_patches=1, occlusion_size=0.5)
    heights, widths, colours = [], [], set()
    for _ in range(300):
        result, new = occlude(rng, image, labels, augmentation)
        covered = new == 0
        rows, columns = covered.any(axis=1), covered.any(axis=0)
        assert np.array_equal(covered, rows[:, None] & columns) and covered.any() and (new[~covered] == 7).all()
        assert (np.diff(rows).sum() <= 2) and (np.diff(columns).sum() <= 2)
        assert len(np.unique(result[covered], axis=0)) == 1 and np.array_equal(result[~covered], image[~covered])
        heights.append(int(rows.sum()))
        widths.append(int(columns.sum()))
        colours.add(tuple(result[covered][0]))
    assert max(heights) in (29, 30) and max(widths) in (43, 44, 45) and min(heights) <= 2 and min(widths) <= 2
    assert np.mean(heights) == pytest.approx(15, abs=1.4)  # part of a patch outside would cost 2.5 rows and 3.8 columns
    assert np.mean(widths) == pytest.approx(22.5, abs=2)
    assert len(colours) > 290


def test_patches_reach_everything() -> None:
    (image, labels), rng = textured_pair(24, 36), default_rng(0)
    covered = np.mean([occlude(rng, image, labels, Augmentation())[1] == 0 for _ in range(1500)], axis=0)
    assert covered.min() > 0


@pytest.mark.parametrize("patches", [1, 4])
def test_one_patch_to_the_most(patches: int) -> None:
    """Counted by their colours, with patches too small to hide one another."""
    (image, labels), rng = textured_pair(100, 100), default_rng(1)
    augmentation = Augmentation(occlusion_patches=patches, occlusion_size=0.02)
    results = [occlude(rng, image, labels, augmentation) for _ in range(200)]
    counts = Counter(len(np.unique(result[new == 0], axis=0)) for result, new in results)
    assert set(counts) == set(range(1, patches + 1)) and min(counts.values()) > 30 / patches


def test_a_patch_can_be_one_pixel_and_all_pixels() -> None:
    (image, labels), rng = textured_pair(5, 3), default_rng(0)
    augmentation = Augmentation(occlusion_patches=1, occlusion_size=1.0)
    covered = [int((occlude(rng, image, labels, augmentation)[1] == 0).sum()) for _ in range(400)]
    assert min(covered) == 1 and max(covered) == 15


def test_ignored_pixels_stay_ignored_behind_a_patch() -> None:
    image, labels = textured_pair(30, 30)
    labels = np.where(np.arange(30) < 15, 255, labels).astype(np.uint8)
    augmentation = Augmentation(occlusion_patches=5, occlusion_size=0.8)
    result, new = occlude(default_rng(0), image, labels, augmentation)
    assert (new[:, :15] == 255).all() and (new[:, 15:] == 0).any()
    assert (result[:, :15] != image[:, :15]).any()


# --- blur and noise ------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, name=st.sampled_from(["blur", "noise"]), **SIZES)
def test_labels_know_nothing_of_blur_and_noise(seed: int, name: str, height: int, width: int) -> None:
    image, labels = coloured_pair(height, width, seed)
    assert np.array_equal(CHANGES[name](default_rng(seed), image, labels, Augmentation())[1], labels)


def slope(rng: Generator, height: int, width: int, largest: float) -> float:
    """The standard deviation, in pixels, of the blur of an edge between black and white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    blurred, _ = blur(rng, image, image[..., 0], Augmentation(blur_radius=largest))
    weights = np.diff(blurred[height // 2, :, 0].astype(float)) / 255
    centres = np.arange(1, width) - width // 2
    return float(np.sqrt((weights * centres**2).sum()))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (160, 160), (64, 150), (100, 60)])
def test_blur_goes_up_to_a_share_of_the_shorter_side(height: int, width: int) -> None:
    rng = default_rng(0)
    shares = [slope(rng, height, width, 0.08) / min(height, width) for _ in range(150)]
    assert 0.074 < max(shares) < 0.084 and min(shares) < 0.006
    assert np.mean(shares) == pytest.approx(0.04, abs=0.006)


def test_blur_looks_the_same_at_every_resolution() -> None:
    small, labels = coloured_pair(48, 64)
    large, large_labels = (np.repeat(np.repeat(pixels, 8, axis=0), 8, axis=1) for pixels in (small, labels))
    augmentation = Augmentation(blur_radius=0.1)
    softer, _ = blur(default_rng(1), small, labels, augmentation)
    enlarged, _ = blur(default_rng(1), large, large_labels, augmentation)
    means = enlarged.reshape(48, 8, 64, 8, 3).mean(axis=(1, 3))
    assert abs(means - softer).max() < 4 < abs(small.astype(float) - softer).max()


def test_no_blur_and_no_noise_change_nothing() -> None:
    pair, still = textured_pair(20, 30), Augmentation(blur_radius=0.0, noise_std=0.0)
    assert same(blur(default_rng(0), *pair, still), pair) and same(add_noise(default_rng(0), *pair, still), pair)


def test_noise_is_gaussian_and_goes_up_to_its_share_of_the_range() -> None:
    (image, labels), rng = plain_pair(80, 60, 128), default_rng(0)
    noise = [add_noise(rng, image, labels, Augmentation(noise_std=0.1))[0] - 128.0 for _ in range(200)]
    deviations = np.array([pixels.std() for pixels in noise]) / 255
    assert 0.095 < deviations.max() < 0.103 and deviations.min() < 0.005
    assert deviations.mean() == pytest.approx(0.05, abs=0.007)
    loudest = noise[int(deviations.argmax())] / (255 * deviations.max())
    assert abs(loudest.mean()) < 0.03
    assert (abs(loudest) < 1).mean() == pytest.approx(0.683, abs=0.02)  # uniform noise: 0.577


def test_noise_is_another_in_each_channel_and_pixel() -> None:
    noisy, _ = add_noise(default_rng(0), *plain_pair(60, 60, 128), Augmentation())
    samples = noisy.reshape(-1, 3).T - 128.0
    samples = np.vstack([samples, np.roll(samples, 1, axis=1)])
    assert abs(np.corrcoef(samples) - np.eye(6)).max() < 0.1


@pytest.mark.parametrize(("value", "side"), [(0, 1), (255, -1)])
def test_noise_stops_at_black_and_white(value: int, side: int) -> None:
    noisy, _ = add_noise(default_rng(1), *plain_pair(40, 40, value), Augmentation(noise_std=0.2))
    distance = side * (noisy.astype(int) - value)
    assert distance.min() == 0 and 0 < distance.max() < 200 and (distance == 0).mean() > 0.4


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        *((name, value, "from 0 to 1") for name in PROBABILITIES for value in (-0.1, 1.5, float("nan"))),
        *((name, 1.01, "from 0 to 1") for name in ("noise_std", "blur_radius", "occlusion_size")),
        *((name, -0.1, "from 0 to 1") for name in ("noise_std", "blur_radius", "occlusion_size")),
        ("perspective_shift", 0.26, "from 0 to 0.25"),
        ("splice_grid", 1, "from 2 to 8"),
        ("splice_grid", 9, "from 2 to 8"),
        ("occlusion_patches", 0, "from 1 to 100"),
        ("splice", "often", "a number from 0 to 1"),
        ("noise", True, "a number from 0 to 1"),
        ("splice_grid", 3.0, "a whole number from"),
        ("occlusion_patches", None, "a whole number from"),
    ],
)
def test_impossible_settings_are_refused(key: str, value: object, allowed: str) -> None:
    with pytest.raises(SeediffError) as caught:
        Augmentation(**{key: value})  # type: ignore[arg-type]
    message = str(caught.value)
    assert f" {key} is {value!r}, " in message and allowed in message and message.count("\n") < 2


def test_the_ends_of_the_ranges_are_allowed() -> None:
    lowest = Augmentation(noise_std=0, blur_radius=0, perspective_shift=0, occlusion_patches=1, occlusion_size=0)
    highest = Augmentation(
        noise_std=1, blur_radius=1, perspective_shift=0.25, occlusion_patches=100, occlusion_size=1, splice_grid=8
    )
    for extreme in (replace(lowest, splice_grid=2), highest):
        always = replace(extreme, **dict.fromkeys(PROBABILITIES, 1))
        image, labels = augmented(default_rng(0), [coloured_pair(40, 56)], 0, always)
        assert image.shape == (40, 56, 3) and labels.shape == (40, 56)


def test_all_is_off_by_default_and_all_survives_json() -> None:
    off = Augmentation()
    assert [getattr(off, name) for name in PROBABILITIES] == [0.0] * 5
    for augmentation in (off, ALWAYS):
        assert Augmentation(**json.loads(json.dumps(asdict(augmentation)))) == augmentation
    assert len({off, ALWAYS, Augmentation()}) == 2


def test_torch_stays_out() -> None:
    """Reading a study with an augmentation must be quick."""
    code = "import sys, seediff.datasets.augmentation; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
