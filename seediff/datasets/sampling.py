"""Reads some of a split's files, as a check of a data set does: what is wrong with one is noted and stops nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.benchmarks import Format
from seediff.datasets.classes import BACKGROUND
from seediff.datasets.findings import Finding, Problem, Problems
from seediff.datasets.images import Photograph, PictureError, decode_photograph
from seediff.datasets.items import Item

Size = tuple[int, int]
Content = TypeVar("Content")

MONOTONOUS = 0.99
"""Share of all pixels from which on it is suspicious that they have one value."""
MOSTLY = 0.5
"""A larger share of ignored pixels is suspicious."""
ENOUGH_FILES = 10
"""So many label files should show more than one class."""


def spread(items: Sequence[Item], number: int | None) -> list[Item]:
    """``number`` items at even distances; all of them if there are no more, or for None."""
    number = len(items) if number is None else min(number, len(items))
    return [items[index * len(items) // number] for index in range(number)]


class SampledFiles:
    """What the files read so far have shown; ``format`` and ``sizes`` say what they may show, None: any size."""

    def __init__(self, folder: Path, format: Format, sizes: tuple[Size, Size] | None) -> None:
        self.problems = Problems()
        self.pixels = np.zeros(format.values, np.int64)
        self._folder, self._format, self._sizes = folder, format, sizes
        self._digest = hashlib.sha256()
        self._label_files = 0

    def add(self, item: Item) -> None:
        """Read the two files of an image. A missing one has been noted by whoever looked at all of the split."""
        image, labels = self._read(item.image, decode_photograph), self._read(item.labels, self._format.decode)
        if image is not None:
            self._measure(item.image, image)
        if labels is not None:
            self._count(item.labels, labels)
        if image is not None and labels is not None:
            self._compare(item, image, labels)

    def _read(self, path: Path, decode: Callable[[bytes, str], Content]) -> Content | None:
        """What is in the file, if it can be read to its end."""
        if (content := self._content(path)) is None:
            return None
        try:
            return decode(content, str(path))
        except PictureError as error:
            self._note(path, error)
            return None

    def _note(self, path: Path, error: PictureError) -> None:
        self.problems.add(error.problem, self._place(path) + (f" ({error.detail})" if error.detail else ""))

    def _measure(self, path: Path, image: Photograph) -> None:
        height, width, _ = image.displayed.shape
        if self._sizes and not all(least <= side <= most for side, least, most in zip((width, height), *self._sizes)):
            self.problems.add(Problem.SIZE, f"{self._place(path)} ({width} x {height})")

    def _compare(self, item: Item, image: Photograph, labels: NDArray[Any]) -> None:
        try:
            image.under_labels(labels, str(item.image), str(item.labels))
        except PictureError as error:
            self._note(item.image, error)

    def _count(self, path: Path, labels: NDArray[Any]) -> None:
        pixels = np.bincount(labels.ravel(), minlength=self._format.values)
        self.pixels += pixels
        self._label_files += 1
        if unknown := set(np.flatnonzero(pixels).tolist()) - set(self._format.labels):
            some = ", ".join(map(str, sorted(unknown)[:5])) + ("" if len(unknown) <= 5 else ", ...")
            self.problems.add(Problem.VALUES, f"{self._place(path)} ({some})")

    def _content(self, path: Path) -> bytes | None:
        """The file's bytes, put under the checksum with its name."""
        content = None
        try:
            content = path.read_bytes() if os.path.isfile(path) else None  # a pipe would be waited for
        except OSError:
            self.problems.add(Problem.UNREADABLE, self._place(path))
        self._digest.update(os.fsencode(f"{self._place(path)}\n{-1 if content is None else len(content)}\n"))
        self._digest.update(content or b"")
        return content

    def _place(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    @property
    def checksum(self) -> str:
        """sha256 of names, lengths and contents in the order read; a missing file changes it as well."""
        return self._digest.hexdigest()

    @property
    def values(self) -> set[int]:
        return set(np.flatnonzero(self.pixels).tolist())

    @property
    def classes(self) -> set[str]:
        """Classes that occur; the background is none."""
        return {name for value in self.values if (name := self._format.labels.get(value))} - {BACKGROUND}

    def findings(self, split: str, converted: frozenset[int]) -> list[Finding]:
        """What is wrong with the files, and with all labels together; ``converted``: the values of training ids."""
        if self.values and self.values <= converted:
            self.problems.drop(Problem.VALUES)  # the same thing, said worse
            return [*self.problems.findings(split), _training_ids(split)]
        return [*self.problems.findings(split), *self._monotony(split), *self._ignored(split)]

    def _monotony(self, split: str) -> list[Finding]:
        """A warning if the labels of all files together tell hardly anything apart."""
        if not self.values:
            return []
        value, share = int(self.pixels.argmax()), self.pixels.max() / self.pixels.sum()
        if share < MONOTONOUS and (len(self.classes) > 1 or self._label_files < ENOUGH_FILES):
            return []
        text = f"{split}: {share:.0%} of the sampled pixels are {value}, classes that occur: {len(self.classes)}"
        return [
            Finding("warning", text, "Are these labels of classes, and not of one object, or of objects by number?")
        ]

    def _ignored(self, split: str) -> list[Finding]:
        """A warning if most pixels count nowhere: the background may be among them by mistake."""
        ignored = [value for value in self.values if self._format.labels.get(value) is None]
        share = self.pixels[ignored].sum() / max(self.pixels.sum(), 1)
        if share <= MOSTLY:
            return []
        text = f"{split}: {share:.0%} of the sampled pixels are ignored"
        return [Finding("warning", text, "Was 1 taken from all labels, so that 0 became 255? Use them as they come.")]


def _training_ids(split: str) -> Finding:
    text = f"{split}: these are trainIds, not labelIds: the values of all sampled label files are among 0 to 18 and 255"
    return Finding("error", text, "Use *_gtFine_labelIds.png as they come, without the conversion to training ids.")
