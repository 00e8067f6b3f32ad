"""What an architecture of segmenters is: one frozen object for all that training and prediction ask of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from seediff.datasets.classes import IGNORE_LABEL
from seediff.segmenter.batches import WeightedBatch
from seediff.segmenter.settings import SegmenterSettings

Mean = Callable[[Tensor], Tensor]
"""The mean of a tensor over the processes that share a batch."""


@dataclass(frozen=True)
class Head:
    """How networks of an architecture take part in robust training.

    ``answer``: what a network makes of images (n, H, W, 3). ``log_probabilities``: the logarithms of what that says
    of each pixel, (n, C, H, W) float32. ``supervised``: the parts of the loss on the batch's own labels, given the
    answer, its log-probabilities, and the boundary's weight. ``weight``: of a per-pixel cross-entropy beside these.
    """

    answer: Callable[[nn.Module, Tensor], Any]
    log_probabilities: Callable[[Any, tuple[int, ...]], Tensor]
    supervised: Callable[[Any, Tensor, WeightedBatch, float, SegmenterSettings, Mean], dict[str, Tensor]]
    weight: float


def whole(model: nn.Module) -> list[nn.Module]:
    """The one network that a model is."""
    return [model]


@dataclass(frozen=True)
class Architecture:
    """A kind of network, and what it is trained and asked by.

    ``build`` makes a new one for so many classes, background included, and ``empty`` its layers alone, for weights that
    are loaded next; both raise ``SeediffError`` if what they need cannot be imported. ``backbone`` is the part that
    learns at a rate of its own. ``losses``: the weighted parts of the loss for images (n, H, W, 3) uint8 and labels
    (n, H, W), given the mean over the processes that share the batch. ``scores``: class scores (n, C, h, w) of
    normalised images (n, 3, h, w), whose sides are multiples of the stride. ``head``: its part in robust training;
    ``None`` where it takes none. ``networks``: the parts whose gradients are clipped, each by itself.
    """

    build: Callable[[SegmenterSettings, int], nn.Module]
    empty: Callable[[SegmenterSettings, int], nn.Module]
    backbone: Callable[[nn.Module], nn.Module]
    losses: Callable[[nn.Module, Tensor, Tensor, SegmenterSettings, Mean], dict[str, Tensor]]
    scores: Callable[[nn.Module, Tensor], Tensor]
    head: Head | None = None
    networks: Callable[[nn.Module], list[nn.Module]] = whole


def cross_entropy(log_probabilities: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The mean over all pixels of weight times cross-entropy; pixels labelled 255 add nothing to it."""
    return (F.nll_loss(log_probabilities, labels, ignore_index=IGNORE_LABEL, reduction="none") * weights).mean()
