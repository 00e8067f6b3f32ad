"""ADE20K's scene parsing benchmark: ``folder`` is the one with images and annotations (ADEChallengeData2016)."""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.classes import ADE20K_CLASSES
from seediff.datasets.items import Item, check_folder, check_items

LABELS: dict[int, str | None] = {0: None, **dict(enumerate(ADE20K_CLASSES, start=1))}
"""Pixel value -> class name; 0, 'other objects', counts nowhere, as in the benchmark's own evaluation."""

SPLITS = {"train": "training", "val": "validation"}


def list_items(folder: Path, split: str) -> list[Item]:
    """The split's images by name; 'train' and 'val' are ADE20K's 'training' and 'validation'."""
    check_folder(folder, "ADE20K for scene parsing: images and annotations")
    split = SPLITS.get(split, split)
    images = folder / "images" / split
    check_folder(images, "the split's *.jpg")
    annotations = folder / "annotations" / split
    items = [Item(image.stem, image, annotations / f"{image.stem}.png") for image in sorted(images.glob("*.jpg"))]
    return check_items(items, images)
