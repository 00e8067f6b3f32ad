"""What is exported: annotated images, their splits, and what is known of how they were made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tqdm import tqdm

from seediff import __version__
from seediff.datasets.annotated import Annotated
from seediff.datasets.classes import MOST_CLASSES, check_classes
from seediff.datasets.images import Array
from seediff.datasets.origins import Origin
from seediff.errors import SeediffError
from seediff.names import MOST_BYTES, check_text, folded

_NO_FILE_NAME = re.compile(r'[<>:"/\\|?*]|^\.|[ .]$')
"""What no file may be called on one system or another."""


@dataclass(frozen=True)
class Sample:
    """``image`` (H, W, 3) uint8; ``labels`` (H, W) uint8: 0 background, k the k-th class, 255 ignored.

    ``index`` is its place in the data set, counted from 0. ``caption`` and ``category`` are None where nothing is
    known.
    """

    index: int
    name: str
    image: Array
    labels: Array
    caption: str | None = None
    category: str | None = None


@dataclass(frozen=True)
class Source:
    """A data set to export. ``splits``: split -> indices of its images; ``license``: that the data set is under."""

    data: Annotated
    splits: Mapping[str, Sequence[int]]
    origin: Origin = field(default_factory=Origin)
    license: str = "unknown"

    def samples(self, split: str) -> Iterator[Sample]:
        """The split's samples, one in memory at a time, with a progress bar."""
        captions, categories = self.origin.captions, self.origin.categories
        for index in tqdm(self.splits[split], desc=split, unit="image", mininterval=5):
            name, (image, labels) = self.names[index], self.data[index]
            yield Sample(index, name, image, labels, captions.get(name), categories.get(name))

    @cached_property
    def names(self) -> Sequence[str]:
        return self.data.names

    @cached_property
    def about(self) -> dict[str, Any]:
        """What is known of the data set as a whole, for JSON."""
        return {"exported_by": f"seediff {__version__}", "license": self.license, **self.origin.settings}

    @property
    def about_json(self) -> str:
        return json.dumps(self.about, indent=1) + "\n"


def check_data(data: Annotated) -> None:
    """Raise ``SeediffError`` unless there are images, with names for files, and classes that labels of a byte hold."""
    if not len(data):
        raise SeediffError("The data set has no images.")
    check_classes(data.classes)
    for name in data.classes:
        _check_line("Class", name)
    if len(data.classes) > MOST_CLASSES:
        raise SeediffError(
            f"There are {len(data.classes)} classes, but label files have room for {MOST_CLASSES}.\n"
            "Name the classes to keep with --class."
        )
    _check_names(data.names)


def _check_names(names: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for name in names:
        _check_line("Image", name)
        if not name or _NO_FILE_NAME.search(name) or len(name.encode()) > MOST_BYTES:
            raise SeediffError(f"Image {name!r} has a name that no file can have on every system.\nRename it.")
        if (key := folded(name)) in first:
            raise SeediffError(
                f"The images {first[key]!r} and {name!r} would be one file where case does not count.\nRename one."
            )
        first[key] = name


def check_license(license: str) -> None:
    """Raise ``SeediffError`` unless the license is a line of text."""
    if not license.strip():
        raise SeediffError("The license has no name.\nLeave it out if it is unknown.")
    _check_line("License", license)


def _check_line(kind: str, name: str) -> None:
    try:
        check_text(name)
    except ValueError as error:
        raise SeediffError(f"{kind} {name!r}: its name {error}.\nRename it.") from None
