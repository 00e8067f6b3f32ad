"""How far each pixel of a mask can be relied on, from the scores that it was made of (docs/methods/robust-training.md).

A pixel is the more reliable, the further the best score lies above the second best; what counts is its rank among the
pixels of its image that were given the same label, so that no class and no image is unreliable altogether.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seediff.datasets.label_values import IGNORE_LABEL
from seediff.errors import SeediffError

LEVELS = 254
"""Reliability 0 to 1 is kept in single bytes, as 1 to 255."""


def background_score(score: Tensor, threshold: float) -> Tensor:
    """The background's score beside that of the one class drawn, of the same shape.

    attn2mask's 1 - max_c a_c - beta wins below a = (1 - beta) / 2; to win below ``threshold``, it is 2 threshold - a.
    """
    return 2 * threshold - score


def margin(scores: Tensor) -> Tensor:
    """How far the best of scores (C, H, W), background included, lies above the second best: (H, W), at least 0."""
    best = scores.topk(2, dim=0).values
    return best[0] - best[1]


def reliability(margins: Tensor, mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W) in [0, 1]: the share of the pixels of the same label whose margin is no larger.

    Without ties the top half of each label is what lies above 0.5. Pixels labelled 255 get 0. ``margins`` and ``mask``
    are (H, W); ``SeediffError`` if they differ in size.
    """
    if tuple(margins.shape) != mask.shape:
        raise SeediffError(f"Margins of shape {tuple(margins.shape)} do not fit a mask of shape {mask.shape}.")
    values, ranks = margins.cpu().numpy(), np.zeros(mask.shape)
    for label in np.unique(mask[mask != IGNORE_LABEL]):
        own = values[mask == label]
        ranks[mask == label] = np.searchsorted(np.sort(own), own, side="right") / len(own)
    return ranks


def as_levels(reliable: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Reliability in [0, 1] as bytes from 1 to 255, rounded up, so that what is above a half stays there."""
    return (1 + np.ceil(LEVELS * reliable)).astype(np.uint8)


def mask_reliability(score: Tensor, mask: NDArray[np.uint8], threshold: float) -> NDArray[np.uint8]:
    """Levels (H, W), 1 to 255, of the mask that ``labels.to_mask`` cut from ``score`` (H, W) at ``threshold``."""
    scores = torch.stack([background_score(score, threshold), score])
    return as_levels(reliability(margin(scores), mask))
