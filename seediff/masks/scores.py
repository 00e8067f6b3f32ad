"""Scores, (r, r) float32 maps in [0, 1], and the two things that every mask step does with them.

The job graph is built from the signatures of mask steps, and building it must not import torch. So step modules
use tensors' own methods and these two functions, which import torch only when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


def normalize(score: Tensor) -> Tensor:
    """Min-max to [0, 1]; a constant score becomes zeros."""
    from seediff.attention import maps

    return maps.normalize(score)


def resize(score: Tensor, size: tuple[int, int], mode: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """The score (r, r) at ``size`` = (height, width) (Eq. 8), with corners not aligned; bicubic may overshoot."""
    from torch.nn.functional import interpolate

    return interpolate(score[None, None], size=size, mode=mode, align_corners=False)[0, 0]
