"""Confusion matrices of single images, of which only the entries that are not zero are kept.

Most images show two or three classes, so a thousand matrices of 11 classes take some 20 KB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seediff.errors import SeediffError
from seediff.files.arrays import read_arrays, write_arrays

WHAT = "The file of single images"

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ImageConfusions:
    """The matrices of some images, entry by entry: ``pixels[e]`` pixels of image ``image[e]`` are of class ``truth[e]``
    and were predicted as ``predicted[e]``.

    ``names``: of the images, in the order in which they were evaluated. ``classes``: how many there are.
    """

    names: tuple[str, ...]
    classes: int
    image: Counts
    truth: Counts
    predicted: Counts
    pixels: Counts

    @property
    def total(self) -> Counts:
        """(C, C): the sum over all images; row = true class, column = predicted class."""
        cells = self.truth * self.classes + self.predicted
        sums = np.zeros(self.classes**2, np.int64)
        np.add.at(sums, cells, self.pixels)
        return sums.reshape(self.classes, self.classes)

    def overlap(self, group: Sequence[int]) -> Counts:
        """(N, 2): of every image, the pixels that are of the group's classes both in truth and as predicted, and those
        that are so in at least one of the two. Classes of a group count as one class."""
        inside = np.zeros(self.classes, bool)
        inside[list(group)] = True
        true, found = inside[self.truth], inside[self.predicted]
        counts = np.zeros((len(self.names), 2), np.int64)
        for column, counted in enumerate((true & found, true | found)):
            np.add.at(counts[:, column], self.image[counted], self.pixels[counted])
        return counts


def image_confusions(matrices: Iterable[tuple[str, Counts]], classes: int) -> ImageConfusions:
    """Names and matrices (C, C), image by image, of ``classes`` classes; only entries are kept in memory."""
    names: list[str] = []
    entries = [np.zeros((4, 0), np.int64)]
    for number, (name, matrix) in enumerate(matrices):
        names.append(name)
        truth, predicted = np.nonzero(matrix)
        entries.append(np.stack([np.full_like(truth, number), truth, predicted, matrix[truth, predicted]]))
    return ImageConfusions(tuple(names), classes, *np.concatenate(entries, axis=1))


def write_confusions(path: Path, confusions: ImageConfusions) -> None:
    """Write a sealed npz: names as JSON, the number of each image's entries, and the entries' cells and pixels."""
    entries = np.bincount(confusions.image, minlength=len(confusions.names))
    cells = confusions.truth * confusions.classes + confusions.predicted
    arrays = {"entries": entries, "cells": cells, "pixels": confusions.pixels}
    names = np.frombuffer(json.dumps(confusions.names).encode(), np.uint8)
    write_arrays(path, {"names": names, **{name: _smallest(array) for name, array in arrays.items()}})


def _smallest(array: Counts) -> NDArray[Any]:
    """The same numbers in the smallest type that holds them."""
    return array.astype(np.min_scalar_type(int(array.max(initial=0))))


def read_confusions(path: Path, total: Counts) -> ImageConfusions:
    """What ``write_confusions`` has written; ``total`` (C, C) is what its matrices have to sum up to.

    Raises ``SeediffError`` naming the file if it is missing, broken, or sums up to anything else.
    """
    arrays = read_arrays(path, WHAT)
    try:
        found = _parsed(arrays, len(total))
    except (KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError):
        raise SeediffError(
            f"{WHAT} {path} holds no confusion matrices.\nDelete it and run the workflow again."
        ) from None
    if not np.array_equal(found.total, total):
        raise SeediffError(f"The matrices in {path} do not sum up to that of all images.\nDelete it and run again.")
    return found


def _parsed(arrays: dict[str, NDArray[Any]], classes: int) -> ImageConfusions:
    names = json.loads(arrays["names"].tobytes())
    entries, cells, pixels = (arrays[name].astype(np.int64, casting="safe") for name in ("entries", "cells", "pixels"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError
    if {array.ndim for array in (entries, cells, pixels)} != {1} or min(map(_least, (entries, cells, pixels))) < 0:
        raise ValueError
    if (
        len(entries) != len(names)
        or not len(cells) == len(pixels) == entries.sum()
        or cells.max(initial=0) >= classes**2
    ):
        raise ValueError
    image = np.repeat(np.arange(len(names)), entries)
    return ImageConfusions(tuple(names), classes, image, cells // classes, cells % classes, pixels)


def _least(array: Counts) -> int:
    return int(array.min(initial=0))
