"""Intervals of paired differences: they hold what they promise, where a plain bootstrap over three repeats does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_rel

from seediff.workflow.reporting.paired import (
    RESAMPLES,
    Compared,
    Difference,
    compare,
    difference_of_items,
    leader,
    resample,
)

TRIALS = 1000
TRAINING, REPEAT, IMAGES = 2.3, 1.0, 0.3
"""Standard deviations in points: of a training, of what a repeat's images do to all rows, and over test images."""


def trial(rng: np.random.Generator, rows: int, repeats: int, truth: np.ndarray) -> Compared:
    """One study: true numbers, a repeat's effect, a training's noise, and that of the images it is tested on."""
    of_images = rng.normal(0, IMAGES / 2**0.5, rows)
    noise = rng.normal(0, REPEAT, repeats) + rng.normal(0, TRAINING, (rows, repeats))
    values = truth[:, None] + of_images[:, None] + noise
    resampled = values.mean(1, keepdims=True) + rng.normal(0, IMAGES / 2**0.5, (rows, 200))
    return compare(values, resampled)


@pytest.mark.parametrize(("rows", "repeats"), [(4, 3), (2, 3), (8, 2)])
def test_intervals_hold_the_truth_and_find_nothing_where_there_is_nothing(rows: int, repeats: int) -> None:
    rng = np.random.default_rng(rows)
    truth = np.array([0.0, 0.0, *rng.normal(0, 3, rows - 2)])
    held = told = 0
    for _ in range(TRIALS):
        compared = trial(rng, rows, repeats, truth)
        found = compared.difference(rows - 1, 0)
        nothing = compared.difference(0, 1)
        assert found and nothing
        held += found.low <= truth[-1] - truth[0] <= found.high
        told += nothing.ahead or nothing.behind
    print(f"{rows} rows, {repeats} repeats: held {held / TRIALS}, told apart {told / TRIALS}")
    assert held / TRIALS >= 0.93
    assert told / TRIALS <= 0.07


def test_a_plain_bootstrap_over_three_repeats_calls_chance_a_finding() -> None:
    """In a quarter of the cases: whenever all three differences have the same sign."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(300):
        values = rng.normal(0, REPEAT, 3) + rng.normal(0, TRAINING, (2, 3))
        found = bootstrap((values[0] - values[1],), np.mean, method="percentile", n_resamples=400, rng=rng)
        told += found.confidence_interval.low > 0 or found.confidence_interval.high < 0
    assert 0.18 <= told / 300 <= 0.32


def test_real_differences_are_found() -> None:
    """Three repeats tell seven points apart, and rarely less than their noise."""
    rng = np.random.default_rng(1)
    found = [trial(rng, 4, 3, np.array([0.0, 7.0, 0.0, 1.0])) for _ in range(500)]
    assert np.mean([bool((one_off := each.difference(1, 0)) and one_off.ahead) for each in found]) > 0.8


def test_the_variance_is_that_of_randomised_blocks() -> None:
    values = np.array([[50.0, 53.0, 49.0], [60.0, 61.0, 62.0], [55.0, 59.0, 51.0]])
    residuals = [
        values[a, r] - values[a].mean() - values[:, r].mean() + values.mean() for a in range(3) for r in range(3)
    ]
    square = sum(residual**2 for residual in residuals) / (2 * 2)
    compared = compare(values, np.repeat(values.mean(1)[:, None], 10, axis=1))
    found = compared.difference(1, 0)
    assert found is not None and compared.degrees == found.degrees == 4
    assert found.value == pytest.approx(61 - 152 / 3)
    half = 2.7764451 * (2 * square / 3) ** 0.5  # Student's t of four degrees of freedom at 97.5 %
    assert (found.low, found.high) == (pytest.approx(found.value - half), pytest.approx(found.value + half))
    assert -found == compared.difference(0, 1)


def test_two_rows_give_students_paired_test() -> None:
    values = np.random.default_rng(2).normal(0, 1, (2, 5))
    expected = ttest_rel(values[0], values[1]).confidence_interval(0.95)
    found = compare(values, np.zeros((2, 10))).difference(0, 1)
    assert found and (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    items = difference_of_items(*values)
    assert items and (items.low, items.high, items.degrees) == (pytest.approx(found.low), pytest.approx(found.high), 4)
    assert difference_of_items([1.0], [2.0]) is None


def test_resampled_images_are_counted_alike_for_all_rows() -> None:
    """The standard error of a mean over images, by its formula; a row compared with itself has none."""
    rng = np.random.default_rng(3)
    scores = rng.normal(50, 10, (2, 400))
    found = resample(400, lambda weights: np.stack([weights @ row / 400 for row in scores]), rng_seed=5)
    assert found.shape == (2, RESAMPLES)
    paired_error = np.std(scores[0] - scores[1], ddof=1) / 400**0.5
    assert np.std(found[0] - found[1], ddof=1) == pytest.approx(paired_error, rel=0.1)
    again = resample(400, lambda weights: np.stack([weights @ row / 400 for row in scores]), rng_seed=5)
    assert np.array_equal(found, again)
    assert not np.array_equal(found, resample(400, lambda weights: (weights @ scores[0] / 400)[None], rng_seed=6)[0])


def test_weights_count_how_often_an_image_is_drawn() -> None:
    sums = resample(
        7, lambda weights: np.stack([weights.sum(1), weights.max(1), (weights != weights.round()).sum(1)]), 0
    )
    assert (sums[0] == 7).all() and 2 <= sums[1].mean() <= 4 and (sums[2] == 0).all()


def test_one_training_decides_nothing() -> None:
    compared = compare(np.array([[50.0], [90.0]]), np.array([[50.0, 50.2], [90.0, 90.1]]))
    found = compared.difference(1, 0)
    assert found is not None and found.degrees == 0 and found.low > 0
    assert not found.ahead and not (-found).behind


def test_rows_without_numbers_are_not_compared() -> None:
    nan = np.nan
    compared = Compared(np.array([1.0, nan, 2.0]), np.array([[1.0, 2.0], [1.0, 2.0], [nan, nan]]), 1.0, 4)
    assert compared.difference(0, 1) is None and compared.difference(0, 2) is None


def test_who_leads_is_ahead_of_all_others() -> None:
    means = {"a": 50.0, "b": 60.0, "c": 58.5, "d": np.nan}

    def lead(rows: str, half: float) -> str | None:
        def difference(first: str, second: str) -> Difference:
            value = means[first] - means[second]
            return Difference(value, value - half, value + half, 3)

        return leader(rows, means.__getitem__, difference)

    assert lead("abcd", 1.0) == "b" and lead("abcd", 2.0) is None
    assert lead("abd", 2.0) == "b" and lead("b", 0.1) is None and lead("bd", 0.1) is None
    assert leader("ab", means.__getitem__, lambda x, y: None) is None
    assert Difference(1.0, 0.0, 2.0, 3).ahead is False
