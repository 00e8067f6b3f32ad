"""Ultralytics YOLO: polygons for instance segmentation, and class maps for semantic segmentation, of the same images.

``data.yaml`` is for polygons, ``semantic.yaml`` for class maps. A polygon is the outline of an 8-connected region along
the edges of its pixels, in shares of the image's width and height. Holes are joined to it by bridges. Polygons cannot
say that pixels are ignored: there those are background. Class maps keep them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seediff.datasets.classes import BACKGROUND
from seediff.datasets.images import Array, encode_labels, encode_png
from seediff.errors import SeediffError
from seediff.export.folders import subfolder
from seediff.export.regions import Region, joined, regions
from seediff.export.source import Source

_REQUIRED, _KNOWN = ("train", "val"), ("train", "val", "test")
"""Splits that a data.yaml must and may have."""


def check(source: Source) -> None:
    """Raise ``SeediffError`` unless the splits are those that Ultralytics knows."""
    if not {*_REQUIRED} <= source.splits.keys() <= {*_KNOWN}:
        raise SeediffError(
            f"Ultralytics needs the splits train and val, and may have test; these are {', '.join(source.splits)}.\n"
            "Say for example --split train=.8,val=.2."
        )


def write(folder: Path, source: Source) -> None:
    """``images/<split>``, ``labels/<split>`` and ``masks/<split>``, ``data.yaml`` and ``semantic.yaml``."""
    for split in source.splits:
        images, labels, masks = (subfolder(folder, kind, split) for kind in ("images", "labels", "masks"))
        for sample in source.samples(split):
            (images / f"{sample.name}.png").write_bytes(encode_png(sample.image))
            (labels / f"{sample.name}.txt").write_text(polygons(sample.labels), encoding="ascii")
            (masks / f"{sample.name}.png").write_bytes(encode_labels(sample.labels))  # OpenCV turns colours into grey
    classes = source.data.classes
    _write_yaml(folder / "data.yaml", source, classes)
    _write_yaml(folder / "semantic.yaml", source, [BACKGROUND, *classes], masks="masks")
    (folder / "source.json").write_text(source.about_json, encoding="utf-8")


def polygons(labels: Array) -> str:
    """A line for each region: the number of its class, counted from 0, and x and y of its corners in [0, 1]."""
    height, width = labels.shape
    return "".join(f"{region.label - 1} {_corners(region, width, height)}\n" for region in regions(labels))


def _corners(region: Region, width: int, height: int) -> str:
    corners = (joined(region.mask) + np.array([region.left, region.top])) / np.array([width, height])
    return " ".join(f"{value:.6f}" for value in corners.ravel().tolist())


def _write_yaml(path: Path, source: Source, names: Sequence[str], masks: str = "") -> None:
    """Without ``path``, Ultralytics takes the file's own folder for the data set. JSON strings are YAML."""
    lines = [f"{split}: images/{split}" for split in source.splits]
    lines += [f"masks_dir: {masks}"] if masks else []
    lines += ["names:", *(f"  {k}: {json.dumps(name, ensure_ascii=False)}" for k, name in enumerate(names))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
