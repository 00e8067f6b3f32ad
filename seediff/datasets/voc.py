"""PASCAL VOC 2012: ``folder`` is the one with JPEGImages, SegmentationClass and ImageSets (VOCdevkit/VOC2012)."""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.classes import BACKGROUND, VOC_CLASSES
from seediff.datasets.items import Item, check_folder, check_items
from seediff.errors import SeediffError
from seediff.names import check_name, nearest

LABELS: dict[int, str | None] = {0: BACKGROUND, **dict(enumerate(VOC_CLASSES, start=1)), 255: None}
"""Pixel value -> class name; None is the void along the objects' edges."""


def list_items(folder: Path, split: str) -> list[Item]:
    """The split's images in the order of ``ImageSets/Segmentation/<split>.txt``."""
    check_folder(folder, "PASCAL VOC: JPEGImages, SegmentationClass and ImageSets")
    splits = folder / "ImageSets" / "Segmentation"
    source = splits / f"{split}.txt"
    if not source.is_file():
        known = [file.stem for file in splits.glob("*.txt")]
        raise SeediffError(f"There is no split file {source}.\n{nearest(split, known) if known else ''}".rstrip())
    names = source.read_text(encoding="utf-8", errors="replace").split()
    return check_items([_item(folder, check_name(f"{source}: image", name)) for name in names], source)


def _item(folder: Path, name: str) -> Item:
    return Item(name, folder / "JPEGImages" / f"{name}.jpg", folder / "SegmentationClass" / f"{name}.png")
