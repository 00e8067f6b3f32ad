"""Segmenters of one's own, without a study: trained on a data set, tested on another, asked for label maps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from seediff.datasets.annotated import Annotated
from seediff.datasets.classes import BACKGROUND, MOST_CLASSES
from seediff.datasets.images import Array, decode_mask, read_png
from seediff.datasets.pair_folder import CHECKSUMS, PairFolder
from seediff.datasets.photographs import photographs_in, read_photographs
from seediff.datasets.training_sets import TrainingSet
from seediff.errors import SeediffError
from seediff.finite import naming
from seediff.segmenter.confusions import ImageConfusions, image_confusions
from seediff.segmenter.evaluate import Segmenter, confusions, count_pixels, load_segmenter, predict
from seediff.segmenter.folders import WEIGHTS
from seediff.segmenter.metrics import iou, miou, pixel_accuracy
from seediff.segmenter.settings import SegmenterSettings, segmenter_settings
from seediff.segmenter.train import train
from seediff.versions import VERSIONS

METRICS = "metrics.json"
"""In a folder of predictions, the numbers of a comparison with true label maps."""
_SHORT: dict[str, Any] = {"iterations": 5000, "batch_size": 8, "checkpoint_every": 250}
"""A training of a few hours on one GPU, where the papers' take 160,000 iterations of 16 images."""


def own_settings(backbone: str, **changes: Any) -> SegmenterSettings:
    """The backbone's settings, with ``changes``, for a short training; images are predicted at the crop's size."""
    short = {} if backbone.endswith("-mini") else _SHORT
    settings = segmenter_settings(backbone, **{**short, **changes})
    return replace(settings, test_edge=min(settings.crop_size))


def train_segmenter(
    data: Annotated, settings: SegmenterSettings, folder: Path, rng_seed: int = 0, workers: int = 0
) -> None:
    """Train on all images of a data set and write ``folder`` when done; a call that was stopped is gone on with.

    ``SeediffError`` if the folder holds a segmenter already, and as in ``segmenter.train``.
    """
    if (folder / WEIGHTS).exists():
        raise SeediffError(f"{folder} already holds a segmenter.\nChoose another folder, or delete this one.")
    pairs = TrainingSet([data])
    names = [BACKGROUND, *data.classes]
    version = VERSIONS["train"]
    train(pairs, settings, names, folder, folder, rng_seed, pairs_digest=pairs.digest, version=version, workers=workers)


def evaluate_segmenter(segmenter: Segmenter, data: Annotated) -> ImageConfusions:
    """What the segmenter makes of every image of a data set, which has to have its classes in their order."""
    if segmenter.classes[1:] != data.classes:
        raise SeediffError(
            f"The segmenter knows the classes {', '.join(segmenter.classes[1:])}, the data set"
            f" {', '.join(data.classes)}.\nOpen the data set with the segmenter's classes."
        )
    images = tqdm(range(len(data)), unit="image", mininterval=5)
    samples = ((data.names[at], *data[at]) for at in images)
    return image_confusions(confusions(segmenter, samples), len(segmenter.classes))


def summary(classes: Sequence[str], found: ImageConfusions) -> dict[str, Any]:
    """Numbers of an evaluation, in percent: ``miou``, ``pixel_accuracy``, ``iou`` by class (None where it is nowhere).

    ``confusion``: pixels, row = true class, column = predicted class. ``SeediffError`` if there are no pixels.
    """
    total = found.total
    if not total.any():
        raise SeediffError(
            "All pixels are ignored (label 255), so there is nothing to compare.\nGive other label maps."
        )
    by_class = {
        name: None if np.isnan(value) else round(100 * float(value), 2)
        for name, value in zip(classes, iou(total), strict=True)
    }
    means = {"miou": round(100 * miou(total), 2), "pixel_accuracy": round(100 * pixel_accuracy(total), 2)}
    return {"images": len(found.names), **means, "iou": by_class, "confusion": total.tolist()}


def predict_files(folder: Path, sources: Sequence[Path], output: Path) -> list[str]:
    """Write a label map of every photograph below ``output`` (``datasets.pair_folder``), with a copy of the photograph.

    ``folder``: of the segmenter. ``sources``: files, or folders of them. Finished photographs of an earlier call are
    kept; a comparison of theirs is not. Returns what could not be read, and why; the others are finished.
    ``SeediffError``, before anything is written, if there are none, if two have the same name, and for a folder that
    holds label maps of another segmenter, or of another photograph of the same name.
    """
    found, pairs, segmenter = photographs_in(sources), PairFolder(output), load_segmenter(folder)
    if len(segmenter.classes) > MOST_CLASSES + 1:
        raise SeediffError(
            f"The segmenter knows {len(segmenter.classes) - 1} classes, but label maps have room for {MOST_CLASSES}."
        )
    settings = {"classes": [*segmenter.classes[1:]]}
    checksums = {"segmenter": _sha256(folder / WEIGHTS)}
    pairs.check_settings(settings)
    pairs.check_model(checksums)
    unfinished = pairs.unfinished(found)
    (output / METRICS).unlink(missing_ok=True)
    pairs.write_classes(segmenter.classes[1:])
    pairs.note({"segmenter": str(folder), **settings, CHECKSUMS: checksums})
    failures = list[str]()
    for photograph in read_photographs(tqdm(unfinished, unit="photograph", mininterval=5), failures):
        with naming([str(photograph.path)]):
            (labels,) = predict(segmenter, photograph.image[None])
        pairs.write(photograph.path.name, photograph.content, photograph.image, labels)
    return failures


def predictions(sources: Sequence[Path], output: Path) -> list[Path]:
    """The label maps that ``predict_files`` wrote of these sources, by name."""
    masks = [PairFolder(output).files(path.name)[1] for path in photographs_in(sources)]
    return sorted(mask for mask in masks if mask.exists())


def measure_predictions(masks: Sequence[Path], labels: Path, classes: Sequence[str]) -> ImageConfusions:
    """Compare label maps that were predicted, ``masks``, with those of ``labels``, by the files' names.

    ``labels``: folder of PNGs with the labels of ``classes`` (background first), 255 = ignored. Photographs without one
    are left out. ``SeediffError`` if none has one, and for a map of another size or with other labels.
    """
    predicted = {path.name: path for path in masks}
    known = [name for name in predicted if (labels / name).is_file()]
    if not known:
        wanted = f", such as {next(iter(predicted))}" if predicted else ""
        raise SeediffError(f"{labels} has no label map of one of these photographs{wanted}.")
    count = len(classes)
    compared = ((name, labels / name, predicted[name]) for name in known)
    return image_confusions(
        (
            (name, count_pixels(str(true), _label_map(true), _prediction(mask, count), count))
            for name, true, mask in compared
        ),
        count,
    )


def _prediction(path: Path, count: int) -> Array:
    """A label map that a segmenter of ``count`` classes wrote."""
    labels = _label_map(path)
    if (highest := labels.max()) >= count:
        raise SeediffError(
            f"{path} holds {highest}, but the segmenter has only classes 0 to {count - 1}.\nDelete it and run again."
        )
    return labels


def _label_map(path: Path) -> Array:
    return decode_mask(read_png(path), str(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
