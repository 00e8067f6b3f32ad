"""One entry of a benchmark on disk, and the checks that every reader shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seediff.errors import SeediffError


class Item(NamedTuple):
    """An annotated image: its name and its two files."""

    name: str
    image: Path
    labels: Path


def check_folder(folder: Path, what: str) -> None:
    """Raise ``SeediffError`` unless the folder exists; ``what`` says what it should hold."""
    if not folder.is_dir():
        raise SeediffError(f"There is no folder {folder}.\nIt should hold {what}.")


def check_items(items: Sequence[Item], source: Path) -> list[Item]:
    """The items, once it is sure that there are some and that no image or label file is missing."""
    if not items:
        raise SeediffError(f"{source} lists no images.")
    for item in items:
        for kind, path in (("image", item.image), ("label file", item.labels)):
            if not path.is_file():
                raise SeediffError(f"The {kind} of {item.name} is missing: {path}\n(listed in {source})")
    return list(items)
