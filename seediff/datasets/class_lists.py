"""The list of classes beside masks of one's own: ``classes.csv``, ``classes.txt``, or labelme's ``class_names.txt``.

``classes.csv`` has the columns ``label,class`` and, for coloured masks, ``colour``: '#rrggbb' or 'red,green,blue'. In
the others each line is a class: the first is the background if its name says so, or else label 1. Pixels of 255, and
those of a class whose name says so, are ignored.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seediff.datasets.classes import BACKGROUND, BACKGROUND_LABEL, IGNORE_LABEL, MOST_CLASSES
from seediff.datasets.images import read_file
from seediff.datasets.palettes import Colour
from seediff.errors import SeediffError
from seediff.names import check_text, reason, repeated

FILES = ("classes.csv", "classes.txt", "class_names.txt")

BACKGROUND_NAMES = frozenset({"background", "_background_", "__background__"})
IGNORED_NAMES = frozenset({"__ignore__", "ignore", "ignored", "void"})
"""Names of what is no class, in lower case."""


def check_listed(classes: Sequence[str]) -> None:
    """Raise ``SeediffError`` for a class that a list of classes would turn into background or ignored pixels."""
    for name in classes:
        if name.lower() in BACKGROUND_NAMES | IGNORED_NAMES or name != name.strip():
            raise SeediffError(
                f"Class {name!r} would be another thing in a list of classes.\nRename it, or leave it out with --class."
            )


def class_table(classes: Sequence[str]) -> str:
    """``classes.csv``: the labels and classes, 0 the background."""
    table = io.StringIO()
    csv.writer(table).writerows([("label", "class"), (0, BACKGROUND), *enumerate(classes, start=1)])
    return table.getvalue()


_HEX = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_BYTE = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True)
class ClassList:
    """The classes that a file lists.

    ``labels``: pixel value -> class name; None: ignored. ``colours``: (red, green, blue) -> pixel value, empty if the
    file gives none. ``digest``: sha256 of the file.
    """

    labels: Mapping[int, str | None]
    colours: Mapping[Colour, int]
    digest: str


def read_class_list(folder: Path) -> ClassList:
    """The list of classes in a folder; ``SeediffError`` if there is none, more than one, or one that makes no sense."""
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if not found:
        raise SeediffError(
            f"{folder} has no list of its classes.\n"
            "Add classes.csv with the columns label,class (and colour, for coloured masks), or classes.txt."
        )
    if len(found) > 1:
        raise SeediffError(f"{folder} has two lists of classes, {found[0].name} and {found[1].name}.\nKeep one.")
    (path,) = found
    content = read_file(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SeediffError(f"{path} is not text in UTF-8.\nSave it as such.") from None
    try:
        rows = list(_rows_of_csv(text) if path.suffix == ".csv" else _rows_of_lines(text))
        labels, colours = _labels(rows), _colours(rows)
    except (ValueError, csv.Error) as error:
        raise SeediffError(f"{path}: {reason(error)}.\nIt should give each class one label and one name.") from None
    return ClassList(labels, colours, hashlib.sha256(content).hexdigest())


class _Row(NamedTuple):
    label: int
    name: str
    colour: Colour | None = None


def _rows_of_csv(text: str) -> Iterator[_Row]:
    cells = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(text, newline="")) if line]
    if not cells:
        raise ValueError("it is empty")
    header, lines = cells[0], cells[1:]
    columns = [cell.lower().replace("color", "colour") for cell in header]
    if "label" not in columns or "class" not in columns:
        raise ValueError(f"its columns are {','.join(header)}, not label,class or label,class,colour")
    for line in lines:
        row = dict(zip(columns, line, strict=False))
        beyond = line[len(columns) :]  # a colour as 'red,green,blue' without quotation marks
        colour = ",".join([row.get("colour", ""), *beyond])
        yield _Row(_byte(row.get("label", ""), "label"), row.get("class", ""), _colour(colour) if colour else None)


def _byte(cell: str, what: str) -> int:
    if not _BYTE.fullmatch(cell) or int(cell) > 255:
        raise ValueError(f"{cell!r} is no {what}: these are numbers from 0 to 255")
    return int(cell)


def _colour(cell: str) -> Colour:
    if found := _HEX.fullmatch(cell):
        return tuple(int(part, 16) for part in found.groups())
    parts = cell.split(",")
    if len(parts) != 3:
        raise ValueError(f'{cell!r} is no colour, such as #c08040 or "192,128,64"')
    return tuple(_byte(part.strip(), "part of a colour") for part in parts)


def _rows_of_lines(text: str) -> Iterator[_Row]:
    names = [line.strip() for line in text.rstrip().splitlines()]
    names = names[1:] if names and names[0].lower() == "__ignore__" else names  # labelme's -1, which is saved as 255
    first = 0 if names and names[0].lower() in BACKGROUND_NAMES else 1
    for label, name in enumerate(names, start=first):
        if label and name.lower() in BACKGROUND_NAMES:
            raise ValueError(f"{name!r} is not in the first line, where the background, label 0, should be")
        yield _Row(label, name)


def _labels(rows: Sequence[_Row]) -> dict[int, str | None]:
    labels: dict[int, str | None] = {row.label: _class(row.name) for row in rows}
    if twice := repeated(row.label for row in rows):
        raise ValueError(f"label {twice[0]} is listed twice")
    if named_twice := repeated(row.name for row in rows):
        raise ValueError(f"{named_twice[0]!r} is listed twice")
    if any(label > IGNORE_LABEL for label in labels):
        raise ValueError(f"it lists {len(rows)} classes, but masks of one byte a pixel have {MOST_CLASSES} at most")
    if (name := labels.get(IGNORE_LABEL)) is not None:
        raise ValueError(f"{name!r} has the label {IGNORE_LABEL}, which is for ignored pixels")
    if not {name for name in labels.values() if name} - {BACKGROUND}:
        raise ValueError("it lists no classes")
    return {BACKGROUND_LABEL: BACKGROUND, IGNORE_LABEL: None, **labels}


def _class(name: str) -> str | None:
    """The class of that name; None if its pixels are ignored."""
    if not name:
        raise ValueError("a class has no name")
    if name.lower() in IGNORED_NAMES:
        return None
    return BACKGROUND if name.lower() in BACKGROUND_NAMES else check_text(name)


def _colours(rows: Sequence[_Row]) -> dict[Colour, int]:
    if twice := repeated(row.colour for row in rows if row.colour):
        raise ValueError(f"two classes have the colour {twice[0]}")
    return {row.colour: row.label for row in rows if row.colour}
