"""Seeds: where the class word's cross-attention finds the object (Eq. 6), and which positions count as found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps


def cross_attention(score: None, maps: ClassMaps, *, resolution: str) -> Tensor:
    """Start from the class map at one resolution, from which Eq. 6 takes its seeds (Table 4: used as it is)."""
    return maps.class_map(maps.side(resolution))


def seed_region(score: Tensor, alpha: float) -> Tensor:
    """Positions with score >= alpha (Eq. 6, 9), (r, r) bool; where none is, those of the maximum.

    The paper leaves the empty seed region open. It occurs for a large ``alpha``, because upsampling flattens peaks.
    """
    return score >= score.amax().clamp(max=alpha)
