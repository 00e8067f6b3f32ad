"""PASCAL VOC: JPEG images, palette PNGs of labels, and lists of names; its layout is read by many tools.

The images are JPEG of quality 95 with colours at full resolution, because readers look for ``.jpg``: their pixels are
close to the originals, not the same. Labels are exact.
"""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.class_lists import check_listed
from seediff.datasets.classes import BACKGROUND
from seediff.datasets.images import encode_jpeg, encode_mask
from seediff.errors import SeediffError
from seediff.export.folders import subfolder
from seediff.export.source import Source


def check(source: Source) -> None:
    """Raise ``SeediffError`` for a name of an image or of a class that cannot stand in a list."""
    check_listed(source.data.classes)
    for name in source.names:
        if name.split() != [name]:
            raise SeediffError(
                f"Image {name!r} has a space in its name, at which readers of VOC's lists end it.\nRename it."
            )


def write(folder: Path, source: Source) -> None:
    """``JPEGImages``, ``SegmentationClass``, ``ImageSets/Segmentation/<split>.txt`` and ``class_names.txt``."""
    images, labels = subfolder(folder, "JPEGImages"), subfolder(folder, "SegmentationClass")
    lists = subfolder(folder, "ImageSets", "Segmentation")
    for split in source.splits:
        names = []
        for sample in source.samples(split):
            (images / f"{sample.name}.jpg").write_bytes(encode_jpeg(sample.image))
            (labels / f"{sample.name}.png").write_bytes(encode_mask(sample.labels))
            names.append(sample.name)
        _write_lines(lists / f"{split}.txt", names)
    _write_lines(folder / "class_names.txt", [BACKGROUND, *source.data.classes])
    (folder / "source.json").write_text(source.about_json, encoding="utf-8")


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
