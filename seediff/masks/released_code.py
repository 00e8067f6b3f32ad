"""What the SeeDiff authors' published program does where it departs from the paper.

Seeds come from Otsu's threshold, expansion from the cosine similarity of self-attention rows, and the rounds at 1/2
and 1 expand the background instead of the object. It is an approximation, because these steps see averaged maps:

- cross-attention: theirs is summed over heads, each layer min-max normalised after the mean over steps, and nearly
  constant layers (variance <= 1e-4) weigh 1 %; ours is the mean of Eq. 5 over all layers, the middle block's too.
- self-attention: theirs is the first up-block layer of each resolution; ours the mean over all layers.
- class word: theirs is the first token (from the second on for some classes); ours the mean over all its tokens.
- Otsu's threshold is exact here, over every split of the values, with no histogram.
- the last upsampling, to the image, is bicubic with a second min-max there; here it is that of every variant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seediff.errors import SeediffError
from seediff.masks.scores import normalize, resize

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps


def expand_similar(score: Tensor, maps: ClassMaps, *, resolution: str) -> Tensor:
    """Its first round: from the Otsu seeds of the squared score to positions whose self-attention is similar."""
    side = maps.side(resolution)
    seeds = otsu_region(resize(score, (side, side), "bicubic").square())
    return spread_similar(seeds, maps.self_attention[side])


def suppress_background(score: Tensor, maps: ClassMaps, *, resolution: str) -> Tensor:
    """Its later rounds: expand the complement of the Otsu seeds, invert, weigh the score by it; min-max."""
    side = maps.side(resolution)
    score = resize(score, (side, side), "bicubic")
    behind = spread_similar(~otsu_region(score.square()), maps.self_attention[side])
    return normalize(normalize(1 - behind) * score)


def spread_similar(seeds: Tensor, self_attention: Tensor) -> Tensor:
    """Sum over the seeds of the cosine similarity between their self-attention rows and each position's; min-max."""
    norms = self_attention.norm(dim=1)
    directions = (seeds.flatten() / norms) @ self_attention
    return normalize(self_attention @ directions / norms).view_as(seeds)


def otsu_region(values: Tensor) -> Tensor:
    """Values above the split with the largest variance between its two classes (Otsu 1979); same shape, bool.

    Of a constant map nothing is above, and nothing is a seed. ``SeediffError`` for a map of one position.
    """
    if values.numel() < 2:
        raise SeediffError(
            "The steps of the released code split a map in two, but this one has a single position.\n"
            "Take images of larger latents: their side has to be 8 or more."
        )
    ordered = values.flatten().double().sort().values
    below = ordered.cumsum(0)
    count = ordered.new_ones(ordered.shape).cumsum(0)
    above, others = (below[-1] - below)[:-1], (count[-1] - count)[:-1]
    below, count = below[:-1], count[:-1]
    between = count * others * (above / others - below / count).square()
    return values > ordered[between.argmax()]
