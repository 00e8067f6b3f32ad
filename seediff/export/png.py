"""The plain folder: PNG images and palette PNGs of labels side by side, as ``seediff generate`` writes them.

Hugging Face's imagefolder reads it by the ``metadata.jsonl`` of every split.
"""

from __future__ import annotations

import json
from pathlib import Path

from seediff.datasets.class_lists import check_listed, class_table
from seediff.datasets.images import encode_mask, encode_png
from seediff.export.folders import subfolder
from seediff.export.source import Sample, Source


def check(source: Source) -> None:
    """Raise ``SeediffError`` for a class that cannot stand in the list of classes."""
    check_listed(source.data.classes)


def write(folder: Path, source: Source) -> None:
    """``<split>/images``, ``<split>/masks``, ``<split>/metadata.jsonl`` and ``classes.csv``."""
    labels = {name: label for label, name in enumerate(source.data.classes, start=1)}
    for split in source.splits:
        images, masks = subfolder(folder, split, "images"), subfolder(folder, split, "masks")
        with (folder / split / "metadata.jsonl").open("w", encoding="utf-8") as metadata:
            for sample in source.samples(split):
                (images / f"{sample.name}.png").write_bytes(encode_png(sample.image))
                (masks / f"{sample.name}.png").write_bytes(encode_mask(sample.labels))
                metadata.write(json.dumps(_row(sample, labels), ensure_ascii=False) + "\n")
    (folder / "classes.csv").write_text(class_table(source.data.classes), encoding="utf-8", newline="")
    (folder / "source.json").write_text(source.about_json, encoding="utf-8")


def _row(sample: Sample, labels: dict[str, int]) -> dict[str, str | int | None]:
    """The columns of ``seediff generate``; None where nothing is known."""
    return {
        "file_name": f"images/{sample.name}.png",
        "mask_file_name": f"masks/{sample.name}.png",
        "class": sample.category,
        "label": labels.get(sample.category or ""),
        "text": sample.caption,
    }
