"""Semantic inference with a trained segmenter, and its confusion matrix on a benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from seediff.datasets.classes import MOST_CLASSES
from seediff.datasets.flaws import FLAWS, Flaw
from seediff.errors import SeediffError
from seediff.files.sealed import read_json
from seediff.finite import check_finite, naming
from seediff.segmenter.architecture import Architecture
from seediff.segmenter.backbones import STRIDE, normalize
from seediff.segmenter.cotraining import paired
from seediff.segmenter.folders import SETTINGS, WEIGHTS
from seediff.segmenter.registry import architecture_of
from seediff.segmenter.settings import SegmenterSettings, segmenter_settings
from seediff.training.checkpoint import load_tensors


@dataclass(frozen=True)
class Segmenter:
    """A trained model of an architecture, its settings, its class names in label order (background first), and the
    flaws that images it learnt from have, by key."""

    architecture: Architecture
    model: nn.Module
    settings: SegmenterSettings
    classes: tuple[str, ...]
    flaws: Mapping[str, Flaw] = field(default_factory=dict)


def load_segmenter(folder: Path) -> Segmenter:
    """Read a folder as training writes it (``segmenter.folders``), ready for prediction.

    Raises ``SeediffError`` when a file is missing, truncated, or does not belong to the other.
    """
    folder = Path(folder)
    try:
        config = read_json(folder / SETTINGS, "The file of settings")
        settings, classes = segmenter_settings(**config["settings"]), tuple(config["classes"])
        single = architecture_of(settings)
        architecture = paired(single) if "robust" in config else single
        model = architecture.empty(settings, len(classes))
        model.load_state_dict(load_tensors(folder / WEIGHTS, "The model")[0])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SeediffError) as error:
        raise SeediffError(
            f"Segmenter {folder} could not be read: {(str(error) or repr(error)).splitlines()[0]}\nTrain it again."
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Segmenter(architecture, model.eval().to(device), settings, classes, config.get(FLAWS, {}))


@torch.inference_mode()
def predict(segmenter: Segmenter, images: NDArray[np.uint8]) -> NDArray[Any]:
    """Label maps (n, H, W) of images (n, H, W, 3), both uint8; labels int32 if there are more than 254 classes.

    A pixel gets the class of the highest score. Images are resized to ``test_edge``; where
    they are then longer than ``test_window``, windows that overlap by half are scored one after another, and their
    scores averaged. Raises ``SeediffError`` for scores that are not finite.
    """
    settings = segmenter.settings
    device = next(segmenter.model.parameters()).device
    pixels = normalize(torch.from_numpy(_resized(images, settings.test_edge)).to(device))
    if settings.test_window and max(pixels.shape[2:]) > settings.test_window:
        scores = _scores_by_window(segmenter, pixels)
    else:
        scores = padded_scores(segmenter, pixels)
    check_finite(scores, "what the segmenter makes of it", "Train the segmenter again.")
    labels = [_labels(image_scores, images.shape[1:3]) for image_scores in scores]
    return torch.stack(labels).cpu().numpy()


def _labels(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores (C, h, w) to labels (H, W), one image at a time: at full size they are what takes the memory."""
    if scores.shape[1:] != size:
        scores = F.interpolate(scores[None], size, mode="bilinear")[0]
    return scores.argmax(0).to(torch.uint8 if len(scores) <= MOST_CLASSES + 1 else torch.int32)


def padded_scores(segmenter: Segmenter, pixels: Tensor) -> Tensor:
    """(n, 3, h, w) -> (n, C, h, w) class scores; the input is padded to ``STRIDE`` and the padding cut off again."""
    height, width = pixels.shape[2:]
    padded = F.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE))
    return segmenter.architecture.scores(segmenter.model, padded)[:, :, :height, :width]


def _scores_by_window(segmenter: Segmenter, pixels: Tensor) -> Tensor:
    """The mean of the scores of all windows over each pixel."""
    side = segmenter.settings.test_window
    total, count = torch.zeros(()), torch.zeros(pixels.shape[2:], device=pixels.device)
    for top in _window_starts(pixels.shape[2], side):
        for left in _window_starts(pixels.shape[3], side):
            window = slice(top, top + side), slice(left, left + side)
            scores = padded_scores(segmenter, pixels[:, :, *window])
            if total.ndim == 0:
                total = scores.new_zeros(*scores.shape[:2], *pixels.shape[2:])
            total[:, :, *window] += scores
            count[window] += 1
    return total / count


def _window_starts(length: int, side: int) -> list[int]:
    """Where windows begin along one edge: evenly, the last flush with the end, overlapping by half or more."""
    steps = -(-max(length - side, 0) // (side // 2))
    return [round(k * (length - side) / steps) for k in range(steps + 1)] if steps else [0]


def _resized(images: NDArray[np.uint8], edge: int) -> NDArray[np.uint8]:
    """(n, H, W, 3) with the shorter edge at ``edge`` pixels (0: as it is), by Pillow as in Mask2Former's own code."""
    shorter = min(images.shape[1:3])
    if not edge or edge == shorter:
        return images
    height, width = (edge * side // shorter for side in images.shape[1:3])
    resize = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(image).resize((width, height), resize)) for image in images])


LabelledImage = tuple[str, NDArray[np.uint8], NDArray[Any]]
"""Name, image (H, W, 3) and true labels (H, W), uint8 or uint16; the type's largest value, 255 or 65535, = ignore."""


BATCH_PIXELS = 4 * 2**20
"""Images are predicted together while they have no more pixels than this."""


def confusion(segmenter: Segmenter, samples: Iterable[LabelledImage]) -> NDArray[np.int64]:
    """(C, C) pixel counts over all samples, as in ``confusions``."""
    count = len(segmenter.classes)
    return sum((matrix for _, matrix in confusions(segmenter, samples)), np.zeros((count, count), np.int64))


def confusions(segmenter: Segmenter, samples: Iterable[LabelledImage]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Name and (C, C) pixel counts of each sample: row = true class, column = predicted class; ignored pixels left out.

    Raises ``SeediffError``, naming the sample, when labels and image differ in size or a label is not a class.
    """
    for batch in _same_size_batches(samples):
        with naming([name for name, _, _ in batch]):
            predicted = predict(segmenter, np.stack([image for _, image, _ in batch]))
        for (name, _, truth), labels in zip(batch, predicted, strict=True):
            yield name, count_pixels(name, truth, labels, len(segmenter.classes))


def count_pixels(name: str, truth: NDArray[Any], predicted: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The confusion matrix of one label map."""
    if truth.shape != predicted.shape:
        raise SeediffError(f"Labels of {name} are {truth.shape}, but its image is {predicted.shape}.")
    ignored = np.iinfo(truth.dtype).max
    valid = truth != ignored
    if valid.any() and truth[valid].max() >= count:
        raise SeediffError(
            f"Labels of {name} hold {truth[valid].max()}, but the segmenter has only classes 0 to {count - 1}.\n"
            f"Map the benchmark's labels to the segmenter's classes, or to {ignored} to ignore them."
        )
    pairs = truth[valid].astype(np.int64) * count + predicted[valid]
    return np.bincount(pairs, minlength=count**2).reshape(count, count)


def _same_size_batches(samples: Iterable[LabelledImage]) -> Iterator[Sequence[LabelledImage]]:
    """Consecutive samples whose images have one size, up to ``BATCH_PIXELS``."""
    batch: list[LabelledImage] = []
    for sample in samples:
        shape = sample[1].shape
        if batch and (batch[0][1].shape != shape or (len(batch) + 1) * shape[0] * shape[1] > BATCH_PIXELS):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
