"""What a gallery shows of each annotated image: two thumbnails, what was drawn, flaws and measures."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from seediff.datasets.annotated import Annotated
from seediff.datasets.classes import BACKGROUND_LABEL, IGNORE_LABEL
from seediff.datasets.flaws import flaw_of
from seediff.datasets.images import Array
from seediff.datasets.origins import Origin
from seediff.datasets.palettes import VOC_COLOURS, tints
from seediff.errors import SeediffError
from seediff.filtering.measures import area, connectedness

EMPTY = "no object"
"""The flaw of a mask without a pixel of any class."""

_NO_MEASURES = ("key", "class_name", "kept", "why", "seal")
"""Columns of a filter's table that are none."""


@dataclass(frozen=True)
class Table:
    """More measures, by image. ``measures``: key -> name -> value; ``notes``: key -> why a filter leaves it out."""

    columns: tuple[str, ...] = ()
    measures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """``classes``: the class that was drawn if it is known, or else all in the mask. ``flaw``: empty if there is none.

    ``image`` and ``overlay`` are WebP; the overlay is to be laid over the image, and transparent in part.
    """

    key: str
    classes: tuple[str, ...]
    caption: str
    flaw: str
    measures: Mapping[str, float]
    note: str
    image: bytes
    overlay: bytes


def read_table(path: Path) -> Table:
    """A CSV with a column ``key`` and columns of numbers, such as a filter's table; cells may be empty.

    Raises ``SeediffError`` if it is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SeediffError(f"{path} cannot be read as a table ({error}).\nGive a CSV with a column 'key'.") from None
    if "key" not in columns:
        raise SeediffError(f"{path} has no column 'key', the names of the images.\nAdd it.")
    named = [column for column in columns if column not in _NO_MEASURES and any(row[column] for row in rows)]
    return Table(
        columns=tuple(named),
        measures={row["key"]: {name: _number(row[name], name, path) for name in named if row[name]} for row in rows},
        notes={row["key"]: row["why"] for row in rows if row.get("why")},
    )


def _number(cell: str, column: str, path: Path) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SeediffError(f"{path} holds {cell!r} in the column {column!r}, which is no number.\nCorrect it.")
    return value


def entries(data: Annotated, origin: Origin, table: Table, side: int) -> Iterator[Entry]:
    """Every image in its order; thumbnails have at most ``side`` pixels a side.

    Measures of the table come first; area and connectedness are measured unless it has them. Raises ``SeediffError`` if
    the table is about other images.
    """
    names = data.names
    if table.measures and not table.measures.keys() & set(names):
        raise SeediffError(f"The table is about other images: it has no key such as {names[0]!r}.\nGive theirs.")
    for index, name in enumerate(tqdm(names, unit="image", mininterval=5)):
        image, labels = data[index]
        measures = {"area": area(labels), "connectedness": connectedness(labels), **table.measures.get(name, {})}
        yield Entry(
            key=name,
            classes=(origin.categories[name],) if name in origin.categories else _shown(labels, data.classes),
            caption=origin.captions.get(name, ""),
            flaw=flaw_of(image) or ("" if measures["area"] else EMPTY),
            measures=measures,
            note=table.notes.get(name, ""),
            image=_webp(_shrunk(image, side, Image.Resampling.LANCZOS), quality=75),
            overlay=_webp(_tint(_shrunk(labels, side, Image.Resampling.NEAREST)), lossless=True),
        )


def _shown(labels: Array, classes: tuple[str, ...]) -> tuple[str, ...]:
    found = np.unique(labels).tolist()
    return tuple(classes[label - 1] for label in found if label not in (BACKGROUND_LABEL, IGNORE_LABEL))


def _shrunk(pixels: Array, side: int, resampling: Image.Resampling) -> Array:
    height, width = pixels.shape[:2]
    scale = min(side / max(height, width), 1)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))


def _tint(labels: Array) -> Array:
    """The overlay (H, W, 4) of labels (H, W), with its opacity."""
    colours, shares = tints(labels, VOC_COLOURS)
    return np.concatenate([colours, 255 * shares], axis=-1).round().astype(np.uint8)


def _webp(pixels: Array, quality: int = 80, lossless: bool = False) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=quality, lossless=lossless)
    return buffer.getvalue()
