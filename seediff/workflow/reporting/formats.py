"""One grid of ready-made cells, written as Markdown, LaTeX or HTML."""

from __future__ import annotations

import html as htmllib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from seediff.names import one_line, visible, visible_lines
from seediff.workflow.reporting.stored import read_stored

MISSING = "–"
"""Stands in a cell that has no number."""


@dataclass(frozen=True)
class Heading:
    """``heading`` with a ``detail`` in parentheses below or after it; columns of numbers are right-aligned."""

    heading: str
    detail: str = ""
    numeric: bool = True

    @property
    def text(self) -> str:
        return f"{self.heading} ({self.detail})" if self.detail else self.heading


@dataclass(frozen=True)
class Note:
    """A sentence below the table, followed by a shell command if there is one.

    ``shared``: it stands below other tables, too, so that a page of many tables can print it once.
    """

    text: str
    command: str = ""
    shared: bool = False


@dataclass(frozen=True)
class TextGrid:
    """A table whose cells are text already; ``bold`` holds (row, column) positions.

    ``blocks``: headings of blocks, by the place of their first row. Below the table stand ``pairs``, a heading and
    lines, the ``notes``, and what it ``shows``.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: frozenset[tuple[int, int]] = frozenset()
    notes: tuple[Note, ...] = ()
    blocks: Mapping[int, str] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()
    shows: str = ""

    @property
    def shared_notes(self) -> tuple[Note, ...]:
        return tuple(note for note in self.notes if note.shared)

    def with_own_notes(self) -> TextGrid:
        """Without the shared ones."""
        return replace(self, notes=tuple(note for note in self.notes if not note.shared))


def read_grid(path: Path) -> TextGrid:
    """What ``tables/<table>.grid.json`` holds; ``SeediffError`` naming it if it is not as it was written."""
    return read_stored(path, "The table", TextGrid)


def number(value: float, form: str = ".1f") -> str:
    """The cell of a number; a dash for NaN."""
    return MISSING if value is None or math.isnan(value) else format(value, form).replace("-", "−")


def best(values: Sequence[float], column: int) -> frozenset[tuple[int, int]]:
    """Positions of the largest value, ties included; none if there are fewer than two values."""
    known = [value for value in values if not math.isnan(value)]
    return frozenset((i, column) for i, value in enumerate(values) if len(known) > 1 and value == max(known))


def markdown(grid: TextGrid) -> str:
    """A GitHub-flavoured table with padded columns, its title above and its notes below."""
    cells = [*_md_rows(grid)]
    numeric = [column.numeric for column in grid.columns]
    header, *body = _padded([[_md(column.text) for column in grid.columns], *cells], numeric)
    rule = ["-" * (len(cell) - 1) + (":" if right else "-") for cell, right in zip(header, numeric, strict=True)]
    lines = [f"| {' | '.join(row)} |" for row in (header, rule, *body)]
    notes = [f"- {_md(note.text)}" + (f" `{visible(note.command)}`" if note.command else "") for note in grid.notes]
    parts = [f"### {_md(grid.title)}", _md(grid.caption), "\n".join(lines)]
    parts += [*map(_md, grid.pairs[:1]), "\n".join(f"- {_md(pair)}" for pair in grid.pairs[1:])]
    parts += ["**Notes**" if notes and grid.pairs else "", "\n".join(notes)]
    parts += [f"**Shows:** {_md(grid.shows)}" if grid.shows else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def _md_rows(grid: TextGrid) -> Iterator[list[str]]:
    """The cells of every line; the heading of a block stands in the first."""
    for place, row in enumerate(grid.rows):
        if block := grid.blocks.get(place):
            yield [f"*{_md(block)}*", *[""] * (len(row) - 1)]
        yield [f"**{_md(cell)}**" if (place, column) in grid.bold else _md(cell) for column, cell in enumerate(row)]


def _padded(rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[list[str]]:
    """The same cells, each as wide as its column: at least three characters, as Markdown's rule has three dashes."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        for row in rows
    ]


def _md(text: str) -> str:
    """One line of Markdown that reads as ``text``; an underscore inside a word needs no escape."""
    return re.sub(r"[\\|`*<\[\]#]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)", r"\\\g<0>", one_line(text))


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "−": "$-$", "–": "--", "±": r"$\pm$", "β": r"$\beta$", "τ": r"$\tau$", "ρ": r"$\rho$",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """``text`` for LaTeX: every character special to TeX is escaped, white space becomes one space."""
    return "".join(_LATEX.get(character, character) for character in one_line(text))


def latex(grid: TextGrid) -> str:
    """A ``table`` environment to paste into a paper; it needs the booktabs package."""
    return "\n".join([
        r"\begin{table}", r"\centering",
        rf"\caption{{{_latex_caption(grid)}}}", rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', grid.name)}}}",
        rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in grid.columns)}}}", r"\toprule",
        " & ".join(map(_latex_heading, grid.columns)) + r" \\", r"\midrule",
        *(line + r" \\" for line in _latex_rows(grid)), r"\bottomrule", r"\end{tabular}",
        *_latex_below(grid), r"\end{table}", "",
    ])  # fmt: skip


def _latex_rows(grid: TextGrid) -> Iterator[str]:
    for place, row in enumerate(grid.rows):
        if block := grid.blocks.get(place):
            yield rf"\multicolumn{{{len(row)}}}{{l}}{{\emph{{{escape_latex(block)}}}}}"
        texts = ((escape_latex(cell), (place, column) in grid.bold) for column, cell in enumerate(row))
        yield " & ".join(rf"\textbf{{{text}}}" if bold else text for text, bold in texts)


def _latex_caption(grid: TextGrid) -> str:
    return escape_latex(f"{grid.title.rstrip('.')}. {grid.caption}")


def _latex_heading(column: Heading) -> str:
    """The detail is on a line of its own, or the columns would not fit on a page."""
    if not column.detail:
        return escape_latex(column.heading)
    side = "r" if column.numeric else "l"
    lines = rf"{escape_latex(column.heading)}\\{{\footnotesize ({escape_latex(column.detail)})}}"
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{lines}\end{{tabular}}"


def _latex_below(grid: TextGrid) -> list[str]:
    lines = [*map(escape_latex, grid.pairs), *map(_latex_note, grid.notes)]
    lines += [rf"\textbf{{Shows:}} {escape_latex(grid.shows)}"] if grid.shows else []
    wrapped = [
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
        *(f"{line}\\par" for line in lines),
    ]
    return [*wrapped, r"\end{minipage}"] if lines else []


def _latex_note(note: Note) -> str:
    command = escape_latex(note.command).replace("/", "/" + chr(92) + "allowbreak ")
    return escape_latex(note.text) + (rf" \texttt{{{command}}}" if command else "")


def html(grid: TextGrid) -> str:
    """A ``<figure>`` fragment holding the ``<table>`` and what is below; all text is escaped, no style is inline."""
    head = "".join(_html_heading(column) for column in grid.columns)
    body = "".join(f"{line}\n" for line in _html_rows(grid))
    return (
        f'<figure class="table" id="table-{_text(grid.name)}">\n<div class="scroll"><table>\n'
        f"<caption><strong>{_text(grid.title)}</strong> {_text(grid.caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
        + "".join(f'<p class="pairs">{_text(pair)}</p>\n' for pair in grid.pairs[:1])
        + _html_list("notes pairs", map(_text, grid.pairs[1:]))
        + _html_list("notes", map(html_note, grid.notes))
        + (f'<p class="shows"><strong>Shows:</strong> {_text(grid.shows)}</p>\n' if grid.shows else "")
        + "</figure>\n"
    )


def _html_rows(grid: TextGrid) -> Iterator[str]:
    for place, row in enumerate(grid.rows):
        if block := grid.blocks.get(place):
            yield f'<tr class="block"><th scope="rowgroup" class="label" colspan="{len(row)}">{_text(block)}</th></tr>'
        cells = (_html_cell(cell, grid.columns[j], (place, j) in grid.bold) for j, cell in enumerate(row))
        yield f"<tr>{''.join(cells)}</tr>"


def _html_list(kind: str, items: Iterable[str]) -> str:
    lines = "".join(f"<li>{item}</li>\n" for item in items)
    return f'<ul class="{kind}">\n{lines}</ul>\n' if lines else ""


def _text(text: str) -> str:
    return htmllib.escape(visible_lines(text), quote=True)


def _html_heading(column: Heading) -> str:
    detail = f" <small>({_text(column.detail)})</small>" if column.detail else ""
    return f'<th scope="col" class="{"number" if column.numeric else "label"}">{_text(column.heading)}{detail}</th>'


def _html_cell(cell: str, column: Heading, bold: bool) -> str:
    content = f"<strong>{_text(cell)}</strong>" if bold else _text(cell)
    return f'<td class="number">{content}</td>' if column.numeric else f'<th scope="row" class="label">{content}</th>'


def html_note(note: Note) -> str:
    """The content of a list item, escaped."""
    return _text(note.text) + (f" <code>{_text(note.command)}</code>" if note.command else "")
