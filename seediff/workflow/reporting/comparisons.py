"""Which rows of a table can be compared, and how far each is ahead of another (``paired``), column by column.

Rows are compared if all of their runs are there and were tested on the same benchmark. Rows of the same run count once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from seediff.errors import SeediffError
from seediff.workflow.reporting.columns import Floats, column_values
from seediff.workflow.reporting.measurements import MeasuredRow
from seediff.workflow.reporting.paired import Compared, Difference, compare, leader, resample
from seediff.workflow.reporting.specs import SegmenterTable, TableColumn

Run = tuple[str, str, str]


@dataclass(frozen=True)
class Comparisons:
    """By run and column, where the run stands among those that it is compared with."""

    _found: Mapping[tuple[Run | None, str], tuple[Compared, int]] = field(default_factory=dict)

    def difference(self, first: MeasuredRow, second: MeasuredRow, heading: str) -> Difference | None:
        """First minus second in a column; None for rows that cannot be compared, or have no number there."""
        ours, theirs = (self._found.get((measured.row.run, heading)) for measured in (first, second))
        if ours is None or theirs is None or ours[0] is not theirs[0]:
            return None
        return ours[0].difference(ours[1], theirs[1])


def compare_rows(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> Comparisons:
    """Compare the rows of every benchmark; the same rows and ``rng_seed`` give the same intervals.

    Raises ``SeediffError`` if two runs were tested on other images of the same benchmark.
    """
    found: dict[tuple[Run | None, str], tuple[Compared, int]] = {}
    for measured in by_benchmark([row for row in rows if row.tested and not row.absent]):
        _check_images(measured)
        images = len(measured[0].tested[0].images)
        if len(measured) < 2 or images < 2:
            continue
        resampled = resample(images, partial(_means, spec.columns, measured), spec.rng_seed)
        for place, column in enumerate(spec.columns):
            values = np.array([row.cells[column.heading].runs for row in measured])
            known = np.isfinite(values).all(1)
            compared = compare(values[known], resampled[known, place]) if known.any() else None
            for at, row in enumerate(row for row, has_numbers in zip(measured, known, strict=True) if has_numbers):
                if compared:
                    found[row.row.run, column.heading] = compared, at
    return Comparisons(found)


def _check_images(rows: Sequence[MeasuredRow]) -> None:
    first, *others = (run for measured in rows for run in measured.tested)
    for run in others:
        if run.images != first.images:
            raise SeediffError(
                f"{run.path} was tested on other images than {first.path}.\nDelete both and run the workflow again."
            )


def _means(columns: Sequence[TableColumn], rows: Sequence[MeasuredRow], weights: Floats) -> Floats:
    """(A, K, B): every row's mean over its runs in every column, for weights (B, N) of the images.

    Counts are whole numbers far below 2^53, so the products are exact, and the same on every machine.
    """
    return np.array([
        np.mean([
            [*_values(columns, run.classes, weights, run.overlaps)]
            for run in measured.tested
        ], axis=0)
        for measured in rows
    ])  # fmt: skip


def _values(columns: Sequence[TableColumn], classes: Sequence[str], weights: Floats, counted: Floats) -> list[Floats]:
    images, groups, _ = counted.shape
    sums = (weights @ counted.reshape(images, 2 * groups)).reshape(len(weights), groups, 2)
    values = column_values(columns, classes, sums)
    return [values[column.heading] for column in columns]


def leaders(rows: Sequence[MeasuredRow], comparisons: Comparisons, heading: str) -> frozenset[str]:
    """The labels of the rows that are ahead of every other of their benchmark beyond its interval, in one column.

    One that has a number, but not all of its runs, is not known to be behind.
    """
    found: set[str] = set()
    for of_benchmark in by_benchmark(rows):
        best = leader(
            of_benchmark,
            lambda measured: measured.cells[heading].mean,
            lambda first, second: comparisons.difference(first, second, heading),
        )
        found |= {measured.row.label for measured in rows if best and measured.row.run == best.row.run}
    return frozenset(found)


def by_benchmark(rows: Sequence[MeasuredRow]) -> list[list[MeasuredRow]]:
    """The rows that have runs, by what these are tested on; each run once."""
    found: dict[str | None, dict[Run | None, MeasuredRow]] = {}
    for measured in rows:
        if measured.row.run:
            found.setdefault(measured.row.benchmark, {}).setdefault(measured.row.run, measured)
    return [[*by_run.values()] for by_run in found.values()]
