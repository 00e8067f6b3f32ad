"""One entry of a benchmark on disk, and the checks that every reader shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seediff.errors import SeediffError
from seediff.files import read_json

RECORD = "domain.json"
"""Where an embedded stand-in says which files it is made of, split by split, with the sha256 of each."""


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


def recorded_checksums(folder: Path, split: str, items: Sequence[Item]) -> dict[Path, str]:
    """sha256 of every file of a stand-in's split; nothing for a data set that keeps no record of its files.

    Raises ``SeediffError`` unless the items are those of the record.
    """
    if not (folder / RECORD).exists():
        return {}
    record = read_json(folder / RECORD, "The record of the stand-in")["splits"].get(split, {})
    checksums = {folder / name: digest for name, digest in record.items()}
    if [path for item in items for path in (item.image, item.labels)] != [*checksums]:
        raise SeediffError(
            f"The images of split {split!r} in {folder} are not those that were drawn.\n"
            "Delete the folder and run again."
        )
    return checksums
