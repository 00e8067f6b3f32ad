"""A grid of pictures: equal tiles, each row under its title on the left, each column under its title at the top.

Lengths are pixels of the PNG; the PDF has the same layout, with its text as text.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from seediff.errors import SeediffError
from seediff.files.sealed import partial
from seediff.workflow.reporting.charts import ACCENT, INK, MUTED, STYLE
from seediff.workflow.reporting.strips import COLORMAP, Tile

DPI = 200
SIDE, GAP = 256, 16
"""A tile's side, a multiple of the usual sides of images and maps; the space between tiles."""
FONT_SIZE, LINE, CHARACTER = 10, 36, 15
"""Of all text: size in points; height of a line and width of a typical letter in pixels."""
TITLE_CHARACTERS, TITLE_LINES = 20, 5
"""Limits of a row's title; a longer title ends in an ellipsis."""


@dataclass(frozen=True)
class PictureRow:
    """``tiles`` by column title: images, (H, W, 3) uint8 or PIL, or scores, (r, r) in [0, 1].

    ``note`` stands below the title, in another colour.
    """

    title: str
    note: str
    tiles: Mapping[str, Tile]


@dataclass(frozen=True)
class PictureGrid:
    """Rows with the same columns; ``key``, printed below them, says what the marks mean."""

    rows: Sequence[PictureRow]
    key: str = ""

    def __post_init__(self) -> None:
        if not self.rows:
            raise SeediffError("A figure needs at least one image.")
        for row in self.rows:
            if tuple(row.tiles) != self.columns:
                raise SeediffError(
                    f"Row {row.title!r} has other columns than row {self.rows[0].title!r}.\n"
                    "Draw all images of a figure with one model."
                )

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.rows[0].tiles)

    @property
    def has_scores(self) -> bool:
        """Whether there are colours to explain."""
        return any(np.asarray(tile).ndim == 2 for row in self.rows for tile in row.tiles.values())


@dataclass(frozen=True)
class Sheet:
    """A matplotlib figure on which things are placed in pixels from the left and the top."""

    figure: Figure
    width: int
    height: int

    def text(self, left: int, top: int, lines: Sequence[str], color: str = INK, **options: Any) -> None:
        """Lines of text at equal distances, whatever letters they have; ``top`` is that of the first line."""
        options = {"fontsize": FONT_SIZE, "va": "baseline", "color": color, **options}
        for index, line in enumerate(lines):
            baseline = top + (index + 0.75) * LINE
            # A prompt may have dollar signs, which matplotlib would read as a formula.
            self.figure.text(left / self.width, 1 - baseline / self.height, line, parse_math=False, **options)

    def tile(self, left: int, top: int, tile: Tile, height: int = SIDE) -> None:
        """Show the tile in a box of ``SIDE`` x ``height``; enlarged pixels keep sharp edges."""
        box = (left / self.width, 1 - (top + height) / self.height, SIDE / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        aspect: Literal["equal", "auto"] = "equal" if height == SIDE else "auto"
        axes.imshow(np.asarray(tile), cmap=COLORMAP, vmin=0, vmax=1, aspect=aspect)
        axes.set_axis_off()


def picture(grid: PictureGrid) -> Figure:
    """The grid on white: column titles once at the top, row titles on the left, the key below."""
    heads = [textwrap.wrap(title, SIDE // CHARACTER) for title in grid.columns]
    sides = [_titles(row) for row in grid.rows]
    left = max(len(line) for title, note in sides for line in [*title, *note]) * CHARACTER + 2 * GAP
    top = max(map(len, heads)) * LINE + GAP
    width, bottom = left + len(heads) * (SIDE + GAP), top + len(grid.rows) * (SIDE + GAP)
    key = textwrap.wrap(grid.key, (width - 2 * GAP) // CHARACTER)
    height = bottom + (grid.has_scores + len(key)) * LINE + GAP
    with matplotlib.rc_context(STYLE):
        sheet = Sheet(Figure((width / DPI, height / DPI), dpi=DPI, facecolor="white"), width, height)
        for index, title in enumerate(heads):
            sheet.text(left + index * (SIDE + GAP), top - GAP // 2 - len(title) * LINE, title)
        for index, (row, titles) in enumerate(zip(grid.rows, sides, strict=True)):
            _place_row(sheet, left, top + index * (SIDE + GAP), row, *titles)
        _place_key(sheet, left, bottom, key, grid.has_scores)
    return sheet.figure


def _titles(row: PictureRow) -> tuple[list[str], list[str]]:
    title = textwrap.wrap(row.title, TITLE_CHARACTERS, max_lines=TITLE_LINES, placeholder=" …")
    return title, textwrap.wrap(row.note, TITLE_CHARACTERS)


def _place_row(sheet: Sheet, left: int, top: int, row: PictureRow, title: list[str], note: list[str]) -> None:
    middle = top + (SIDE - len(title + note) * LINE) // 2
    sheet.text(GAP, middle, title)
    sheet.text(GAP, middle + len(title) * LINE, note, color=ACCENT)
    for index, tile in enumerate(row.tiles.values()):
        sheet.tile(left + index * (SIDE + GAP), top, tile)


def _place_key(sheet: Sheet, left: int, top: int, key: list[str], has_scores: bool) -> None:
    """The colours of 0 to 1 under the first column, if there are any to explain; then the words."""
    if has_scores:
        sheet.text(left - GAP // 2, top, ["0"], ha="right")
        sheet.tile(left, top + GAP // 4, np.linspace(0, 1, SIDE)[None], LINE - GAP // 2)
        sheet.text(left + SIDE + GAP // 2, top, ["1"])
    sheet.text(GAP, top + has_scores * LINE, key, color=MUTED)


def write_palette_png(picture: Figure, path: Path) -> None:
    """Write the picture in 256 colours, which takes fewer bytes; the same bytes for the same picture."""
    content = io.BytesIO()
    picture.savefig(content, format="png", metadata={"Software": None})
    with partial(path) as unfinished:
        palette = Image.open(content).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        palette.save(unfinished, "PNG", optimize=True)


def write_gallery(picture: Figure, stem: Path) -> None:
    """Write ``stem``.png and ``stem``.pdf, each whole or not at all; the same bytes for the same picture."""
    undated = {"png": ("Software",), "pdf": ("Creator", "Producer", "CreationDate")}
    for kind, tags in undated.items():
        with partial(stem.with_name(f"{stem.name}.{kind}")) as unfinished, matplotlib.rc_context(STYLE):
            picture.savefig(unfinished, format=kind, metadata=dict.fromkeys(tags))
