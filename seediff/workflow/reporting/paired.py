"""Whether one row of a table is ahead of another: their paired difference, with a 95 % interval from two noises.

Images. Other images of the same kind would have given other numbers. Rows are compared on the same images, so the
images are resampled with replacement (``scipy.stats.bootstrap``), the same ones for every row and repeat, and the
variance of a difference is that over the resamples.

Repeats. Another training would have given another number. Repeats are paired, since a repeat has the same random
numbers and the same images for every row, so the model is that of randomised blocks: a number is a mean, plus an effect
of its row, plus one of its repeat, plus noise that all rows have alike. With ``A`` rows and ``R`` repeats, the noise is
estimated by what is left over, ``MS = sum(residual²) / ((A - 1)(R - 1))``, and a difference of two rows' means has the
variance ``2 MS / R``.

The interval is the difference, plus and minus Student's t of ``(A - 1)(R - 1)`` degrees of freedom times the root of
the sum of both variances. docs/statistics.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, isfinite, sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, t

LEVEL = 0.95
RESAMPLES = 2000
AT_ONCE = 250
"""Resamples that are computed together."""

Floats = NDArray[np.float64]
Row = TypeVar("Row")


@dataclass(frozen=True)
class Difference:
    """How many percentage points one row is ahead of another, from ``low`` to ``high``, the bounds of its interval.

    ``degrees``: of freedom of the noise of training; 0 where it is unknown, since each row was trained once. The
    interval then holds the noise of images alone, and says nothing about the methods.
    """

    value: float
    low: float
    high: float
    degrees: int

    @property
    def ahead(self) -> bool:
        """Whether it is above zero beyond its interval."""
        return self.degrees > 0 and self.low > 0

    @property
    def behind(self) -> bool:
        return self.degrees > 0 and self.high < 0

    def __neg__(self) -> Difference:
        return Difference(-self.value, -self.high, -self.low, self.degrees)


@cache
def _quantile(degrees: int) -> float:
    """Student's t at the interval's upper end; the normal distribution's for 0, no degrees of freedom to be counted."""
    return float(t.ppf((1 + LEVEL) / 2, degrees or inf))


@dataclass(frozen=True)
class Compared:
    """Rows that were tested on the same images, in one column.

    ``means``: (A,) over the repeats. ``resampled``: (A, B) the same of every resample of the images.
    ``training_variance`` of a difference of two means; ``degrees`` of freedom that it was estimated with, 0 for none.
    """

    means: Floats
    resampled: Floats
    training_variance: float
    degrees: int

    def difference(self, first: int, second: int) -> Difference | None:
        """First minus second; None if one of them has no number, in the images or in all resamples."""
        value = float(self.means[first] - self.means[second])
        over_images = self.resampled[first] - self.resampled[second]
        known = over_images[np.isfinite(over_images)]
        if not np.isfinite(value) or len(known) < 2:
            return None
        variance = float(np.var(known, ddof=1)) + self.training_variance
        half = _quantile(self.degrees) * sqrt(variance)
        return Difference(value, value - half, value + half, self.degrees)


def compare(values: Floats, resampled: Floats) -> Compared:
    """Rows by their ``values`` (A, R) in every repeat, and their means over repeats in every resample (A, B)."""
    rows, repeats = values.shape
    degrees = (rows - 1) * (repeats - 1)
    effects = values.mean(1, keepdims=True) + values.mean(0, keepdims=True) - values.mean()
    variance = 2 / repeats * float(((values - effects) ** 2).sum()) / degrees if degrees else 0.0
    return Compared(values.mean(1), resampled, variance, degrees)


def resample(images: int, statistic: Callable[[Floats], Floats], rng_seed: int) -> Floats:
    """(..., B): the statistic of every resample of ``images`` images, at least two.

    ``statistic`` gets weights (b, images), how often each image is in each of ``b`` resamples, and gives (..., b).
    """

    def of_drawn(drawn: NDArray[np.int64], axis: int) -> Floats:
        drawn = np.atleast_2d(drawn)
        places = drawn + images * np.arange(len(drawn))[:, None]
        weights = np.bincount(places.ravel(), minlength=images * len(drawn)).reshape(len(drawn), images)
        return statistic(weights.astype(np.float64))

    found = bootstrap(
        (np.arange(images),),
        of_drawn,
        n_resamples=RESAMPLES,
        batch=AT_ONCE,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(rng_seed),
    )
    return np.asarray(found.bootstrap_distribution)


def difference_of_items(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """First minus second, where both were measured on the same items and nothing was trained: a paired t interval.

    None for fewer than two items.
    """
    by_item = np.subtract(first, second)
    if len(by_item) < 2:
        return None
    value, degrees = float(by_item.mean()), len(by_item) - 1
    half = _quantile(degrees) * float(by_item.std(ddof=1)) / sqrt(len(by_item))
    return Difference(value, value - half, value + half, degrees)


def leader(
    rows: Sequence[Row], mean: Callable[[Row], float], difference: Callable[[Row, Row], Difference | None]
) -> Row | None:
    """The row that is ahead of every other beyond its interval; None if none is, or there is no other.

    Rows whose mean is NaN do not count; one that cannot be compared is not known to be behind.
    """
    known = [row for row in rows if isfinite(mean(row))]
    if len(known) < 2:
        return None
    best = max(known, key=mean)
    found = (difference(best, other) for other in known if other is not best)
    return best if all(lead and lead.ahead for lead in found) else None
