"""Region expansion: self-attention spreads seeds over what looks alike (Eq. 7-9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seediff.masks.scores import normalize, resize
from seediff.masks.seeds import seed_region

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps


def spread(seeds: Tensor, self_attention: Tensor) -> Tensor:
    """Mean of the self-attention rows at the seeds (Eq. 7), min-max: (r, r) bool -> (r, r)."""
    weights = seeds.flatten().to(self_attention.dtype)
    return normalize(weights / weights.sum() @ self_attention).view_as(seeds)


def expand(score: Tensor, maps: ClassMaps, *, resolution: str, alpha: float) -> Tensor:
    """One round of IRE (Eq. 7-9): upsample the score, take its seeds, spread them by self-attention."""
    side = maps.side(resolution)
    seeds = seed_region(resize(score, (side, side)), alpha)
    return spread(seeds, maps.self_attention[side])
