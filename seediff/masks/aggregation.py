"""Every resolution at once: the paper's baseline CAA and its first improvement, CRE (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seediff.masks.expansion import spread
from seediff.masks.scores import normalize, resize
from seediff.masks.seeds import seed_region

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps


def mean_cross_attention(score: None, maps: ClassMaps, *, resolutions: Sequence[str] = ()) -> Tensor:
    """CAA, also DiffuMask's map: the class maps' mean over ``resolutions`` (none named: all recorded), min-max."""
    return _mean([maps.cross_attention[side] for side in _sides(maps, resolutions)], maps.latent_side)


def guided_expansion(score: None, maps: ClassMaps, *, resolutions: Sequence[str] = (), alpha: float) -> Tensor:
    """CRE: at each resolution, expand that class map's own seeds (Eq. 6-7); then as CAA."""
    seeds = {side: seed_region(maps.cross_attention[side], alpha) for side in _sides(maps, resolutions)}
    return _mean([spread(region, maps.self_attention[side]) for side, region in seeds.items()], maps.latent_side)


def _sides(maps: ClassMaps, resolutions: Sequence[str]) -> list[int]:
    return [maps.side(fraction) for fraction in resolutions] or sorted(maps.cross_attention)


def _mean(scores: Sequence[Tensor], side: int) -> Tensor:
    """Mean of the scores, each bilinearly resized to (side, side); min-max."""
    first, *others = [resize(score, (side, side)) for score in scores]
    return normalize(sum(others, first) / len(scores))
