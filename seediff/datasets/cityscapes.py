"""Cityscapes (fine annotation): ``folder`` is the one with leftImg8bit and gtFine."""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.classes import CITYSCAPES_IDS, CITYSCAPES_LABEL_COUNT
from seediff.datasets.items import Item, check_folder, check_items

LABELS: dict[int, str | None] = {label: CITYSCAPES_IDS.get(label) for label in range(CITYSCAPES_LABEL_COUNT)}
"""Pixel value of a labelIds file -> class name; None is void, as in Cityscapes' own evaluation."""

IMAGE_SUFFIX, LABEL_SUFFIX = "_leftImg8bit.png", "_gtFine_labelIds.png"


def list_items(folder: Path, split: str) -> list[Item]:
    """The split's images, city by city."""
    check_folder(folder, "Cityscapes: leftImg8bit and gtFine")
    images = folder / "leftImg8bit" / split
    check_folder(images, f"a folder a city, with *{IMAGE_SUFFIX}")
    return check_items([_item(folder, path) for path in sorted(images.glob(f"*/*{IMAGE_SUFFIX}"))], images)


def _item(folder: Path, image: Path) -> Item:
    name, city, split = image.name.removesuffix(IMAGE_SUFFIX), image.parent.name, image.parent.parent.name
    return Item(name, image, folder / "gtFine" / split / city / f"{name}{LABEL_SUFFIX}")
