"""A per-pixel classifier on the same backbones: FCN's sum of linear classifiers on every stage (Long et al. 2015).

The plainest network there is for methods that were made for per-pixel cross-entropy; Mask2Former learns masks.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seediff.datasets.classes import IGNORE_LABEL
from seediff.segmenter.architecture import Architecture, Head, Mean, cross_entropy
from seediff.segmenter.backbones import empty_backbone, load_pretrained, normalize
from seediff.segmenter.batches import WeightedBatch
from seediff.segmenter.loss import alone, check_highest
from seediff.segmenter.settings import SegmenterSettings


class PixelClassifier(nn.Module):
    """Class logits (n, C, h / 4, w / 4) of normalised images (n, 3, h, w)."""

    def __init__(self, settings: SegmenterSettings, num_classes: int) -> None:
        super().__init__()
        self.backbone = empty_backbone(settings)
        widths = cast(list[int], self.backbone.channels)
        self.classifiers = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for width in widths)

    def forward(self, pixel_values: Tensor) -> Tensor:
        stages = self.backbone(pixel_values).feature_maps
        logits = [classify(stage) for classify, stage in zip(self.classifiers, stages, strict=True)]
        size = logits[0].shape[2:]
        return torch.stack([_resized(stage, size) for stage in logits]).sum(0)


def build(settings: SegmenterSettings, num_classes: int) -> PixelClassifier:
    """A new classifier, drawn from torch's global generator; its backbone's weights from ``settings.pretrained``."""
    model = empty(settings, num_classes)
    if settings.pretrained is not None:
        load_pretrained(model.backbone, settings)
    return model


def empty(settings: SegmenterSettings, num_classes: int) -> PixelClassifier:
    """The architecture alone, for weights that are loaded next."""
    return PixelClassifier(settings, num_classes)


def losses(
    model: nn.Module, images: Tensor, labels: Tensor, settings: SegmenterSettings, mean: Mean = alone
) -> dict[str, Tensor]:
    """Cross-entropy over the pixels that are not ignored, for images (n, H, W, 3) uint8 and labels (n, H, W)."""
    logits = full_size_logits(model(normalize(images)), labels.shape[1:])
    check_labels(labels, logits.shape[1])
    total = F.cross_entropy(logits, labels.long(), ignore_index=IGNORE_LABEL, reduction="sum")
    return {"pixel": total / mean((labels != IGNORE_LABEL).sum().float()).clamp(min=1)}


def scores(model: nn.Module, images: Tensor) -> Tensor:
    """Probabilities (n, C, h, w) for normalised images (n, 3, h, w)."""
    return full_size_logits(model(images), images.shape[2:]).softmax(1)


def full_size_logits(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """(n, C, h, w) at ``size`` (H, W), float32."""
    return _resized(logits.float(), size)


def _resized(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(logits, size, mode="bilinear")


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raise ``SeediffError`` unless labels (n, H, W) are classes or 255."""
    check_highest(int(labels.masked_fill(labels == IGNORE_LABEL, 0).max()), num_classes)


def backbone(model: nn.Module) -> nn.Module:
    """The part of the model that comes pretrained."""
    return cast(PixelClassifier, model).backbone


# --- in robust training ----------------------------------------------------------------------------------------------


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    return cast(Tensor, network(normalize(images)))


def _log_softmax(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    return full_size_logits(logits, size).log_softmax(1)


def _pixel_loss(
    logits: Tensor,
    log_probabilities: Tensor,
    batch: WeightedBatch,
    boundary_weight: float,
    settings: SegmenterSettings,
    mean: Mean,
) -> dict[str, Tensor]:
    """BECO's first two terms: weighted cross-entropy, with more weight along boundaries."""
    check_labels(batch.labels, log_probabilities.shape[1])
    weights = batch.weights * (1 + boundary_weight * batch.boundary)
    return {"pixel": cross_entropy(log_probabilities, batch.labels, weights)}


ARCHITECTURE = Architecture(build, empty, backbone, losses, scores, Head(_logits, _log_softmax, _pixel_loss, 1.0))
