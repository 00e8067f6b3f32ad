"""Which numbers of the tables of two runs have moved beyond noise (``seediff compare``).

Every number is worked out again from the measurements that the tables are made of: confusion matrices, one for each
repeat, and the IoU of every judged mask. So noise is known wherever something was measured more than once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seediff.errors import SeediffError
from seediff.workflow.layout import JUDGED, SNAPSHOT, below, results_folder
from seediff.workflow.reporting.judged import read_judged
from seediff.workflow.reporting.measurements import measure_rows
from seediff.workflow.reporting.specs import JudgedTable, SegmenterTable
from seediff.workflow.stages import tabulate
from seediff.workflow.study import read_snapshot

CONFIDENCE = 0.95


class Place(NamedTuple):
    """Where a number stands."""

    table: str
    row: str
    column: str


@dataclass(frozen=True)
class Sample:
    """What was measured ``count`` times (repeats, or masks), in percent; ``std`` is the sample's, NaN if it is one."""

    mean: float
    std: float
    count: int


@dataclass(frozen=True)
class Change:
    """A number that both runs have."""

    place: Place
    before: Sample
    after: Sample


@dataclass(frozen=True)
class Comparison:
    """The numbers of two runs: those that ``moved`` beyond noise, that did not (``within`` it), that are the ``same``,
    that differ but were measured only once in a run (``unknown``), and that only one of the runs has."""

    moved: tuple[Change, ...]
    within: tuple[Change, ...]
    same: tuple[Change, ...]
    unknown: tuple[Change, ...]
    only_before: tuple[Place, ...]
    only_after: tuple[Place, ...]


def is_beyond_noise(before: Sample, after: Sample) -> bool:
    """Whether two samples have different means: Welch's t-test at 95 %, each of them measured more than once."""
    from scipy.stats import ttest_ind_from_stats

    if before.std == after.std == 0:  # without any noise, every difference is beyond it
        return before.mean != after.mean
    statistics = (before.mean, before.std, before.count, after.mean, after.std, after.count)
    return bool(ttest_ind_from_stats(*statistics, equal_var=False).pvalue < 1 - CONFIDENCE)


def compare(before: Path, after: Path) -> Comparison:
    """Compare two folders of results; ``SeediffError`` for one that holds none."""
    first, second = numbers_of(before), numbers_of(after)
    both = [Change(place, first[place], second[place]) for place in first if place in second]
    groups: dict[str, list[Change]] = {"moved": [], "within": [], "same": [], "unknown": []}
    for change in both:
        groups[_verdict(change)].append(change)
    return Comparison(
        **{name: tuple(changes) for name, changes in groups.items()},
        only_before=tuple(place for place in first if place not in second),
        only_after=tuple(place for place in second if place not in first),
    )


def _verdict(change: Change) -> str:
    before, after = change.before, change.after
    if before.mean == after.mean:
        return "same"
    if min(before.count, after.count) < 2:
        return "unknown"
    return "moved" if is_beyond_noise(before, after) else "within"


def find_results(name: str) -> Path:
    """A folder of results, or that of the study with this name."""
    named = Path(name)
    return named if named.is_dir() else results_folder(name)


def numbers_of(folder: Path) -> dict[Place, Sample]:
    """Every number of the tables of a run, in their order; what has not been measured is left out."""
    snapshot = below(folder, SNAPSHOT)
    if not snapshot.is_file():
        raise SeediffError(
            f"{folder} holds no results: it has no {snapshot.name}.\n"
            "Name a study that was run, or its folder of results."
        )
    study = read_snapshot(snapshot)
    tables = {name: tabulate.spec(study, name) for name in study.tables}
    return {place: sample for spec in tables.values() for place, sample in _numbers(spec, folder) if sample.count}


def _numbers(spec: SegmenterTable | JudgedTable, folder: Path) -> Iterator[tuple[Place, Sample]]:
    return _of_segmenters(spec, folder) if isinstance(spec, SegmenterTable) else _judged(spec, folder)


def _of_segmenters(spec: SegmenterTable, folder: Path) -> Iterator[tuple[Place, Sample]]:
    for measured in measure_rows(spec, folder):
        for column, cell in measured.cells.items():
            yield Place(spec.name, measured.row.label, column), sample_of(cell.runs)


def _judged(spec: JudgedTable, folder: Path) -> Iterator[tuple[Place, Sample]]:
    path = below(folder, JUDGED, judge=spec.judge)
    found = read_judged(path) if path.is_file() else {}
    for row in spec.rows:
        for stratum, numbers in found.get(f"{row.variant}-{row.refinement}", {}).items():
            yield Place(spec.name, row.label, f"IoU, {stratum}"), sample_of([100 * iou for iou in numbers.iou])


def sample_of(values: Sequence[float]) -> Sample:
    """The sample of these values, without those that are NaN."""
    known = [value for value in values if not math.isnan(value)]
    mean = float(np.mean(known)) if known else math.nan
    return Sample(mean, float(np.std(known, ddof=1)) if len(known) > 1 else math.nan, len(known))


def comparison_text(found: Comparison, before: str, after: str) -> str:
    """A line for each number that moved, lines of the rows that one run lacks, and a line of counts."""
    lines = [_line(change) for change in found.moved]
    lines += [f"only in {before}: {row}" for row in _rows(found.only_before)]
    lines += [f"only in {after}: {row}" for row in _rows(found.only_after)]
    counts = [
        f"{len(found.moved)} moved beyond noise",
        f"{len(found.within)} within noise",
        f"{len(found.same)} the same",
        *([f"{len(found.unknown)} differ, measured once, so noise is unknown"] if found.unknown else []),
        f"{len(found.only_before)} only in {before}",
        f"{len(found.only_after)} only in {after}",
    ]
    return "\n".join([*lines, f"Numbers: {'; '.join(counts)}."])


def _line(change: Change) -> str:
    before, after, place = change.before, change.after, change.place
    numbers = f"{_written(before)} -> {_written(after)} ({after.mean - before.mean:+.1f})"
    return f"{place.table}, {place.row}, {place.column}: {numbers}"


def _written(sample: Sample) -> str:
    return f"{sample.mean:.1f} ± {sample.std / math.sqrt(sample.count):.1f}"


def _rows(places: Sequence[Place]) -> Iterator[str]:
    """The rows of these places, each with its columns."""
    columns: dict[tuple[str, str], list[str]] = {}
    for place in places:
        columns.setdefault((place.table, place.row), []).append(place.column)
    yield from (f"{table}, {row} ({', '.join(of_row)})" for (table, row), of_row in columns.items())
