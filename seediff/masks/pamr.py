"""Pixel-adaptive mask refinement (PAMR; Araslanov and Roth, CVPR 2020): soft labels flow between similar pixels.

Each round replaces a pixel's score by a convex combination of its neighbours' (8 at each dilation, the pixel itself
left out), with weights that depend only on the image:

    w_n = softmax_n( mean_c( -|I_c - I_cn| / (1e-8 + factor * sigma_c) ) )

where sigma_c is the unbiased standard deviation of channel c over the 3 x 3 positions of every dilation, which count
the pixel itself once per dilation. Borders are replicated. This is what Eq. S1 and S2 of the SeeDiff supplement mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from seediff.errors import SeediffError

_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def pamr(
    image: Tensor,
    score: Tensor,
    *,
    iterations: int = 10,
    dilations: Sequence[int] = (1, 2, 4, 8, 12, 24),
    sigma_factor: float = 0.1,
) -> Tensor:
    """Refine ``score`` (n, c, H, W) by ``image`` (n, channels, H, W); both float32 or both float64, on the same device.

    Scaling the image changes nothing, and the score keeps its range (up to rounding). Images are refined one at a time,
    each with 8 * len(dilations) * H * W weights. ``SeediffError`` for shapes that do not fit, without dilations, and
    for dilations below 1.
    """
    if image.ndim != 4 or score.ndim != 4 or image.shape[::2] != score.shape[::2] or image.shape[3] != score.shape[3]:
        raise SeediffError(
            f"PAMR needs image (n, channels, H, W) and score (n, c, H, W) with the same n, H and W;\n"
            f"got {tuple(image.shape)} and {tuple(score.shape)}."
        )
    if not dilations or min(dilations) < 1:
        raise SeediffError(f"PAMR needs dilations, each 1 or more; got {tuple(dilations)}.")
    refined = torch.empty_like(score)
    for pixels, labels, result in zip(image, score, refined, strict=True):
        weights = _weights(pixels, dilations, sigma_factor)
        for _ in range(iterations):
            labels = _mix(labels, weights, dilations)
        result.copy_(labels)
    return refined


def _neighbours(maps: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """Views of ``maps`` (c, H, W), border replicated, from each neighbour's position."""
    height, width = maps.shape[1:]
    reach = max(dilations)
    padded = pad(maps[None], [reach] * 4, mode="replicate")[0]
    for dilation in dilations:
        for dy, dx in _AROUND:
            top, left = reach + dy * dilation, reach + dx * dilation
            yield padded[:, top : top + height, left : left + width]


def _weights(image: Tensor, dilations: Sequence[int], sigma_factor: float) -> Tensor:
    """(neighbours, H, W), with sum 1 at each pixel."""
    scale = 1e-8 + sigma_factor * _deviation(image, dilations)
    weights = image.new_empty(len(_AROUND) * len(dilations), *image.shape[1:])
    for weight, neighbour in zip(weights, _neighbours(image, dilations), strict=True):
        torch.mean((neighbour - image).abs_().div_(scale).neg_(), 0, out=weight)
    return weights.sub_(weights.amax(0)).exp_().div_(weights.sum(0))


def _deviation(image: Tensor, dilations: Sequence[int]) -> Tensor:
    """Local standard deviation, (channels, H, W), from differences to the pixel itself, to avoid cancellation."""
    total, squares = torch.zeros_like(image), torch.zeros_like(image)
    for neighbour in _neighbours(image, dilations):
        difference = neighbour - image
        total += difference
        squares.addcmul_(difference, difference)
    positions = (len(_AROUND) + 1) * len(dilations)
    return squares.addcmul_(total, total, value=-1 / positions).div_(positions - 1).clamp_min_(0).sqrt_()


def _mix(score: Tensor, weights: Tensor, dilations: Sequence[int]) -> Tensor:
    """One round: each pixel becomes the weighted mean of its neighbours."""
    mixed = torch.zeros_like(score)
    for weight, neighbour in zip(weights, _neighbours(score, dilations), strict=True):
        mixed.addcmul_(weight, neighbour)
    return mixed
