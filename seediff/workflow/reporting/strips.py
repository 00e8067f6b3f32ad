"""Strips: tiles side by side, such as the steps from one image to its mask."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.diffusion.synthesis import Drawn
from seediff.errors import SeediffError
from seediff.masks.refinement import Refinement, refine, to_mask
from seediff.masks.variants import apply, calls_of, mask_steps, scores_by_step
from seediff.workflow.reporting.charts import INK

Tile: TypeAlias = "Image.Image | NDArray[Any]"

TILE = 192
"""Height of a tile in a strip, in pixels."""
IN_A_ROW = 8
"""Tiles of variants side by side."""
GAP, TITLE_SIZE, TITLE_LINES = 10, 22, 2
COLORMAP = "viridis"


def step_strip(drawn: Drawn, steps: Sequence[tuple[str, dict[str, Any]]], refinement: Refinement) -> Image.Image:
    """From an image to its mask: the image, cross-attention, every mask step, PAMR, and the mask over the image.

    ``steps``: a variant's resolved steps.
    """
    maps = drawn.class_maps(calls_of(steps))
    columns: list[tuple[str, Tile]] = [(drawn.prompt.prompt, drawn.image)]
    scores = scores_by_step(steps, maps)
    for (name, params), score in zip(mask_steps(steps), scores, strict=True):
        columns.append((f"{name.replace('_', ' ')} {params.get('resolution', '')}", score.cpu().numpy()))
    soft = refine(scores[-1], drawn.image, refinement)
    mask = to_mask(soft, 1, refinement.final_threshold)
    refined = "PAMR" if refinement.pamr else "upsampled"
    return strip([*columns, (refined, soft.cpu().numpy()), ("mask", overlay(drawn.image, mask, VOC_COLOURS))])


def variant_strips(
    drawn: Drawn, variants: Mapping[str, Sequence[tuple[str, dict[str, Any]]]], refinement: Refinement
) -> list[Image.Image]:
    """The masks of every variant over the image, ``IN_A_ROW`` side by side; ``variants``: their resolved steps."""
    columns: list[tuple[str, Tile]] = []
    for name, steps in variants.items():
        soft = refine(apply(steps, drawn.class_maps(calls_of(steps))), drawn.image, refinement)
        mask = to_mask(soft, 1, refinement.final_threshold)
        columns.append((name.replace("_", " "), overlay(drawn.image, mask, VOC_COLOURS)))
    return [strip(columns[first : first + IN_A_ROW]) for first in range(0, len(columns), IN_A_ROW)]


def stacked(rows: Sequence[Image.Image]) -> Image.Image:
    """Strips one below the other, on white."""
    height = sum(row.height + GAP for row in rows) - GAP
    canvas, top = Image.new("RGB", (max(row.width for row in rows), height), "white"), 0
    for row in rows:
        canvas.paste(row, (0, top))
        top += row.height + GAP
    return canvas


def strip(columns: Sequence[tuple[str, Tile]]) -> Image.Image:
    """Tiles of equal height side by side on white, each under its title, two lines at most.

    A tile is an image, (H, W, 3) uint8 or PIL, or a score, (h, w) in [0, 1], shown from dark (0) to bright (1) with
    its own pixels visible. Raises ``SeediffError`` for anything else.
    """
    if not columns:
        raise SeediffError("A strip needs at least one column.")
    tiles = [_fitted(_picture(title, tile)) for title, tile in columns]
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), TITLE_SIZE)
    titles = [_wrapped(title, font, tile.width) for (title, _), tile in zip(columns, tiles, strict=True)]
    head = max(title.count("\n") + 1 for title in titles) * (TITLE_SIZE + 6) + 6
    canvas = Image.new("RGB", (sum(tile.width + GAP for tile in tiles) - GAP, head + TILE), "white")
    draw, left = ImageDraw.Draw(canvas), 0
    for title, tile in zip(titles, tiles, strict=True):
        draw.multiline_text((left, head - 8), title, fill=INK, font=font, anchor="ld", spacing=6)
        canvas.paste(tile, (left, head))
        left += tile.width + GAP
    return canvas


def _picture(title: str, tile: Tile) -> Image.Image:
    if isinstance(tile, Image.Image):
        return tile.convert("RGB")
    if tile.ndim == 3 and tile.shape[2] == 3 and tile.dtype == np.uint8:
        return Image.fromarray(tile)
    if tile.ndim == 2 and tile.dtype.kind in "fb" and np.isfinite(tile).all() and 0 <= tile.min() <= tile.max() <= 1:
        colours = matplotlib.colormaps[COLORMAP](tile.astype(np.float64), bytes=True)
        return Image.fromarray(np.ascontiguousarray(colours[..., :3]))
    raise SeediffError(
        f"Column {title!r} of a strip is neither an image nor a score: shape {tile.shape}, {tile.dtype}.\n"
        "Give (H, W, 3) uint8, or (h, w) floats in [0, 1]."
    )


def _fitted(picture: Image.Image) -> Image.Image:
    """At tile height: enlarged so that pixels stay squares, reduced smoothly."""
    width = max(1, round(picture.width * TILE / picture.height))
    enlarged = picture.height <= TILE
    return picture.resize((width, TILE), Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)


def _wrapped(title: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The title in lines that fit ``width`` pixels, with an ellipsis if two lines are not enough."""
    characters = max(4, int(width / font.getlength("n")))
    return "\n".join(textwrap.wrap(title, characters, max_lines=TITLE_LINES, placeholder="…"))
