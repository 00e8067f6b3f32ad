"""One entry of a benchmark on disk, and the checks that every reader shares."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seediff.datasets.findings import Problem, Problems
from seediff.datasets.images import ENDINGS
from seediff.errors import SeediffError
from seediff.files.sealed import read_json
from seediff.names import cut, visible

RECORD = "domain.json"
"""In an embedded stand-in, the list of its files by split, with the sha256 of each."""

PICTURES = frozenset(chain.from_iterable(ENDINGS.values()))
"""Suffixes of picture files, in lower case."""


class Item(NamedTuple):
    """An annotated image: its name and its two files."""

    name: str
    image: Path
    labels: Path


def check_folder(folder: Path, what: str) -> None:
    """Raise ``SeediffError`` unless the folder exists; ``what`` says what it should hold."""
    if not folder.is_dir():
        raise SeediffError(f"There is no folder {folder}.\nIt should hold {what}.")


def check_items(items: Sequence[Item], folder: Path, source: Path, own: bool = False) -> list[Item]:
    """The items, checked: there are some, their files exist, and no other files compete with them.

    ``folder`` is the data set's, ``source`` is the file or folder in it that lists the items; ``own``: it comes from no
    known archive. Raises ``SeediffError`` naming the first file with the first kind of problem, and how many more have
    it.
    """
    if not items:
        raise SeediffError(f"{source} lists no images.")
    problems = Problems()
    for problem, path, remark in item_problems(items):
        problems.add(problem, f"{path}{remark}")
    for finding in problems.findings(str(source)):
        told = finding.of_own_data() if own else finding
        remedy = "Delete the folder and run again." if (folder / RECORD).exists() else told.remedy
        raise SeediffError(f"{finding.text}.\n{remedy}")
    return list(items)


def check_twins(files: Iterable[Path]) -> None:
    """Raise ``SeediffError`` if names of files differ only in case or suffix: an image would count twice."""
    first: dict[str, Path] = {}
    problems = Problems()
    for path in files:
        stem = path.with_suffix("") if path.suffix.lower() in PICTURES else path
        if (other := first.setdefault(str(stem).lower(), path)) != path:
            problems.add(Problem.TWINS, f"{other} and {path.name}")
    for finding in problems.findings("one image would count twice"):
        raise SeediffError(f"{finding.text}.\nKeep one of each, or give them names that differ in more.")


def item_problems(items: Iterable[Item]) -> Iterator[tuple[Problem, Path, str]]:
    """Problems with the items' names and files: the problem, the file, and a remark, which may be empty."""
    names: set[str] = set()
    alike = cache(files_by_stem)
    for item in items:
        if item.name in names:
            yield Problem.TWICE, item.image, ""
        names.add(item.name)
        for missing, path in ((Problem.NO_IMAGE, item.image), (Problem.NO_LABELS, item.labels)):
            stem = item.name if path.name.startswith(item.name) else path.stem
            known = alike(path.parent, path.name.removeprefix(stem))
            others = known.get(stem.lower(), set()) - {path.name}
            if not os.path.isfile(path):  # unlike Path.is_file it does not raise for what may not be read
                yield missing, path, f" (there is {min(others)})" if others else ""
            elif others:
                yield Problem.TWINS, path, f" and {min(others)}"


def pairs_below(images: Path, image_suffix: str, labels: Path, label_suffix: str) -> list[Item]:
    """Images with their label files, matched by their path below the two folders, if at least one of the two exists.

    The two folders and their direct subfolders are searched; a folder in one of these is a ``SeediffError``. A picture
    with another spelling or format counts as well, so that the expected file is reported as missing.
    """
    places = _places(labels, label_suffix) | _places(images, image_suffix)
    items = [
        Item(place.name, images / f"{place}{image_suffix}", labels / f"{place}{label_suffix}")
        for place in places.values()
    ]
    return sorted(items, key=lambda item: item.image)


def _places(folder: Path, suffix: str) -> dict[str, Path]:
    """Lower-case path -> its spelling; of spellings that differ only in case, that with the right suffix."""
    spelt = [
        (entry.name.endswith(suffix), Path(inner, stem))
        for inner, entry in _two_levels(folder)
        if (stem := _stem(entry.name, suffix))
    ]
    return {str(place).lower(): place for _, place in sorted(spelt)}


def pictures_below(folder: Path) -> dict[str, Path]:
    """Path below the folder without suffix ('a', 'inner/b') -> picture, in any format; the folder's subfolders count.

    Of pictures that differ in the suffix alone, the first. A folder in one of the subfolders is a ``SeediffError``.
    """
    found = {
        Path(inner, stem).as_posix(): Path(entry.path)
        for inner, entry in sorted(_two_levels(folder), key=lambda level: level[1].path, reverse=True)
        if (stem := _stem(entry.name, ""))
    }
    return dict(sorted(found.items()))


def check_below(place: str) -> str:
    """Return ``place`` if it is a path, with '/', that stays below a folder; raise ``ValueError`` otherwise."""
    parts = place.split("/")
    if "\\" in place or visible(place) != place or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{cut(place, 99)!r} is no path below a folder")
    return place


def _two_levels(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The entries of the folder and of its subfolders, each with the name of its subfolder, or '' in the folder."""
    top = _entries(folder)
    below = {entry.name: _entries(Path(entry.path)) for entry in top if _is_folder(entry)}
    for deep in filter(_is_folder, chain.from_iterable(below.values())):
        raise SeediffError(f"{deep.path} lies deeper than files are looked for.\nMove it up, or away.")
    for inner, entries in {"": top, **below}.items():
        yield from ((inner, entry) for entry in entries)


def files_by_stem(folder: Path, suffix: str) -> Mapping[str, set[str]]:
    """The pictures in the folder by stem, in lower case: 'a.jpg' and 'A.PNG' both have the stem 'a'.

    ``suffix``: how their names should end, such as '.jpg' or '_labelIds.png'. Case and the part after the dot do not
    matter; pictures without the part before the dot are left out.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for entry in _entries(folder):
        if stem := _stem(entry.name, suffix):
            found[stem.lower()].add(entry.name)
    return found


def _stem(name: str, suffix: str) -> str:
    """The name without the suffix in any spelling; empty if it does not have it."""
    stem, ending = os.path.splitext(name)
    tail = suffix.rpartition(".")[0].lower()
    return stem[: len(stem) - len(tail)] if ending.lower() in PICTURES and stem.lower().endswith(tail) else ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The folder's entries, without hidden ones such as a Mac's '._a.jpg' beside every 'a.jpg'.

    Empty if the folder is missing or not readable, so that its files are reported as missing.
    """
    try:
        return [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def recorded_checksums(folder: Path, split: str, items: Sequence[Item]) -> dict[Path, str]:
    """sha256 of every file of a stand-in's split; empty for a data set without a record of its files.

    Raises ``SeediffError`` unless the items match the record.
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


def fingerprint(folder: Path, files: Iterable[Path], contents: str = "") -> str:
    """A checksum over the names and sizes of a data set's files in their order, without reading them.

    ``contents``: a text that stands for what has been read of them anyway, such as a list of classes.
    It tells copies of a data set apart: it changes with the list of files, and with an added, missing or re-encoded
    file, but not if a file is replaced by another of the same size. Time stamps do not count, so a copy on another
    machine is the same. ``seediff data check`` reads the files.
    """
    digest = hashlib.sha256(contents.encode())
    for path in files:
        digest.update(os.fsencode(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n"))
    return digest.hexdigest()
