"""ADE20K's scene parsing benchmark: ``folder`` is the one with images and annotations (ADEChallengeData2016)."""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.classes import ADE20K_CLASSES
from seediff.datasets.items import Item, check_folder, check_items, pairs_below

LABELS: dict[int, str | None] = {0: None, **dict(enumerate(ADE20K_CLASSES, start=1))}
"""Pixel value -> class name; 0, 'other objects', counts nowhere, as in the benchmark's own evaluation."""

SPLITS = {"train": "training", "val": "validation"}
"""Split -> its folders' name; a split of another name has folders of that name."""


def list_items(folder: Path, split: str) -> list[Item]:
    """The split's images by name, none of them missing; 'train' and 'val' are 'training' and 'validation'."""
    check_folder(folder, "ADE20K for scene parsing: images and annotations")
    return check_items(find_items(folder, split), folder, split_parts(folder, split)[0])


def split_parts(folder: Path, split: str) -> tuple[Path, Path]:
    """The folders of the split's images and label files."""
    name = SPLITS.get(split, split)
    return folder / "images" / name, folder / "annotations" / name


def find_items(folder: Path, split: str) -> list[Item]:
    """The split's images and label files by name, wherever there is at least one of the two."""
    images, labels = split_parts(folder, split)
    check_folder(images, "the split's *.jpg")
    return pairs_below(images, ".jpg", labels, ".png")
