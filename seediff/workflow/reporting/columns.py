"""What the columns of a table of segmenters mean: numbers in percent, from overlaps of true and predicted pixels.

Every column is made of groups of classes. A group's overlap is a pair, the pixels that are of the group both in truth
and as predicted, and those that are so in at least one of the two. It can be summed over images, however often each of
them counts; IoU is the share of the one in the other, and a mean is over the groups that have any pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.segmenter.confusions import ImageConfusions
from seediff.segmenter.metrics import harmonic_mean
from seediff.workflow.reporting.specs import TableColumn

Floats = NDArray[np.float64]


def overlaps(columns: Sequence[TableColumn], images: ImageConfusions, classes: Sequence[str]) -> Floats:
    """(N, G, 2): of every image the overlap of every group of the columns, one column's after the other's.

    Raises ``SeediffError`` for a class that is not in ``classes``.
    """
    groups = [group for column in columns for group in _groups(column, classes)]
    return np.stack([images.overlap(group) for group in groups], axis=1).astype(np.float64)


def column_values(columns: Sequence[TableColumn], classes: Sequence[str], counted: Floats) -> dict[str, Floats]:
    """Every column's number in percent (...) by heading, from sums of overlaps (..., G, 2).

    NaN where no pixel is of a column's classes or predicted as them.
    """
    shares = np.full(counted.shape[:-1], np.nan)
    np.divide(100 * counted[..., 0], counted[..., 1], out=shares, where=counted[..., 1] > 0)
    found: dict[str, Floats] = {}
    start = 0
    for column in columns:
        stop = start + len(_groups(column, classes))
        if column.kind != "harmonic":
            found[column.heading] = _mean_of_known(shares[..., start:stop])
        start = stop
    for column in columns:
        if column.kind == "harmonic":
            found[column.heading] = harmonic_mean(*(found[heading] for heading in column.of))
    return found


def _groups(column: TableColumn, classes: Sequence[str]) -> list[list[int]]:
    """The label indices of every group; a harmonic mean has none, being made of other columns."""
    if column.kind == "harmonic":
        return []
    if column.kind == "foreground":
        return [[label] for label in range(1, len(classes))]
    for name in column.of:
        if name not in classes:
            raise SeediffError(f"Column {column.heading!r}: the model has no class {name!r}.\n{nearest(name, classes)}")
    labels = [classes.index(name) for name in column.of] or [*range(len(classes))]
    return [labels] if column.kind == "merged" else [[label] for label in labels]


def _mean_of_known(values: Floats) -> Floats:
    """The mean over the last axis without NaN; NaN if there is nothing else."""
    known = np.isfinite(values)
    count = known.sum(-1)
    total = np.where(known, values, 0).sum(-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
