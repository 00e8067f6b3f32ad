"""Two layouts of a table of trained segmenters: reported and reproduced side by side, or one below the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from seediff.workflow.reporting import formats
from seediff.workflow.reporting.columns import Column
from seediff.workflow.reporting.formats import Grid, best, number
from seediff.workflow.reporting.measurements import Cell, Measured
from seediff.workflow.reporting.notes import notes
from seediff.workflow.reporting.specs import TableSpec


def segmentation_grid(spec: TableSpec, rows: Sequence[Measured]) -> Grid:
    """Reported and reproduced side by side where the paper reports one number a row, else one below the other."""
    reported = {heading for one in rows for heading in one.row.paper}
    layout = _side_by_side if len(reported) <= 1 else _one_below_the_other
    columns, lines, bold = layout(spec, rows)
    meanings = [meaning for column in spec.columns if (meaning := column.meaning)]
    if layout is _one_below_the_other:
        meanings.append(f"reported: {spec.reported_name}; reproduced: {spec.reproduced_name}")
    explained = f"{'; '.join(meanings)}." if meanings else ""
    caption = " ".join(f"{spec.caption} In percent. {explained}".split())
    return Grid(spec.name, spec.title, caption, columns, lines, bold, notes(spec, rows))


REPORTED, REPRODUCED = "reported", "reproduced"
Layout = tuple[tuple[formats.Column, ...], tuple[tuple[str, ...], ...], frozenset[tuple[int, int]]]


def _side_by_side(spec: TableSpec, rows: Sequence[Measured]) -> Layout:
    main, *others = sorted(spec.columns, key=lambda column: not any(column.heading in one.row.paper for one in rows))
    columns = (
        formats.Column("", numeric=False),
        formats.Column("reported", spec.reported_name),
        formats.Column("reproduced", spec.reproduced_name),
        formats.Column("std"),
        formats.Column("difference"),
        formats.Column("runs"),
        *(formats.Column(column.heading) for column in others),
    )
    lines = tuple(_line(one, one.cells[main.heading], others, spec.embedded) for one in rows)
    cells = [one.cells[main.heading] for one in rows]
    bold = best([cell.reported for cell in cells], 1) | best([cell.reproduced for cell in cells], 2)
    return columns, lines, bold


def _line(one: Measured, cell: Cell, others: Sequence[Column], embedded: bool) -> tuple[str, ...]:
    return (
        one.row.label,
        number(cell.reported),
        number(cell.reproduced),
        number(cell.std),
        number(math.nan if embedded else cell.difference, "+.1f"),
        one.runs,
        *(_mean_and_std(one.cells[column.heading]) for column in others),
    )


def _one_below_the_other(spec: TableSpec, rows: Sequence[Measured]) -> Layout:
    """For each row a line of the paper's numbers, one of ours, and, worlds being equal, one of the differences."""
    lines = [line for one in rows for line in _lines(spec, one)]
    texts = tuple(
        ("" if place and lines[place - 1].of is line.of else line.of.row.label, line.kind, *line.cells)
        for place, line in enumerate(lines)
    )
    headings = (formats.Column(column.heading) for column in spec.columns)
    columns = (formats.Column("", numeric=False), formats.Column("numbers", numeric=False), *headings)
    return columns, texts, _best_by_column(lines, [column.heading for column in spec.columns])


@dataclass(frozen=True)
class _Line:
    """One line of a row: its ``values`` by column heading and how they are written."""

    of: Measured
    kind: str
    values: Mapping[str, float]
    cells: tuple[str, ...]


def _lines(spec: TableSpec, one: Measured) -> Iterator[_Line]:
    cells = one.cells
    if one.row.paper:
        reported = {heading: cell.reported for heading, cell in cells.items()}
        yield _Line(one, REPORTED, reported, tuple(map(number, reported.values())))
    if one.row.run:
        kind = f"{REPRODUCED}, {one.runs} run{'s' * (one.runs != '1')}"
        reproduced = {heading: cell.reproduced for heading, cell in cells.items()}
        yield _Line(one, kind, reproduced, tuple(map(_mean_and_std, cells.values())))
    if one.row.run and one.row.paper and not spec.embedded:
        yield _Line(one, "difference", {}, tuple(number(cell.difference, "+.1f") for cell in cells.values()))


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
