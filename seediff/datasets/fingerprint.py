"""What tells a copy of a data set from another one without reading it: the names and sizes of its files.

A changed list, an added, missing or re-encoded file shows; one replaced by another of the very same size does not. Time
stamps are left out, so that a copy on another machine counts as the same. ``seediff data check`` reads the files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from seediff.datasets.benchmarks import FORMATS
from seediff.datasets.unlabelled import folder_images
from seediff.errors import SeediffError


def split_fingerprint(format: str, folder: Path, split: str) -> str | None:
    """A checksum over the images and label files of a split, in their order; None if they are not all there."""
    try:
        return _fingerprint(folder, split_files(format, folder, split))
    except SeediffError:
        return None


def split_files(format: str, folder: Path, split: str) -> list[Path]:
    """The images and label files of a split, in their order. Raises ``SeediffError`` if they are not all there."""
    return [path for item in FORMATS[format].list_items(folder, split) for path in (item.image, item.labels)]


def folder_fingerprint(folder: Path) -> str | None:
    """The same over every image in and below a plain folder."""
    try:
        return _fingerprint(folder, folder_images(folder).files)
    except SeediffError:
        return None


def _fingerprint(folder: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n"))
    return digest.hexdigest()
