"""Images without labels: those of a benchmark's split, whose labels stay unread, or of a plain folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seediff.datasets.images import Array, decode_rgb, displayed_size, read_file
from seediff.datasets.items import check_folder, check_twins, recorded_checksums
from seediff.datasets.registry import find_format
from seediff.errors import SeediffError

BESIDE = frozenset({".csv", ".json", ".jsonl", ".md", ".txt", ".xml"})
"""What the names of notes and captions that lie beside images end in."""
LEFT_BY_SYSTEMS = frozenset({"desktop.ini", "thumbs.db"})
"""Files that systems leave in folders of images without being asked, in lower case; others are hidden by a dot."""
PREVIEWS = frozenset({"@eadir", "__macosx"})
"""Folders with previews or attributes of the images beside them, in lower case."""


@dataclass(frozen=True)
class Unlabelled:
    """Image ``files`` in a fixed order; ``checksums``: the sha256 of those whose content is known beforehand."""

    files: tuple[Path, ...]
    checksums: Mapping[Path, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Array:
        """Image (H, W, 3) uint8; ``SeediffError`` naming the file if it is broken or has changed."""
        path = self.files[index]
        content = read_file(path)
        if path in self.checksums and hashlib.sha256(content).hexdigest() != self.checksums[path]:
            raise SeediffError(f"{path} is not as it was drawn.\nDelete the folder of the stand-in and run again.")
        return decode_rgb(content, str(path))

    @property
    def digest(self) -> str:
        """A text that changes with the files' names and sizes."""
        sizes = "\n".join(f"{path.name} {path.stat().st_size}" for path in self.files)
        return hashlib.sha256(sizes.encode(errors="surrogateescape")).hexdigest()

    def check_size(self, side: int) -> None:
        """Raise ``SeediffError`` for a file that is no photograph, or one with an edge below ``side`` pixels."""
        for path in self.files:
            width, height = displayed_size(path)
            if min(width, height) < side:
                raise SeediffError(
                    f"{path} is {width} x {height} pixels, smaller than the {side} x {side} that the model draws.\n"
                    "Take it out, or give it larger."
                )


def benchmark_images(format: str, folder: Path, split: str) -> Unlabelled:
    """The images of one split of a data set."""
    items = find_format(format).list_items(folder, split)
    return Unlabelled(tuple(item.image for item in items), recorded_checksums(folder, split, items))


def folder_images(folder: Path) -> Unlabelled:
    """Every file in the folder and below it, by path; whether each is a photograph, ``check_size`` finds out.

    Left out are what a dot hides, notes beside the images (``BESIDE``), and what systems leave (``LEFT_BY_SYSTEMS``,
    ``PREVIEWS``). Raises ``SeediffError`` if nothing is there, something that is no file, or an image twice.
    """
    check_folder(folder, "the target images, and no other files but notes")
    files = tuple(path for path in sorted(folder.rglob("*")) if _is_meant(path, folder))
    if not files:
        raise SeediffError(f"{folder} holds no image.")
    for path in files:
        if not path.is_file():
            raise SeediffError(f"{path} is no file.\nTake it out, or put there what it leads to.")
    check_twins(files)
    return Unlabelled(files)


def _is_meant(path: Path, folder: Path) -> bool:
    """Whether what is there is one of the folder's images; a link to a folder, which is not followed, may be many."""
    if path.is_dir() and not path.is_symlink():
        return False
    hidden = any(part.startswith(".") or part.lower() in PREVIEWS for part in path.relative_to(folder).parts)
    return not (hidden or path.suffix.lower() in BESIDE or path.name.lower() in LEFT_BY_SYSTEMS)
