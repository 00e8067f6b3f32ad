"""A table of trained segmenters: its lines, and the notes below it.

Reported and reproduced numbers stand side by side, or one below the other. The notes say how to read them, whether
the rows are in the paper's order, and what is missing.
"""

from __future__ import annotations

import math
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ConstantInputWarning, kendalltau, spearmanr

from seediff.datasets.flaws import counted
from seediff.workflow.reporting.formats import Heading, Note, TextGrid, best, number
from seediff.workflow.reporting.measurements import Cell, MeasuredRow
from seediff.workflow.reporting.specs import SegmenterTable, TableColumn


def segmentation_grid(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> TextGrid:
    """Reported and reproduced side by side if the paper reports one number per row, else one below the other."""
    reported = {heading for measured in rows for heading in measured.row.paper}
    layout = _side_by_side if len(reported) <= 1 else _one_below_the_other
    columns, lines, bold = layout(spec, rows)
    meanings = [meaning for column in spec.columns if (meaning := column.meaning)]
    if layout is _one_below_the_other:
        meanings.append(f"reported: {spec.reported_name}; reproduced: {spec.reproduced_name}")
    explained = f"{'; '.join(meanings)}." if meanings else ""
    caption = " ".join(f"{spec.caption} In percent. {explained}".split())
    return TextGrid(spec.name, spec.title, caption, columns, lines, bold, notes(spec, rows))


REPORTED, REPRODUCED = "reported", "reproduced"
Layout = tuple[tuple[Heading, ...], tuple[tuple[str, ...], ...], frozenset[tuple[int, int]]]


def _side_by_side(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> Layout:
    main, *others = sorted(
        spec.columns, key=lambda column: not any(column.heading in measured.row.paper for measured in rows)
    )
    columns = (
        Heading("", numeric=False),
        Heading("reported", spec.reported_name),
        Heading("reproduced", spec.reproduced_name),
        Heading("std"),
        Heading("difference"),
        Heading("runs"),
        *(Heading(column.heading) for column in others),
    )
    lines = tuple(_line(measured, measured.cells[main.heading], others, spec.embedded) for measured in rows)
    cells = [measured.cells[main.heading] for measured in rows]
    bold = best([cell.reported for cell in cells], 1) | best([cell.reproduced for cell in cells], 2)
    return columns, lines, bold


def _line(measured: MeasuredRow, cell: Cell, others: Sequence[TableColumn], embedded: bool) -> tuple[str, ...]:
    return (
        measured.row.label,
        number(cell.reported),
        number(cell.reproduced),
        number(cell.std),
        number(math.nan if embedded else cell.difference, "+.1f"),
        measured.runs,
        *(_mean_and_std(measured.cells[column.heading]) for column in others),
    )


def _one_below_the_other(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> Layout:
    """For each row a line of the paper's numbers, one of ours and, if both are of photographs, one of differences."""
    lines = [line for measured in rows for line in _lines(spec, measured)]
    texts = tuple(
        ("" if place and lines[place - 1].of is line.of else line.of.row.label, line.kind, *line.cells)
        for place, line in enumerate(lines)
    )
    headings = (Heading(column.heading) for column in spec.columns)
    columns = (Heading("", numeric=False), Heading("numbers", numeric=False), *headings)
    return columns, texts, _best_by_column(lines, [column.heading for column in spec.columns])


@dataclass(frozen=True)
class _Line:
    """One line of a row: its ``values`` by column heading and how they are written."""

    of: MeasuredRow
    kind: str
    values: Mapping[str, float]
    cells: tuple[str, ...]


def _lines(spec: SegmenterTable, measured: MeasuredRow) -> Iterator[_Line]:
    cells = measured.cells
    if measured.row.paper:
        reported = {heading: cell.reported for heading, cell in cells.items()}
        yield _Line(measured, REPORTED, reported, tuple(map(number, reported.values())))
    if measured.row.run:
        kind = f"{REPRODUCED}, {measured.runs} run{'s' * (measured.runs != '1')}"
        reproduced = {heading: cell.reproduced for heading, cell in cells.items()}
        yield _Line(measured, kind, reproduced, tuple(map(_mean_and_std, cells.values())))
    if measured.row.run and measured.row.paper and not spec.embedded:
        yield _Line(measured, "difference", {}, tuple(number(cell.difference, "+.1f") for cell in cells.values()))


def _best_by_column(lines: Sequence[_Line], headings: Sequence[str]) -> frozenset[tuple[int, int]]:
    """The largest reported and the largest reproduced number of every column, as positions in the grid."""
    bold: set[tuple[int, int]] = set()
    for column, heading in enumerate(headings, start=2):
        for kind in (REPORTED, REPRODUCED):
            places = [place for place, line in enumerate(lines) if line.kind.startswith(kind)]
            largest = best([lines[place].values[heading] for place in places], column)
            bold |= {(places[line], at) for line, at in largest}
    return frozenset(bold)


def _mean_and_std(cell: Cell) -> str:
    return number(cell.reproduced) + ("" if math.isnan(cell.std) else f" ({number(cell.std)})")


# --- notes -----------------------------------------------------------------------------------------------------------


def notes(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> tuple[Note, ...]:
    read = (*_world_notes(spec), *_reading_notes(spec, rows), *_order_notes(spec, rows))
    return (*read, *_flaw_notes(rows), *_missing_notes(rows))


def _world_notes(spec: SegmenterTable) -> list[Note]:
    if not spec.embedded:
        return []
    return [
        Note(
            "The numbers of the paper and of this study come from different worlds, photographs and embedded "
            "pictograms: their values are not to be compared, so no difference is given. What can be compared is the "
            "order of rows."
        ),
        Note(
            "The coarse cross-attention of the embedded diffusion model was partly supervised in its training "
            "(docs/embedded-model.md)."
        ),
    ]


READINGS_AGREE_WITHIN = 1.0


def _reading_notes(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> list[Note]:
    """For each complete row, whether the paper's mean over all classes is in fact that over the classes it lists."""
    listed = [column.heading for column in spec.columns if column.kind == "iou"]
    over_all = next((column.heading for column in spec.columns if column.kind == "mean" and not column.of), None)
    whole = [measured.row for measured in rows if {*listed, over_all} <= measured.row.paper.keys()]
    if spec.embedded or len(listed) < 2 or not whole:
        return []
    found = []
    for row in whole:
        mean, printed = float(np.mean([row.paper[heading] for heading in listed])), row.paper[over_all or ""]
        matches = abs(mean - printed) <= READINGS_AGREE_WITHIN
        answer = "the mean over the listed classes" if matches else "not their mean, so a mean over all classes"
        found.append(
            Note(f"{row.label}: the paper prints {printed:.1f}; its listed classes average {mean:.1f}: {answer}.")
        )
    return found


def _order_notes(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> list[Note]:
    cells = [measured.cells[spec.main.heading] for measured in rows]
    both = [cell for cell in cells if not math.isnan(cell.reported) and not math.isnan(cell.reproduced)]
    if len(both) < 3 or len({cell.reported for cell in both}) < 2:
        return []
    found = rank_agreement([cell.reported for cell in both], [cell.reproduced for cell in both])
    answer = "yes" if found.same_order else "no"
    return [
        Note(
            f"Order of rows by {spec.main.heading} as in the paper: {answer}. Rank agreement over {len(both)} rows: "
            f"Kendall τ {_rank(found.tau)}, Spearman ρ {_rank(found.rho)}."
        )
    ]


def _rank(value: float) -> str:
    return "undefined (all equal)" if math.isnan(value) else number(value, "+.2f")


def _flaw_notes(rows: Sequence[MeasuredRow]) -> list[Note]:
    return [
        Note(f"{measured.row.label}: the images it learnt from have flaws: {counted(measured.flaws)}.")
        for measured in rows
        if measured.flaws
    ]


def _missing_notes(rows: Sequence[MeasuredRow]) -> list[Note]:
    found = []
    for measured in rows:
        if measured.absent:
            total = len(measured.found) + len(measured.absent)
            count = f"{len(measured.absent)} of {total} runs" if total > 1 else "run"
            paths = " ".join(shlex.quote(str(path)) for path in measured.absent)
            found.append(Note(f"{measured.row.label}: {count} missing. Make it:", f"snakemake --cores all {paths}"))
    return found


@dataclass(frozen=True)
class Agreement:
    """How far two rankings agree: Kendall's tau-b and Spearman's rho in [-1, 1], NaN where all values are equal."""

    same_order: bool
    tau: float
    rho: float


def rank_agreement(reported: Sequence[float], reproduced: Sequence[float]) -> Agreement:
    """Compare the order of two equally long series; a tie in only one of them counts as a different order."""
    ours, theirs = (np.sign(np.subtract.outer(values, values)) for values in (reproduced, reported))
    with warnings.catch_warnings(action="ignore", category=ConstantInputWarning):
        tau, rho = (correlation(reported, reproduced).statistic for correlation in (kendalltau, spearmanr))
    return Agreement(bool((ours == theirs).all()), float(tau), float(rho))
