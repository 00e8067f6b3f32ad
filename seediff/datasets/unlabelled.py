"""Images without labels: those of a benchmark's split, whose labels stay unread, or of a plain folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from seediff.datasets.benchmarks import FORMATS
from seediff.datasets.images import Array, decode_rgb, read_file
from seediff.datasets.items import check_folder, check_twins, recorded_checksums
from seediff.errors import SeediffError

SUFFIXES = (".png", ".jpg", ".jpeg")


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
        return hashlib.sha256(sizes.encode()).hexdigest()

    def check_size(self, side: int) -> None:
        """Raise ``SeediffError`` for a file that is no image, or one whose shorter edge is below ``side`` pixels."""
        for path in self.files:
            width, height = _size(path)
            if min(width, height) < side:
                raise SeediffError(
                    f"{path} is {width} x {height} pixels, smaller than the {side} x {side} that the model draws.\n"
                    "Take it out, or give it larger."
                )


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            return picture.size
    except Exception as error:  # PIL's decoders raise a dozen different types for bytes that make no sense
        raise SeediffError(f"{path} is not a readable PNG or JPEG ({error}).") from None


def benchmark_images(format: str, folder: Path, split: str) -> Unlabelled:
    """The images of one split of a data set."""
    items = FORMATS[format].list_items(folder, split)
    return Unlabelled(tuple(item.image for item in items), recorded_checksums(folder, split, items))


def folder_images(folder: Path) -> Unlabelled:
    """Every PNG and JPEG in the folder and below it, by path; ``SeediffError`` if there is none, or one twice."""
    check_folder(folder, "the target images, as PNG or JPEG")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise SeediffError(f"{folder} holds no image.\nTarget images are files that end in {', '.join(SUFFIXES)}.")
    check_twins(files)
    return Unlabelled(tuple(files))
