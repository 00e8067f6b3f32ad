"""How much each pixel belongs to each class, for every kind of trained model."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seediff.segmenter.pixel import PixelClassifier, full_size_logits
from seediff.segmenter.robust.networks import CoTrained, networks


@singledispatch
def class_scores(model: nn.Module, images: Tensor) -> Tensor:
    """Class scores (n, C, h, w) of normalised images (n, 3, h, w), whose sides are multiples of the model's stride.

    Mask2Former's semantic inference: the sum over the queries of a class's probability ("no object" left out) times
    the query's mask.
    """
    output = model(pixel_values=images)
    masks = F.interpolate(output.masks_queries_logits, images.shape[2:], mode="bilinear")
    classes = output.class_queries_logits.softmax(-1)[..., :-1]
    return torch.einsum("nqc,nqhw->nchw", classes, masks.sigmoid())


@class_scores.register
def _(model: PixelClassifier, images: Tensor) -> Tensor:
    """A per-pixel classifier's probabilities."""
    return full_size_logits(model(images), images.shape[2:]).softmax(1)


@class_scores.register
def _(model: CoTrained, images: Tensor) -> Tensor:
    """The mean of both networks' probabilities: their scores, made to sum to 1 at every pixel."""
    probabilities = [_normalized(class_scores(network, images)) for network in networks(model)]
    return torch.stack(probabilities).mean(0)


def _normalized(scores: Tensor) -> Tensor:
    return scores / scores.sum(1, keepdim=True).clamp(min=1e-12)
