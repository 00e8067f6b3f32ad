"""COCO: instances with masks as run-length codes, which pycocotools, detectron2, MMDetection and torchvision read.

Every 8-connected region of a class is an instance: labels do not tell objects apart that touch. Ignored pixels are a
crowd region of every category, because ``COCOeval`` looks for crowds category by category: a detection of which the
larger part lies in one counts neither as right nor as wrong. Trainers leave crowd regions out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.classes import IGNORE_LABEL
from seediff.datasets.images import encode_png
from seediff.export.folders import subfolder
from seediff.export.regions import regions
from seediff.export.source import Sample, Source


def write(folder: Path, source: Source) -> None:
    """``<split>/<name>.png`` and ``annotations/instances_<split>.json``; ``captions_<split>.json`` if there are any."""
    annotations = subfolder(folder, "annotations")
    for split in source.splits:
        images = subfolder(folder, split)
        described: list[dict[str, Any]] = []
        instances: list[dict[str, Any]] = []
        captions: list[dict[str, Any]] = []
        for sample in source.samples(split):
            (images / f"{sample.name}.png").write_bytes(encode_png(sample.image))
            described.append(_image(sample))
            instances += _instances(sample, source.data.classes)
            captions += [{"image_id": sample.index + 1, "caption": sample.caption}] if sample.caption else []
        head = {**_head(source), "images": described}
        _write_json(
            annotations / f"instances_{split}.json",
            {**head, "categories": _categories(source.data.classes), "annotations": _numbered(instances)},
        )
        if captions:
            _write_json(annotations / f"captions_{split}.json", {**head, "annotations": _numbered(captions)})


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="ascii")


def _head(source: Source) -> dict[str, Any]:
    info = {"description": "Images and masks, exported by seediff", "version": "1.0", **source.about}
    return {"info": info, "licenses": [{"id": 1, "name": source.license, "url": ""}]}


def _image(sample: Sample) -> dict[str, Any]:
    height, width = sample.labels.shape
    return {
        "id": sample.index + 1, "file_name": f"{sample.name}.png", "width": width, "height": height, "license": 1,
    }  # fmt: skip


def _categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """Their ids are the labels."""
    return [{"id": k, "name": name, "supercategory": ""} for k, name in enumerate(classes, start=1)]


def _instances(sample: Sample, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    for region in regions(sample.labels):
        mask = region.within(sample.labels.shape)
        yield _annotation(sample, region.label, mask, region.area, region.box, crowd=0)
    ignored = sample.labels == IGNORE_LABEL
    if ignored.any():
        for label in range(1, len(classes) + 1):
            yield _annotation(sample, label, ignored, int(ignored.sum()), _box(ignored), crowd=1)


def _annotation(
    sample: Sample, label: int, mask: NDArray[np.bool_], area: int, box: Sequence[int], crowd: int
) -> dict[str, Any]:
    return {
        "image_id": sample.index + 1, "category_id": label, "segmentation": _run_lengths(mask), "area": area,
        "bbox": list(box), "iscrowd": crowd,
    }  # fmt: skip


def _run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    from pycocotools import mask as coder

    coded = coder.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [*map(int, coded["size"])], "counts": coded["counts"].decode("ascii")}


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is in the mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def _numbered(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With ids from 1: to ``COCOeval`` 0 means that nothing was matched."""
    return [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)]
