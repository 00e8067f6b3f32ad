"""How each kind of network takes part in robust training: its per-pixel probabilities, and its loss on given labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Mask2FormerForUniversalSegmentation

from seediff.datasets.label_values import IGNORE_LABEL
from seediff.segmenter.backends import Mean
from seediff.segmenter.loss import MASK_WEIGHT, make_targets, set_loss
from seediff.segmenter.model import normalize, predict_layers
from seediff.segmenter.pixel import check_labels, full_size_logits
from seediff.segmenter.robust.lessons import Lesson
from seediff.segmenter.settings import SegmenterSettings

SMALLEST = 1e-6
"""Added to Mask2Former's scores, which can all be 0 at a pixel."""


@dataclass(frozen=True)
class Head:
    """``answer``: what a network makes of images (n, H, W, 3). ``log_probabilities``: the logarithms of what that says
    of each pixel, (n, C, H, W) float32. ``supervised``: the parts of the loss on the lesson's own labels, given the
    answer, its log-probabilities, and the boundary's weight. ``weight``: of a per-pixel cross-entropy beside these.
    """

    answer: Callable[[nn.Module, Tensor], Any]
    log_probabilities: Callable[[Any, tuple[int, ...]], Tensor]
    supervised: Callable[[Any, Tensor, Lesson, float, SegmenterSettings, Mean], dict[str, Tensor]]
    weight: float


def cross_entropy(log_probabilities: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The mean over all pixels of weight times cross-entropy; pixels labelled 255 add nothing to it."""
    return (F.nll_loss(log_probabilities, labels, ignore_index=IGNORE_LABEL, reduction="none") * weights).mean()


# --- Mask2Former -----------------------------------------------------------------------------------------------------


def _layers(network: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    return predict_layers(cast(Mask2FormerForUniversalSegmentation, network), normalize(images))


def _implied_log_probabilities(layers: list[tuple[Tensor, Tensor]], size: tuple[int, ...]) -> Tensor:
    """Those of the last layer's class scores, made to sum to 1 at every pixel."""
    classes, masks = (logits.float() for logits in layers[-1])
    with torch.autocast(masks.device.type, enabled=False):
        scores = torch.einsum("nqc,nqhw->nchw", classes.softmax(-1)[..., :-1], masks.sigmoid()) + SMALLEST
    scores = F.interpolate(scores, size, mode="bilinear")
    return scores.log() - scores.sum(1, keepdim=True).log()


def _set_loss(
    layers: list[tuple[Tensor, Tensor]],
    log_probabilities: Tensor,
    lesson: Lesson,
    boundary_weight: float,
    settings: SegmenterSettings,
    mean: Mean,
) -> dict[str, Tensor]:
    """The set loss on labels of which each is kept with its trust as probability, and the boundary's share of weight.

    The set loss knows pixels that count and pixels that do not. Kept at random, a pixel counts as much as it is trusted
    in the mean over steps.
    """
    kept = lesson.labels.masked_fill(torch.rand_like(lesson.trust) >= lesson.trust, IGNORE_LABEL)
    parts = set_loss(layers, make_targets(kept, log_probabilities.shape[1]), settings.points, mean)
    boundary = cross_entropy(log_probabilities, lesson.labels, lesson.trust * lesson.boundary)
    return {**parts, "boundary": MASK_WEIGHT * boundary_weight * boundary}


# --- per-pixel classifier --------------------------------------------------------------------------------------------


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    return cast(Tensor, network(normalize(images)))


def _log_softmax(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    return full_size_logits(logits, size).log_softmax(1)


def _pixel_loss(
    logits: Tensor,
    log_probabilities: Tensor,
    lesson: Lesson,
    boundary_weight: float,
    settings: SegmenterSettings,
    mean: Mean,
) -> dict[str, Tensor]:
    """BECO's first two terms: cross-entropy times trust, and more of it along boundaries."""
    check_labels(lesson.labels, log_probabilities.shape[1])
    weights = lesson.trust * (1 + boundary_weight * lesson.boundary)
    return {"pixel": cross_entropy(log_probabilities, lesson.labels, weights)}


HEADS: dict[str, Head] = {
    "transformers": Head(_layers, _implied_log_probabilities, _set_loss, MASK_WEIGHT),
    "pixel": Head(_logits, _log_softmax, _pixel_loss, 1.0),
}
"""By segmenter backend."""
