"""PAMR as it was published: neighbours by dilated convolutions with one-hot kernels, all of them kept at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def pamr(image: Tensor, score: Tensor, iterations: int = 10, dilations: Sequence[int] = (1, 2, 4, 8, 12, 24)) -> Tensor:
    """``image`` (n, 3, H, W), ``score`` (n, c, H, W)."""
    _n, _channels, _height, _width = image.shape
    around = _shifted(image, dilations, centre=True)
    difference = (_shifted(image, dilations, centre=False) - image[:, :, None]).abs()
    deviation = around.std(2, keepdim=True)
    weights = (-difference / (1e-8 + 0.1 * deviation)).mean(1, keepdim=True).softmax(2)
    for _ in range(iterations):
        score = (_shifted(score, dilations, centre=False) * weights).sum(2)
    return score


def _shifted(maps: Tensor, dilations: Sequence[int], centre: bool) -> Tensor:
    """(n, c, neighbours, H, W)."""
    n, channels, height, width = maps.shape
    kernel = torch.eye(9, dtype=maps.dtype).view(9, 1, 3, 3)
    if not centre:
        kernel = kernel[[0, 1, 2, 3, 5, 6, 7, 8]]
    flat = maps.view(n * channels, 1, height, width)
    shifted = [F.conv2d(F.pad(flat, [d] * 4, mode="replicate"), kernel, dilation=d) for d in dilations]
    return torch.cat(shifted, 1).view(n, channels, -1, height, width)
