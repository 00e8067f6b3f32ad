"""Background expansion (BE): the background of a simple prompt's image is even, so self-attention finds it well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seediff.masks.expansion import expand
from seediff.masks.scores import normalize, resize

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps


def background(score: Tensor, maps: ClassMaps, *, resolution: str = "1", alpha: float) -> Tensor:
    """BE (Eq. 10-11): expand the inverse score from its own seeds, weigh the score by what that leaves; min-max."""
    side = maps.side(resolution)
    score = resize(score, (side, side))
    behind = expand(1 - score, maps, resolution=resolution, alpha=alpha)
    return normalize((1 - behind) * score)
