"""Checks a user's copy of a data set against what is officially in it (``seediff data check``).

Nothing stops the check: it ends with all kinds of problems that there are, each said once. A stand-in drawn by
``embedded.domains`` is checked for its format only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from seediff.datasets.benchmarks import OBJECT_MASKS, are_object_masks
from seediff.datasets.classes import BACKGROUND
from seediff.datasets.custom import CustomFormat
from seediff.datasets.findings import AGAIN, Finding, Problem, Problems, Report
from seediff.datasets.formats import REQUIRED_SPLITS, STAND_IN_SIGN, Format, Size
from seediff.datasets.images import Photograph, PictureError, decode_photograph
from seediff.datasets.items import Item, item_problems
from seediff.datasets.registry import CUSTOM, FORMATS, find_format, is_stand_in
from seediff.errors import SeediffError
from seediff.names import nearest

Content = TypeVar("Content")

MONOTONOUS = 0.99
"""Share of all pixels from which on it is suspicious that they have one value."""
MOSTLY = 0.5
"""A larger share of ignored pixels is suspicious."""
ENOUGH_FILES = 10
"""So many label files should show more than one class."""

FindItems = Callable[[str], list[Item]]
"""Split -> its items."""


def check_dataset(name: str, folder: Path, splits: Sequence[str] | None = None, sample: int | None = 50) -> Report:
    """Check folders, lists and numbers of files, and read ``sample`` images a split with their labels (None: all).

    ``splits``: train and val and whatever else is there, unless given. Raises ``SeediffError`` for a name of a data
    set or of a split that does not exist; whatever is wrong with the copy is in the report.
    """
    known = find_format(name)
    if isinstance(known, CustomFormat):
        return _check_custom(known, folder, splits, sample)
    for split in splits or ():
        if split not in known.splits:
            raise SeediffError(f"{known.title} has no split {split!r}.\n{nearest(split, known.splits)}")
    findings, checked = _structure(known, folder), []
    if folder.is_dir() and len(known.missing_folders(folder)) < len(known.holds):
        findings += _stand_in(known, folder)
        chosen = list(splits or _splits(known, folder))
        find_items = cache(partial(known.find_items, folder))
        for split in chosen:
            line, found = _check_split(known.of(folder, split), folder, split, sample)
            checked.append(line)
            findings += found
        findings += _shared_images(find_items, chosen)
    return Report(f"{known.title} in {folder}", tuple(checked), tuple(findings))


def _check_custom(known: CustomFormat, folder: Path, splits: Sequence[str] | None, sample: int | None) -> Report:
    """The same of data of which nothing is known beforehand: every split that there is, each with its own classes."""
    findings, checked = list[Finding](), list[str]()
    formats: dict[str, Format] = {}
    for split in splits or known.present_splits(folder) or [""]:
        try:
            formats[split] = known.of(folder, split)
        except SeediffError as error:
            text, _, remedy = str(error).partition("\n")
            findings.append(Finding("error", f"{split}: {text}" if split else text, remedy))
            continue
        line, found = _check_split(formats[split], folder, split, sample)
        checked.append(line)
        findings += found
    if "val" in formats:
        findings += _shared_images(lambda split: formats[split].find_items(folder, split), [*formats])
    return Report(f"{known.title} in {folder}", tuple(checked), tuple(finding.of_own_data() for finding in findings))


def _splits(known: Format, folder: Path) -> list[str]:
    return list(dict.fromkeys([*REQUIRED_SPLITS, *known.present_splits(folder)]))


def _structure(known: Format, folder: Path) -> list[Finding]:
    """An error if the folder is not the one that holds the data set, with the one that may be meant."""
    if not folder.is_dir():
        return [Finding("error", f"There is no folder {folder}", f"It should hold {', '.join(known.holds)}. {AGAIN}")]
    if not (missing := known.missing_folders(folder)):
        return []
    return [Finding("error", f"{folder} does not hold {', '.join(missing)}", _place_meant(known, folder, missing))]


def _place_meant(known: Format, folder: Path, missing: Sequence[str]) -> str:
    near = sorted([*folder.glob("*/"), *folder.glob("*/*/")], key=lambda path: (path.name != known.place.name, path))
    for place in (*near, *folder.resolve().parents[:2]):
        if not known.missing_folders(place):
            return f"{place} looks right: give that folder."
    for other, custom in CUSTOM.items():
        if custom.recognises(folder):
            return f"This looks like {custom.title}: give the name {other}."
    for other, candidate in FORMATS.items():
        if not candidate.missing_folders(folder):
            return f"This looks like {candidate.title}: give the name {other}."
    tops = {Path(name).parts[0] for name in missing}
    astray = [str(path) for path in near if path.name in tops]
    return f"Move to {folder}: {', '.join(astray)}" if astray else AGAIN


def _stand_in(known: Format, folder: Path) -> list[Finding]:
    if not is_stand_in(folder):
        return []
    text = f"{folder} is an embedded stand-in ({STAND_IN_SIGN}), not {known.title}: only its format is checked"
    return [Finding("note", text, "If something is wrong with it, delete it: it is drawn anew when it is needed.")]


def _check_split(known: Format, folder: Path, split: str, sample: int | None) -> tuple[str, list[Finding]]:
    """What was looked at, in a line, and what is wrong with it."""
    official = known.splits[split] is not None and not is_stand_in(folder)
    if not (path := known.split_path(folder, split)).exists():
        return f"{split}: not there", [Finding("error", f"{split}: {path} is missing", AGAIN)]
    try:
        items = known.find_items(folder, split)
    except (SeediffError, OSError) as error:
        text, _, remedy = str(error).partition("\n")
        return f"{split}: not checked", [Finding("error", f"{split}: {text}", remedy)]
    chosen = spread(items, sample)
    seen = SampledFiles(folder, known, known.sizes if official else None)
    for item in tqdm(chosen, split, unit="image", mininterval=5, disable=None):
        seen.add(item)
    classes = f"{len(seen.classes)} of {len(known.class_names)} classes"
    line = f"{split}: {len(items):,} images, {len(chosen):,} read with labels, {classes}\n    sha256 {seen.checksum}"
    findings = [*_number(known, path, split, len(items), official), *_misplaced(folder, split, items)]
    if are_object_masks(_readable_labels(known, items)):
        seen.problems.drop(Problem.VALUES)  # the same thing, said worse
        masks = Finding("error", f"{split}: {OBJECT_MASKS[0]}", OBJECT_MASKS[1])
        return line, [*findings, *seen.problems.findings(split), masks]
    return line, [*findings, *seen.findings(split)]


def _readable_labels(known: Format, items: Iterable[Item]) -> Iterator[NDArray[Any]]:
    """The label files of a split; those that cannot be read, which are reported elsewhere, left out."""
    for item in items:
        try:
            if item.labels.is_file():  # a pipe would be waited for
                yield known.label_values(item)
        except (SeediffError, OSError):
            continue


def _number(known: Format, path: Path, split: str, number: int, official: bool) -> list[Finding]:
    if number == 0:
        return [Finding("error", f"{split}: {path} lists no images", AGAIN)]
    if official and number != known.splits[split]:
        text = f"{split}: {number:,} images in {path}, officially there are {known.splits[split]:,}"
        return [Finding("error", text, "Numbers from another set of images cannot be compared. " + AGAIN)]
    return []


def _misplaced(folder: Path, split: str, items: Iterable[Item]) -> list[Finding]:
    problems = Problems()
    for problem, path, remark in item_problems(items):
        problems.add(problem, f"{path.relative_to(folder).as_posix()}{remark}")
    return problems.findings(split)


def _shared_images(find_items: FindItems, splits: Sequence[str]) -> list[Finding]:
    """Errors for images of val in a list to train on, such as SBD's own."""
    findings = []
    for split in (split for split in ("train", "trainaug") if split in splits):
        try:
            both = _images(find_items("val")) & _images(find_items(split))
        except (SeediffError, OSError):  # a broken list has been reported
            continue
        if both:
            text = f"{split}: {len(both):,} of its images are in val as well, such as {min(both).name}"
            findings.append(
                Finding("error", text, "Use the list that leaves out val, or nothing trained on it can be tested.")
            )
    return findings


def _images(items: Iterable[Item]) -> set[Path]:
    return {item.image for item in items}


# --- reading some of a split's files


def spread(items: Sequence[Item], number: int | None) -> list[Item]:
    """``number`` items at even distances; all of them if there are no more, or for None."""
    number = len(items) if number is None else min(number, len(items))
    return [items[index * len(items) // number] for index in range(number)]


class SampledFiles:
    """What the files read so far show. A problem with a file is noted and stops nothing.

    ``sizes``: smallest and largest (width, height) that images may have; None: any size.
    """

    def __init__(self, folder: Path, format: Format, sizes: tuple[Size, Size] | None) -> None:
        self.problems = Problems()
        self.pixels = np.zeros(format.values, np.int64)
        self._folder, self._format, self._sizes = folder, format, sizes
        self._digest = hashlib.sha256(format.digest.encode())
        self._label_files = 0

    def add(self, item: Item) -> None:
        """Read the two files of an image. A missing one has been noted by whoever looked at all of the split."""
        image, labels = self._read(item.image, decode_photograph), self._labels(item)
        if image is not None:
            self._measure(item.image, image)
        if labels is not None:
            self._count(item.labels, labels)
        if image is not None and labels is not None:
            self._compare(item, image, labels)

    def _labels(self, item: Item) -> NDArray[Any] | None:
        """Those that are drawn come from a file that was checked as a whole, and is under the checksum."""
        return self._format.draw(item) if self._format.draw else self._read(item.labels, self._format.decode)

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
            image.under_labels(labels, str(item.image), self._format.labels_name(item))
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

    def findings(self, split: str) -> list[Finding]:
        """What is wrong with the files, and with all labels together."""
        if self.values and self.values <= self._format.converted:
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
