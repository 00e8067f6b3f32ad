"""Folders of images and masks with a list of classes (``class_lists``): what `seediff generate` and labelme write.

An image and its mask have the same name; their suffixes may differ. Masks are PNGs of labels, or in the colours of the
list of classes (``colour_tables``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from seediff.datasets import class_lists
from seediff.datasets.class_lists import read_class_list
from seediff.datasets.colour_tables import decode_coloured
from seediff.datasets.custom import ALL, CustomFormat
from seediff.datasets.formats import Format
from seediff.datasets.images import read_file
from seediff.datasets.items import PICTURES, Item, check_below, pictures_below
from seediff.errors import SeediffError
from seediff.names import reason

IMAGES, MASKS = "images", "masks"

NOTES = frozenset({"changelog", "licence", "license", "notes", "readme"})
"""Text files that are no list of a split, without suffix and in lower case."""


class Split(NamedTuple):
    """Where the images and masks of a split are, and the file that lists them; all of them without one."""

    images: Path
    masks: Path
    names: Path | None = None


def splits_below(folder: Path) -> dict[str, Split]:
    """``<split>/images`` and ``<split>/masks``; or else ``images`` and ``masks``, as ``_within`` divides them."""
    if not folder.is_dir():
        return {}
    if (folder / IMAGES).is_dir() and (folder / MASKS).is_dir():
        return _within(folder, folder / IMAGES, folder / MASKS)
    inner = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    return {
        path.name: Split(path / IMAGES, path / MASKS)
        for path in inner
        if (path / IMAGES).is_dir() and (path / MASKS).is_dir()
    }


def labelme_splits(folder: Path) -> dict[str, Split]:
    """``JPEGImages`` with ``SegmentationClassPNG``, or ``SegmentationClass`` as newer versions of labelme call it."""
    older, newer = folder / "SegmentationClassPNG", folder / "SegmentationClass"
    images, masks = folder / "JPEGImages", older if older.is_dir() else newer
    is_labelme = images.is_dir() and masks.is_dir() and (folder / "class_names.txt").is_file()
    return _within(folder, images, masks) if is_labelme and not (folder / "ImageSets").exists() else {}


def _within(folder: Path, images: Path, masks: Path) -> dict[str, Split]:
    """The splits that ``<split>.txt`` list, or else the subfolders, if all images are in these; or else all as one."""
    lists = [path for path in sorted(folder.glob("*.txt")) if path.name not in class_lists.FILES]
    named = [path for path in lists if path.stem.lower() not in NOTES and not path.name.startswith(".")]
    if named:
        return {path.stem: Split(images, masks, path) for path in named}
    inside = [path for path in sorted(images.iterdir()) if not path.name.startswith(".")]
    folders = [path.name for path in inside if path.is_dir()]
    if folders and not any(path.suffix.lower() in PICTURES for path in inside):
        return {name: Split(images / name, masks / name) for name in folders}
    return {ALL: Split(images, masks)}


SplitsOf = Callable[[Path], dict[str, Split]]
"""Folder -> its splits, in their order; none if it is laid out otherwise."""


@dataclass(frozen=True)
class FolderFormat(CustomFormat):
    """A format of images and masks in two folders, which ``splits_of`` finds."""

    splits_of: SplitsOf

    def present_splits(self, folder: Path) -> list[str]:
        return [*self.splits_of(folder)]

    def split_parts(self, folder: Path, split: str) -> tuple[Path, ...]:
        if (found := self.splits_of(folder).get(split)) is None:
            return (folder / split,)
        return tuple(path for path in (found.names, found.images, found.masks) if path)

    def read(self, folder: Path, split: str) -> Format:
        listed = read_class_list(folder)
        decode = partial(decode_coloured, known=frozenset(listed.labels), table=listed.colours)
        return self.described(folder, listed.labels, self.find_items, decode=decode, digest=listed.digest)

    def find_items(self, folder: Path, split: str) -> list[Item]:
        """The images and masks, wherever there is at least one of the two, or those that the split's file lists."""
        found = self.splits_of(folder)[split]
        images, masks = pictures_below(found.images), pictures_below(found.masks)
        places = sorted({*images, *masks}) if found.names is None else _names_in(found.names)
        return [
            Item(
                place.replace("/", "_"),
                images.get(place, found.images / f"{place}.png"),
                masks.get(place, found.masks / f"{place}.png"),
            )
            for place in places
        ]


def _names_in(path: Path) -> list[str]:
    """The images that a file lists, one a line, with or without their suffix."""
    if not path.is_file():  # a pipe would be waited for
        raise SeediffError(f"{path} is not a file.\nIt should name an image on each line.")
    try:
        lines = [line.strip() for line in read_file(path).decode("utf-8-sig").splitlines()]
        return [_without_suffix(check_below(line)) for line in lines if line]
    except ValueError as error:
        raise SeediffError(f"{path}: {reason(error)}.\nIt should name an image on each line.") from None


def _without_suffix(place: str) -> str:
    path = Path(place)
    return path.with_suffix("").as_posix() if path.suffix.lower() in PICTURES else place


FOLDER = FolderFormat(
    name="folder",
    title="Images and masks",
    files="images, PNGs of labels or of the colours of classes",
    layout="<split>/images and <split>/masks, images/<split> and masks/<split>, or images, masks and <split>.txt",
    listed=", ".join(class_lists.FILES),
    splits_of=splits_below,
)
LABELME = FolderFormat(
    name="labelme",
    title="labelme's export to VOC",
    files="JPEG images, palette PNGs of labels",
    layout="JPEGImages, SegmentationClassPNG or SegmentationClass, and class_names.txt",
    listed="class_names.txt",
    splits_of=labelme_splits,
)
