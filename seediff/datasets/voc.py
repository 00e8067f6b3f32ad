"""PASCAL VOC 2012: ``folder`` is the one with JPEGImages, SegmentationClass and ImageSets (VOCdevkit/VOC2012).

The split ``trainaug``, VOC's training images and those that SBD annotated later, has its labels in another folder,
SegmentationClassAug, as it is customarily passed on: grey or palette PNGs of the same label ids.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from seediff.datasets.classes import BACKGROUND
from seediff.datasets.formats import Format
from seediff.datasets.images import decode_mask
from seediff.datasets.items import Item
from seediff.errors import SeediffError
from seediff.names import check_name, nearest

CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""PASCAL VOC's classes; label k + 1 is ``CLASSES[k]``."""

LABELS: dict[int, str | None] = {0: BACKGROUND, **dict(enumerate(CLASSES, start=1)), 255: None}
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


def has_voc_classes(folder: Path) -> bool:
    """Not so if the folder lists its classes, as ``voc_like`` data do."""
    return not (folder / "class_names.txt").exists()


FORMAT = Format(
    name="voc",
    title="PASCAL VOC 2012",
    files="JPEG images, palette PNGs of label ids",
    source=(
        "The PASCAL Visual Object Classes Homepage, http://host.robots.ox.ac.uk/pascal/VOC/voc2012/:",
        "VOCtrainval_11-May-2012.tar",
        "trainaug: with SBD, the Semantic Boundaries Dataset (annotations in .mat files),",
        "http://home.bharathh.info/pubs/codes/SBD/download.html. What is read here is made from it and passed on",
        "without an official place: SegmentationClassAug (PNGs) and ImageSets/Segmentation/trainaug.txt",
    ),
    place=Path("data/VOCdevkit/VOC2012"),
    layout="PASCAL VOC: JPEGImages, SegmentationClass and ImageSets",
    holds=("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
    splits={"train": 1464, "val": 1449, "trainval": 2913, "trainaug": 10582},
    sizes=((50, 50), (500, 500)),
    split_parts=split_parts,
    find_items=find_items,
    decode=partial(decode_mask, known=frozenset(LABELS)),
    labels=LABELS,
    distinctive=has_voc_classes,
)
