"""Images without labels: those of a benchmark's split, whose labels are not read, or of a plain folder."""

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
"""Suffixes of notes and captions beside images."""
LEFT_BY_SYSTEMS = frozenset({"desktop.ini", "thumbs.db"})
"""Files that operating systems put into folders of images, in lower case; others start with a dot."""
PREVIEWS = frozenset({"@eadir", "__macosx"})
"""Folders with previews or attributes of the images beside them, in lower case."""


@dataclass(frozen=True)
class Unlabelled:
    """Image ``files`` in a fixed order; ``checksums``: the sha256 of files whose content is known in advance."""

    files: tuple[Path, ...]
    checksums: Mapping[Path, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Array:
        """Image (H, W, 3) uint8. Raises ``SeediffError``, naming the file, if it is broken or has changed."""
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
        """Raise ``SeediffError`` for a file that is not a photograph, or has an edge below ``side`` pixels."""
        for path in self.files:
            width, height = displayed_size(path)
            if min(width, height) < side:
                raise SeediffError(
                    f"{path} is {width} x {height} pixels, smaller than the {side} x {side} that the model draws.\n"
                    "Remove it, or replace it by a larger one."
                )


def benchmark_images(format: str, folder: Path, split: str) -> Unlabelled:
    """The images of one split of a data set."""
    items = find_format(format).of(folder, split).list_items(folder, split)
    return Unlabelled(tuple(item.image for item in items), recorded_checksums(folder, split, items))


def folder_images(folder: Path) -> Unlabelled:
    """Every file in the folder and below it, by path; ``check_size`` tests whether each is a photograph.

    Hidden files, notes beside the images (``BESIDE``) and files of operating systems (``LEFT_BY_SYSTEMS``,
    ``PREVIEWS``) are left out. Raises ``SeediffError`` if there are no files, or if something is not a file or an image
    comes twice.
    """
    check_folder(folder, "the target images, and no other files but notes")
    files = tuple(path for path in sorted(folder.rglob("*")) if _is_meant(path, folder))
    if not files:
        raise SeediffError(f"{folder} holds no image.")
    for path in files:
        if not path.is_file():
            raise SeediffError(f"{path} is not a file.\nRemove it, or put the file in its place.")
    check_twins(files)
    return Unlabelled(files)


def _is_meant(path: Path, folder: Path) -> bool:
    """Whether the path counts as an image. Links to folders do, because they are not followed and may hide images."""
    if path.is_dir() and not path.is_symlink():
        return False
    hidden = any(part.startswith(".") or part.lower() in PREVIEWS for part in path.relative_to(folder).parts)
    return not (hidden or path.suffix.lower() in BESIDE or path.name.lower() in LEFT_BY_SYSTEMS)
