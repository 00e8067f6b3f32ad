"""The columns of a table: what each number is, and how it follows from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.segmenter.metrics import harmonic_mean, iou, merge_classes, miou
from seediff.workflow.study.outputs import Kind


@dataclass(frozen=True)
class Column:
    """``iou`` of the class, ``mean`` IoU over the classes (of all if ``of`` is empty), IoU of the ``merged`` classes,
    or ``harmonic`` mean of the two columns: ``of`` names them."""

    heading: str
    kind: Kind
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise SeediffError(
                f"Column {self.heading!r}: unknown kind {self.kind!r}.\n{nearest(self.kind, get_args(Kind))}"
            )

    @property
    def meaning(self) -> str:
        """What the number is, in words; nothing where the heading says it already."""
        if self.kind == "merged" and len(self.of) > 1:
            return f"{self.heading}: {' + '.join(self.of)} as one class"
        if self.kind == "mean":
            return f"{self.heading}: mean IoU over {', '.join(self.of) or 'all classes, background included'}"
        return f"{self.heading}: harmonic mean of {' and '.join(self.of)}" if self.kind == "harmonic" else ""


def values(columns: Sequence[Column], classes: Sequence[str], confusion: NDArray[np.int64]) -> dict[str, float]:
    """Every column's number in percent, by heading; NaN where no pixel is of a class or taken for it.

    Raises ``SeediffError`` for a class that is not in ``classes``.
    """
    found: dict[str, float] = {}
    for column in sorted(columns, key=lambda one: one.kind == "harmonic"):
        if column.kind == "harmonic":
            found[column.heading] = harmonic_mean(*(found[heading] for heading in column.of))
        else:
            found[column.heading] = 100 * _share(column, _indices(column, classes), confusion)
    return found


def _share(column: Column, indices: Sequence[int], confusion: NDArray[np.int64]) -> float:
    if column.kind == "mean":
        return miou(confusion, indices or None)
    others = [[index] for index in range(len(confusion)) if index not in indices]
    return float(iou(merge_classes(confusion, [list(indices), *others]))[0])


def _indices(column: Column, classes: Sequence[str]) -> list[int]:
    for name in column.of:
        if name not in classes:
            raise SeediffError(f"Column {column.heading!r}: the model has no class {name!r}.\n{nearest(name, classes)}")
    return [classes.index(name) for name in column.of]
