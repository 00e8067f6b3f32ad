"""A table of trained segmenters: its lines, and the notes below it.

Reported and reproduced numbers stand side by side, or one below the other. Of the reproduced ones only those are bold
that are ahead of every other row beyond their interval. The notes say how to read the numbers, and what is missing.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from seediff.datasets.flaws import counted
from seediff.workflow.reporting.comparisons import Comparisons, leaders
from seediff.workflow.reporting.findings import Findings
from seediff.workflow.reporting.formats import Heading, Note, TextGrid, best, number
from seediff.workflow.reporting.measurements import Cell, MeasuredRow
from seediff.workflow.reporting.sentences import pair_lines
from seediff.workflow.reporting.specs import SegmenterTable, TableColumn


def segmentation_grid(
    spec: SegmenterTable, rows: Sequence[MeasuredRow], comparisons: Comparisons, findings: Findings
) -> TextGrid:
    """Reported and reproduced side by side if the paper reports one number per row, else one below the other."""
    reported = {heading for measured in rows for heading in measured.row.paper}
    layout = _side_by_side if len(reported) <= 1 else _one_below_the_other
    columns, lines, bold, starts = layout(spec, rows, comparisons)
    meanings = [meaning for column in spec.columns if (meaning := column.meaning)]
    if layout is _one_below_the_other:
        meanings.append(f"reported: {spec.reported_name}; reproduced: {spec.reproduced_name}")
    explained = f"{'; '.join(meanings)}." if meanings else ""
    caption = " ".join(f"{spec.question} {spec.caption} In percent. {explained}".split())
    blocks = {start: block for start, block in zip(starts, _block_headings(rows), strict=True) if block}
    pairs = tuple(pair_lines(findings))
    return TextGrid(
        spec.name, spec.title, caption, columns, lines, bold, notes(spec, rows), blocks, pairs, findings.shows
    )


def _block_headings(rows: Sequence[MeasuredRow]) -> Iterator[str]:
    """By row, the heading of the block that begins with it; empty for other rows."""
    for place, measured in enumerate(rows):
        begins = not place or rows[place - 1].row.block != measured.row.block
        yield measured.row.block if begins else ""


REPORTED, REPRODUCED = "reported", "reproduced"
Layout = tuple[tuple[Heading, ...], tuple[tuple[str, ...], ...], frozenset[tuple[int, int]], tuple[int, ...]]
"""Headings, lines, the positions of bold cells, and by row the place of its first line."""


def _side_by_side(spec: SegmenterTable, rows: Sequence[MeasuredRow], comparisons: Comparisons) -> Layout:
    """Of several columns that of the paper's numbers, or else the main one, is named where it is reproduced."""
    reported = {heading for measured in rows for heading in measured.row.paper} or {spec.main.heading}
    main, *others = sorted(spec.columns, key=lambda column: column.heading not in reported)
    columns = (
        Heading("", numeric=False),
        Heading("reported", spec.reported_name),
        Heading(f"{main.heading}, reproduced" if others else "reproduced", spec.reproduced_name),
        Heading("std"),
        Heading("difference"),
        Heading("runs"),
        *(Heading(column.heading) for column in others),
    )
    lines = tuple(_line(measured, measured.cells[main.heading], others, spec.embedded) for measured in rows)
    bold = {*best([measured.cells[main.heading].reported for measured in rows], 1)}
    for heading, at in {main.heading: 2, **{column.heading: at for at, column in enumerate(others, start=6)}}.items():
        ahead = leaders(rows, comparisons, heading)
        bold |= {(place, at) for place, measured in enumerate(rows) if measured.row.label in ahead}
    return columns, lines, frozenset(bold), tuple(range(len(rows)))


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


def _one_below_the_other(spec: SegmenterTable, rows: Sequence[MeasuredRow], comparisons: Comparisons) -> Layout:
    """For each row a line of the paper's numbers, one of ours and, if both are of photographs, one of differences."""
    lines = [line for measured in rows for line in _lines(spec, measured)]
    texts = tuple(
        ("" if place and lines[place - 1].of is line.of else line.of.row.label, line.kind, *line.cells)
        for place, line in enumerate(lines)
    )
    headings = (Heading(column.heading) for column in spec.columns)
    columns = (Heading("", numeric=False), Heading("numbers", numeric=False), *headings)
    starts = tuple(next(place for place, line in enumerate(lines) if line.of is measured) for measured in rows)
    return columns, texts, _bold_by_column(spec, rows, lines, comparisons), starts


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


def _bold_by_column(
    spec: SegmenterTable, rows: Sequence[MeasuredRow], lines: Sequence[_Line], comparisons: Comparisons
) -> frozenset[tuple[int, int]]:
    """In every column the largest reported number, and the reproduced one that is ahead, as positions in the grid."""
    bold: set[tuple[int, int]] = set()
    for at, column in enumerate(spec.columns, start=2):
        places = [place for place, line in enumerate(lines) if line.kind == REPORTED]
        largest = best([lines[place].values[column.heading] for place in places], at)
        ahead = leaders(rows, comparisons, column.heading)
        bold |= {(places[line], at) for line, at in largest}
        ours = [place for place, line in enumerate(lines) if line.kind.startswith(REPRODUCED)]
        bold |= {(place, at) for place in ours if lines[place].of.row.label in ahead}
    return frozenset(bold)


def _mean_and_std(cell: Cell) -> str:
    return number(cell.reproduced) + ("" if math.isnan(cell.std) else f" ({number(cell.std)})")


# --- notes -----------------------------------------------------------------------------------------------------------


def notes(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> tuple[Note, ...]:
    return (*_world_notes(spec), *_reading_notes(spec, rows), *_flaw_notes(rows), *_missing_notes(rows))


def _world_notes(spec: SegmenterTable) -> list[Note]:
    if not spec.embedded:
        return []
    return [
        Note(
            "The numbers of the paper and of this study come from different worlds, photographs and embedded "
            "pictograms: their values are not to be compared, so no difference is given. What can be compared is the "
            "order of rows.",
            shared=True,
        ),
        Note(
            "The coarse cross-attention of the embedded diffusion model was partly supervised in its training "
            "(docs/embedded-model.md).",
            shared=True,
        ),
    ]


def _reading_notes(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> list[Note]:
    """Which mean the paper's single numbers are, where they stand beside it."""
    headings = {column.heading for column in spec.columns if column.kind == "foreground"}
    if headings.isdisjoint(heading for measured in rows for heading in measured.row.paper):
        return []
    return [
        Note(
            "SeeDiff's paper does not say over which classes its mIoU is. It is most likely the mean over the "
            "foreground (docs/papers.md), so its numbers stand beside that.",
            shared=True,
        )
    ]


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
            total = len(measured.tested) + measured.absent_runs
            count = f"{measured.absent_runs} of {total} runs" if total > 1 else "run"
            paths = " ".join(shlex.quote(str(path)) for path in measured.absent)
            found.append(Note(f"{measured.row.label}: {count} missing. Make it:", f"snakemake --cores all {paths}"))
    return found
