"""Cityscapes (fine annotation): ``folder`` is the one with leftImg8bit and gtFine."""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.classes import CITYSCAPES_IDS, CITYSCAPES_LABEL_COUNT
from seediff.datasets.items import Item, check_folder, check_items, pairs_below

LABELS: dict[int, str | None] = {label: CITYSCAPES_IDS.get(label) for label in range(CITYSCAPES_LABEL_COUNT)}
"""Pixel value of a labelIds file -> class name; None is void, as in Cityscapes' own evaluation."""

IMAGE_SUFFIX, LABEL_SUFFIX = "_leftImg8bit.png", "_gtFine_labelIds.png"


def list_items(folder: Path, split: str) -> list[Item]:
    """The split's images, city by city, none of them missing."""
    check_folder(folder, "Cityscapes: leftImg8bit and gtFine")
    return check_items(find_items(folder, split), folder, split_parts(folder, split)[0])


def split_parts(folder: Path, split: str) -> tuple[Path, Path]:
    """The folders of the split's images and label files."""
    return folder / "leftImg8bit" / split, folder / "gtFine" / split


def find_items(folder: Path, split: str) -> list[Item]:
    """The split's images and label files, city by city, wherever there is at least one of the two."""
    images, labels = split_parts(folder, split)
    check_folder(images, f"a folder a city, with *{IMAGE_SUFFIX}")
    return pairs_below(images, IMAGE_SUFFIX, labels, LABEL_SUFFIX)
