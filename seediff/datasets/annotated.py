"""Annotated images of any known format, opened by their folder alone: data sets that users bring along."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.classes import MOST_CLASSES
from seediff.datasets.custom import CustomFormat
from seediff.datasets.formats import Format
from seediff.datasets.images import Pairs
from seediff.datasets.items import check_folder
from seediff.datasets.registry import find_format, recognise
from seediff.errors import SeediffError


class Annotated(Pairs, Protocol):
    """Images (H, W, 3) uint8 with labels (H, W) uint8: 0 background, k for ``classes[k - 1]``, 255 ignored.

    ``names``: of the images, in their order. ``identity``: a text that changes when the data do.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def names(self) -> list[str]: ...

    @property
    def identity(self) -> str: ...


def open_annotated(
    folder: Path, format: str | None = None, split: str | None = None, classes: Sequence[str] | None = None
) -> Annotated:
    """Open one split of a data set, such as a folder that `seediff generate` wrote.

    ``format``: its name in ``datasets.registry``; recognised by what the folder holds if None. ``split``: None if the
    folder has one alone. ``classes``: None for all of the data set, in the order of its labels; if some are given, the
    others become background. Raises ``SeediffError`` if the format or the split is unclear, for a class that the data
    set does not have, for more than 254 classes, and for whatever ``open_benchmark`` refuses.
    """
    known = _format(folder, format)
    chosen = chosen_split(folder, format, split)
    wanted = known.of(folder, chosen).classes if classes is None else classes
    if len(wanted) > MOST_CLASSES:
        raise SeediffError(
            f"{folder} has {len(wanted)} classes, but labels of one byte can tell {MOST_CLASSES} apart.\n"
            "Say which of them are wanted."
        )
    return open_benchmark(known.name, folder, chosen, wanted)


def chosen_split(folder: Path, format: str | None = None, split: str | None = None) -> str:
    """The split that ``open_annotated`` opens."""
    if split is not None:
        return split
    known = _format(folder, format)
    check_folder(folder, known.layout)
    found = known.present_splits(folder)
    if not found:
        raise SeediffError(f"{folder} is not laid out as {known.name}.\nIt should hold {known.layout}.")
    if len(found) > 1:
        raise SeediffError(f"{folder} has the splits {', '.join(found)}.\nSay which of them is wanted.")
    return found[0]


def _format(folder: Path, format: str | None) -> Format | CustomFormat:
    return recognise(folder) if format is None else find_format(format)
