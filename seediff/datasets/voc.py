"""PASCAL VOC 2012: ``folder`` is the one with JPEGImages, SegmentationClass and ImageSets (VOCdevkit/VOC2012).

The split ``trainaug``, VOC's training images and those that SBD annotated later, has its labels in a folder of its own,
SegmentationClassAug, as it is customarily handed round: grey or palette PNGs of the same label ids.
"""

from __future__ import annotations

import re
from pathlib import Path

from seediff.datasets.classes import BACKGROUND, VOC_CLASSES
from seediff.datasets.items import Item, check_folder, check_items
from seediff.errors import SeediffError
from seediff.names import check_name, nearest

LABELS: dict[int, str | None] = {0: BACKGROUND, **dict(enumerate(VOC_CLASSES, start=1)), 255: None}
"""Pixel value -> class name; None is the void along the objects' edges."""

LABEL_FOLDERS = {"trainaug": "SegmentationClassAug"}
"""Where the labels of a split are, unless in SegmentationClass."""

_PAIR = re.compile(r"^/?JPEGImages/(\S+)\.jpg[ \t]+/?SegmentationClassAug/\1\.png[ \t]*$", re.MULTILINE)
"""A line of the trainaug.txt that gives the two files of an image instead of its name."""


def split_file(folder: Path, split: str) -> Path:
    """The file that lists the split's images."""
    return folder / "ImageSets" / "Segmentation" / f"{split}.txt"


def split_parts(folder: Path, split: str) -> tuple[Path, Path, Path]:
    """The split's list, and the folders of its images and label files."""
    labels = folder / LABEL_FOLDERS.get(split, "SegmentationClass")
    return split_file(folder, split), folder / "JPEGImages", labels


def list_items(folder: Path, split: str) -> list[Item]:
    """The split's images in the order of its file, none of them missing."""
    check_folder(folder, "PASCAL VOC: JPEGImages, SegmentationClass and ImageSets")
    return check_items(find_items(folder, split), folder, split_file(folder, split))


def find_items(folder: Path, split: str) -> list[Item]:
    """The split's images in the order of its file, whether their files are there or not."""
    source = split_file(folder, split)
    if not source.is_file():
        known = [file.stem for file in source.parent.glob("*.txt")]
        raise SeediffError(f"There is no split file {source}.\n{nearest(split, known) if known else ''}".rstrip())
    text = source.read_text(encoding="utf-8-sig", errors="replace")
    _, images, labels = split_parts(folder, split)
    names = (_PAIR.sub(r"\1", text) if split == "trainaug" else text).split()
    for name in names:
        check_name(f"{source}: image", name)
    return [Item(name, images / f"{name}.jpg", labels / f"{name}.png") for name in names]
