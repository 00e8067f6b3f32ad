"""Semantic inference with a trained segmenter, and its confusion matrix on a benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from transformers import Mask2FormerForUniversalSegmentation

from seediff.errors import SeediffError
from seediff.segmenter.model import STRIDE, empty_segmenter, normalize
from seediff.segmenter.settings import IGNORE_INDEX, SegmenterSettings, segmenter_settings


@dataclass(frozen=True)
class Segmenter:
    """A trained model, its settings, and its class names in label order (background first)."""

    model: Mask2FormerForUniversalSegmentation
    settings: SegmenterSettings
    classes: tuple[str, ...]


def load_segmenter(folder: Path) -> Segmenter:
    """Read ``model.safetensors`` and ``config.json`` as training writes them, ready for prediction.

    Raises ``SeediffError`` when a file is missing, truncated, or does not belong to the other.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        settings, classes = segmenter_settings(**config["settings"]), tuple(config["classes"])
        model = empty_segmenter(settings, len(classes))
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, SeediffError) as error:
        raise SeediffError(
            f"Segmenter {folder} could not be read: {(str(error) or repr(error)).splitlines()[0]}\nTrain it again."
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Segmenter(model.eval().to(device), settings, classes)


@torch.inference_mode()
def predict(segmenter: Segmenter, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Label maps (n, H, W) of images (n, H, W, 3), both uint8.

    Mask2Former's semantic inference: the score of a class is the sum over the queries of its probability
    ("no object" left out) times the query's mask, and a pixel gets the class of the highest score.
    """
    model = segmenter.model
    size = images.shape[1:3]
    pixels, used = _model_input(normalize(torch.from_numpy(images).to(model.device)), segmenter.settings.test_edge)
    output = model(pixel_values=pixels)
    # From the padded image's masks to the image's own size: the padding is cut off in between.
    masks = F.interpolate(output.masks_queries_logits, pixels.shape[2:], mode="bilinear")[:, :, : used[0], : used[1]]
    if tuple(used) != tuple(size):
        masks = F.interpolate(masks, size, mode="bilinear")
    classes = output.class_queries_logits.softmax(-1)[..., :-1]
    scores = torch.einsum("nqc,nqhw->nchw", classes, masks.sigmoid())
    return scores.argmax(1).to(torch.uint8).cpu().numpy()


def _model_input(images: Tensor, edge: int) -> tuple[Tensor, tuple[int, int]]:
    """Images resized to ``edge`` (0: as they are) and padded to ``STRIDE``, and their size before padding."""
    if edge:
        images = F.interpolate(images, scale_factor=edge / min(images.shape[2:]), mode="bilinear", antialias=True)
    height, width = images.shape[2:]
    return F.pad(images, (0, -width % STRIDE, 0, -height % STRIDE)), (height, width)


Sample = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]
"""Name, image (H, W, 3) and true labels (H, W), 255 = ignore."""


def confusion(segmenter: Segmenter, samples: Iterable[Sample], batch_size: int = 16) -> NDArray[np.int64]:
    """(C, C) pixel counts over all samples: row = true class, column = predicted class; 255 is left out.

    Raises ``SeediffError``, naming the sample, when labels and image differ in size or a label is not a class.
    """
    count = len(segmenter.classes)
    total = np.zeros((count, count), np.int64)
    for batch in _same_size_batches(samples, batch_size):
        predicted = predict(segmenter, np.stack([image for _, image, _ in batch]))
        for (name, _, truth), labels in zip(batch, predicted, strict=True):
            total += count_pixels(name, truth, labels, count)
    return total


def count_pixels(name: str, truth: NDArray[np.uint8], predicted: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """The confusion matrix of one label map."""
    if truth.shape != predicted.shape:
        raise SeediffError(f"Labels of {name} are {truth.shape}, but its image is {predicted.shape}.")
    valid = truth != IGNORE_INDEX
    if valid.any() and truth[valid].max() >= count:
        raise SeediffError(
            f"Labels of {name} hold {truth[valid].max()}, but the segmenter has only classes 0 to {count - 1}.\n"
            f"Map the benchmark's labels to the segmenter's classes, or to {IGNORE_INDEX} to ignore them."
        )
    pairs = truth[valid].astype(np.int64) * count + predicted[valid]
    return np.bincount(pairs, minlength=count**2).reshape(count, count)


def _same_size_batches(samples: Iterable[Sample], size: int) -> Iterator[Sequence[Sample]]:
    """Consecutive samples whose images have one size, at most ``size`` together."""
    batch: list[Sample] = []
    for sample in samples:
        if batch and (len(batch) == size or batch[0][1].shape != sample[1].shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
