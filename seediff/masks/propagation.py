"""Multiplication with self-attention: the baseline CA.SA of Table 5 (Dataset Diffusion, NeurIPS 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seediff.masks.scores import normalize, resize

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps


def propagate(score: Tensor, maps: ClassMaps, *, resolution: str = "1/2", power: int = 4) -> Tensor:
    """CA.SA: the matrix power SA^tau (tau = ``power``) times the score as a column, upsampled; min-max.

    Multiplied from the right, so no power is ever formed. Each product is divided by the largest row sum, which
    keeps it in [0, 1]; a common factor leaves the min-max as it is. Recorded rows all have one sum (Eq. 5 averages
    softmax rows divided by one number a layer), so normalising the rows would change nothing either.
    """
    side = maps.side(resolution)
    self_attention = maps.self_attention[side]
    largest = self_attention.sum(1).amax()
    column = resize(score, (side, side)).flatten()
    for _ in range(power):
        column = self_attention @ column / largest
    return normalize(column).view(side, side)
