"""From a confusion matrix to the numbers of the tables.

A confusion matrix is a (C, C) integer array: row = true class, column = predicted class, in pixels. Every function
is pure numpy; nothing here knows images or models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seediff.errors import SeediffError


def iou(confusion: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union per class, (C,) in [0, 1]; NaN for a class neither in the truth nor predicted."""
    matrix = _checked(confusion)
    intersection = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - intersection
    return np.divide(intersection, union, out=np.full(len(matrix), np.nan), where=union > 0)


def miou(confusion: ArrayLike, classes: Sequence[int] | None = None) -> float:
    """Mean IoU over ``classes`` (default: all, background included).

    Classes neither in the truth nor predicted are left out of the mean, as torchmetrics' macro average does; NaN
    if no class is left. A class that is wrongly predicted somewhere counts with 0, even if the truth lacks it.
    """
    values = iou(confusion) if classes is None else iou(confusion)[list(classes)]
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def pixel_accuracy(confusion: ArrayLike) -> float:
    """The fraction of pixels that are labelled rightly; NaN without pixels."""
    matrix = _checked(confusion)
    total = matrix.sum()
    return float(np.trace(matrix) / total) if total else float("nan")


def harmonic_mean(seen: ArrayLike, unseen: ArrayLike) -> NDArray[np.float64]:
    """2 s u / (s + u), the summary of zero-shot segmentation, of numbers or arrays; 0 where both are 0."""
    first, second = np.asarray(seen, np.float64), np.asarray(unseen, np.float64)
    total = first + second
    return np.divide(2 * first * second, total, out=np.zeros(total.shape), where=total != 0)


def _checked(confusion: ArrayLike) -> NDArray[np.int64]:
    matrix = np.asarray(confusion)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.issubdtype(matrix.dtype, np.integer):
        raise SeediffError(f"A confusion matrix is square and integer, not {matrix.shape} of {matrix.dtype}.")
    if (matrix < 0).any():
        raise SeediffError("A confusion matrix counts pixels, but this one has negative entries.")
    return matrix.astype(np.int64)
