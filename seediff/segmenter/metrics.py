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


def merge_classes(confusion: ArrayLike, groups: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """The confusion matrix as if each group of classes had been one label from the start, (G, G).

    Raises ``SeediffError`` unless every class is in exactly one group.
    """
    matrix = _checked(confusion)
    if sorted(index for group in groups for index in group) != list(range(len(matrix))):
        raise SeediffError(
            f"Class groups {list(map(list, groups))} do not hold each of the {len(matrix)} classes once."
        )
    group_of = np.zeros((len(groups), len(matrix)), np.int64)
    for row, group in enumerate(groups):
        group_of[row, list(group)] = 1
    return group_of @ matrix @ group_of.T


def harmonic_mean(seen: float, unseen: float) -> float:
    """2 s u / (s + u), the summary of zero-shot segmentation; 0 if both are 0."""
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def _checked(confusion: ArrayLike) -> NDArray[np.int64]:
    matrix = np.asarray(confusion)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.issubdtype(matrix.dtype, np.integer):
        raise SeediffError(f"A confusion matrix is square and integer, not {matrix.shape} of {matrix.dtype}.")
    if (matrix < 0).any():
        raise SeediffError("A confusion matrix counts pixels, but this one has negative entries.")
    return matrix.astype(np.int64)
