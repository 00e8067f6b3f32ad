"""Every resolution at once: the paper's baseline CAA, its first improvement, CRE (Table 2), and DAAM's sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from seediff.masks.expansion import spread
from seediff.masks.scores import normalize, resize
from seediff.masks.seeds import seed_region

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps


def mean_cross_attention(score: None, maps: ClassMaps, *, resolutions: Sequence[str] = ()) -> Tensor:
    """CAA, also DiffuMask's map: the class maps' mean over ``resolutions`` (none named: all recorded), min-max."""
    return _mean([maps.class_map(side) for side in _sides(maps, resolutions)], maps.latent_side)


def summed_cross_attention(score: None, maps: ClassMaps, *, layers: Mapping[str, int]) -> Tensor:
    """DAAM (Tang et al., ACL 2023), attn2mask's map: the sum over all cross-attention layers, min-max.

    ``layers`` says how many the model has at each resolution; each counts once, bicubically at the latents' side with
    what overshoots below 0 cut off. What is recorded are means over a resolution's layers, heads and timesteps, and as
    resizing is linear, their weighted sum is the sum over layers. Only that sum is normalised.
    """
    size = maps.latent_side, maps.latent_side
    resized = {at: resize(maps.cross_attention[maps.side(at)], size, "bicubic").clamp(min=0) for at in layers}
    first, *others = [layers[at] * one for at, one in resized.items()]
    return normalize(sum(others, first))


def guided_expansion(score: None, maps: ClassMaps, *, resolutions: Sequence[str] = (), alpha: float) -> Tensor:
    """CRE: at each resolution, expand that class map's own seeds (Eq. 6-7); then as CAA."""
    seeds = {side: seed_region(maps.class_map(side), alpha) for side in _sides(maps, resolutions)}
    return _mean([spread(region, maps.self_attention[side]) for side, region in seeds.items()], maps.latent_side)


def _sides(maps: ClassMaps, resolutions: Sequence[str]) -> list[int]:
    return [maps.side(fraction) for fraction in resolutions] or sorted(maps.cross_attention)


def _mean(scores: Sequence[Tensor], side: int) -> Tensor:
    """Mean of the scores, each bilinearly resized to (side, side); min-max."""
    first, *others = [resize(score, (side, side)) for score in scores]
    return normalize(sum(others, first) / len(scores))
