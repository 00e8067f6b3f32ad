"""The reliability of each pixel of a mask, from the scores behind the mask (docs/methods/robust-training.md).

A pixel is more reliable the further the best score lies above the second best. Its reliability is its rank among the
pixels with the same label in the same image, so that every label of every image has reliable pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seediff.datasets.classes import IGNORE_LABEL
from seediff.errors import SeediffError

LEVELS = 254
"""Reliability from 0 to 1 is stored in bytes, as levels from 1 to 255."""


def background_score(score: Tensor, threshold: float) -> Tensor:
    """The background's score, of the same shape as the ``score`` of the class that was drawn.

    attn2mask's 1 - max_c a_c - beta is the best score where a < (1 - beta) / 2. With beta = 1 - 2 threshold this is
    where a < threshold, and the background's score is 2 threshold - a.
    """
    return 2 * threshold - score


def margin(scores: Tensor) -> Tensor:
    """How far the best of scores (C, H, W), background included, lies above the second best: (H, W), at least 0."""
    best = scores.topk(2, dim=0).values
    return best[0] - best[1]


def reliability(margins: Tensor, mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W) in [0, 1]: the share of the pixels with the same label whose margin is not larger.

    Without ties, the values above 0.5 are the top half of each label. Pixels labelled 255 get 0. ``margins`` and
    ``mask`` are (H, W); ``SeediffError`` if they differ in size.
    """
    if tuple(margins.shape) != mask.shape:
        raise SeediffError(f"Margins of shape {tuple(margins.shape)} do not fit a mask of shape {mask.shape}.")
    values, ranks = margins.cpu().numpy(), np.zeros(mask.shape)
    for label in np.unique(mask[mask != IGNORE_LABEL]):
        of_label = values[mask == label]
        ranks[mask == label] = np.searchsorted(np.sort(of_label), of_label, side="right") / len(of_label)
    return ranks


def as_levels(ranks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Reliability in [0, 1] as levels from 1 to 255, rounded up, so that what is above a half stays above it."""
    return (1 + np.ceil(LEVELS * ranks)).astype(np.uint8)


def mask_reliability(score: Tensor, mask: NDArray[np.uint8], threshold: float) -> NDArray[np.uint8]:
    """Levels (H, W), 1 to 255, of the mask that ``to_mask`` cut from ``score`` (H, W) at ``threshold``."""
    scores = torch.stack([background_score(score, threshold), score])
    return as_levels(reliability(margin(scores), mask))
