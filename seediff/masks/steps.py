"""The mask steps: how attention becomes a score, and one score the next.

A mask step is a pure function ``(score, maps, *, parameters) -> score``. A score is an (h, w) float32 map in [0, 1] of
the size of an attention map. The first step of a variant, a source, gets no score and makes one from the
cross-attention. Every other step continues from a score of any size, and returns one at the size of its resolution.
Resolutions are fractions of the latents' size: '1/4', '1/2' and '1' are the paper's 16, 32 and 64. Equations are
numbered as in the SeeDiff paper (AAAI 2025).

To add a step, write it here and enter it in ``SOURCES`` or ``STEPS``. A parameter with a new name also needs an entry
in ``PARAMETERS``. Variants, the lists of steps, are in ``variants``.

The job graph is built from the signatures of these functions, and building it must not import torch. So they use
tensors' own methods, and import torch only when they run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from seediff.errors import SeediffError

if TYPE_CHECKING:
    from torch import Tensor

    from seediff.attention.maps import ClassMaps, Size

# --- what the steps share --------------------------------------------------------------------------------------------


def normalize(score: Tensor) -> Tensor:
    """Min-max to [0, 1]; a constant score becomes zeros."""
    from seediff.attention import maps

    return maps.normalize(score)


def resize(score: Tensor, size: tuple[int, int], mode: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """The score (h, w) at ``size`` = (height, width) (Eq. 8), corners not aligned; bicubic can overshoot [0, 1]."""
    from torch.nn.functional import interpolate

    return interpolate(score[None, None], size=size, mode=mode, align_corners=False)[0, 0]


def seed_region(score: Tensor, alpha: float) -> Tensor:
    """Positions with score >= alpha (Eq. 6, 9), (h, w) bool; if there are none, those of the maximum.

    The paper does not say what happens without seeds. It can happen for a large ``alpha``, as upsampling flattens
    peaks.
    """
    return score >= score.amax().clamp(max=alpha)


def spread(seeds: Tensor, self_attention: Tensor) -> Tensor:
    """Mean of the self-attention rows at the seeds (Eq. 7), min-max: (h, w) bool -> (h, w)."""
    weights = seeds.flatten().to(self_attention.dtype)
    return normalize(weights / weights.sum() @ self_attention).view_as(seeds)


# --- SeeDiff ---------------------------------------------------------------------------------------------------------


def cross_attention(score: None, maps: ClassMaps, *, resolution: str) -> Tensor:
    """Source: the class map at one resolution, from which Eq. 6 takes its seeds (a row of Table 4 by itself)."""
    return maps.class_map(maps.size(resolution))


def expand(score: Tensor, maps: ClassMaps, *, resolution: str, alpha: float) -> Tensor:
    """One round of IRE (Eq. 7-9): upsample the score, take its seeds, spread them by self-attention."""
    size = maps.size(resolution)
    seeds = seed_region(resize(score, size), alpha)
    return spread(seeds, maps.looks(size))


def background(score: Tensor, maps: ClassMaps, *, resolution: str = "1", alpha: float) -> Tensor:
    """BE (Eq. 10-11): expand the inverse score, then weight the score by what this leaves; min-max.

    A simple prompt gives an even background, which self-attention finds well.
    """
    size = maps.size(resolution)
    score = resize(score, size)
    behind = expand(1 - score, maps, resolution=resolution, alpha=alpha)
    return normalize((1 - behind) * score)


# --- several words ---------------------------------------------------------------------------------------------------


def compete(score: Tensor, maps: ClassMaps, *, resolution: str) -> Tensor:
    """Zero the upsampled score wherever another class word of the prompt has the larger class map.

    Without it, a mask spills over the other objects of a scene: coarse cross-attention of a word sees them faintly,
    and self-attention spreads it over all of them. Where two class maps are equal, both words keep the position. The
    score of an image with one class word is only resized. This step is not from a paper. The usual argmax over words at
    the end gives equally good masks on the embedded model, but needs the scores of all words at once.
    """
    size = maps.size(resolution)
    score, own = resize(score, size), maps.class_map(size)
    for rival in maps.rivals:
        score = score * (own >= normalize(rival[size]))
    return score


# --- baselines -------------------------------------------------------------------------------------------------------


def mean_cross_attention(score: None, maps: ClassMaps, *, resolutions: Sequence[str] = ()) -> Tensor:
    """Source: CAA (Table 2), also DiffuMask's map: the mean of the class maps, min-max.

    ``resolutions``: which ones; all that were recorded if none are given.
    """
    return _mean([maps.class_map(size) for size in _sizes(maps, resolutions)], maps.latent_size)


def guided_expansion(score: None, maps: ClassMaps, *, resolutions: Sequence[str] = (), alpha: float) -> Tensor:
    """Source: CRE (Table 2): at each resolution, expand the class map's own seeds (Eq. 6-7); then as CAA."""
    seeds = {size: seed_region(maps.class_map(size), alpha) for size in _sizes(maps, resolutions)}
    return _mean([spread(region, maps.looks(size)) for size, region in seeds.items()], maps.latent_size)


def summed_cross_attention(score: None, maps: ClassMaps, *, layers: Mapping[str, int]) -> Tensor:
    """Source: DAAM (Tang et al., ACL 2023), attn2mask's map: the sum over all cross-attention layers, min-max.

    ``layers``: how many layers the model has at each resolution. Each layer counts once, resized bicubically to the
    latents' size, with overshoots below 0 cut off. The recorded maps are means over the layers of a resolution, its
    heads and timesteps. As resizing is linear, their weighted sum is the sum over layers. Only this sum is normalised.
    """
    resized = {
        at: resize(maps.cross_attention[maps.size(at)], maps.latent_size, "bicubic").clamp(min=0) for at in layers
    }
    first, *others = [layers[at] * mean for at, mean in resized.items()]
    return normalize(sum(others, first))


def centre_disc(score: None, maps: ClassMaps) -> Tensor:
    """Source: a disc in the centre that looks at nothing, 1 in the middle, falling linearly to 0 in the corners."""
    from torch import arange, hypot

    device = next(iter(maps.cross_attention.values())).device
    down, right = (arange(side, device=device) - (side - 1) / 2 for side in maps.latent_size)
    distance = hypot(down[:, None], right[None, :])
    return 1 - distance / distance.max()


def propagate(score: Tensor, maps: ClassMaps, *, resolution: str = "1/2", power: int = 4) -> Tensor:
    """CA.SA (Dataset Diffusion, NeurIPS 2023; Table 5): SA^tau times the upsampled score as a column; min-max.

    ``power``: tau. The column is multiplied tau times, so the power of the matrix is never formed. Each product is
    divided by the largest row sum, which keeps it in [0, 1] and does not change the min-max. Normalising the rows
    would not change it either: recorded rows all have the same sum (Eq. 5 averages softmax rows, each divided by one
    number per layer).
    """
    size = maps.size(resolution)
    self_attention = maps.looks(size)
    largest = self_attention.sum(1).amax()
    column = resize(score, size).flatten()
    for _ in range(power):
        column = self_attention @ column / largest
    return normalize(column).view(size)


def expand_nearby(score: Tensor, maps: ClassMaps, *, resolution: str, alpha: float) -> Tensor:
    """A control of ``expand``: spread the seeds by mere nearness, without a look at the self-attention."""
    return expand(score, _near_sighted(maps, resolution), resolution=resolution, alpha=alpha)


def background_nearby(score: Tensor, maps: ClassMaps, *, resolution: str = "1", alpha: float) -> Tensor:
    """A control of ``background``: expand the inverse score by mere nearness."""
    return background(score, _near_sighted(maps, resolution), resolution=resolution, alpha=alpha)


REACH = 1 / 8
"""The distance, as a share of the shorter side, at which nearness has fallen to 1/e."""


def _near_sighted(maps: ClassMaps, resolution: str) -> ClassMaps:
    """The same cross-attention, with self-attention that knows only how far two positions are apart."""
    from torch import arange, hypot

    size = maps.size(resolution)
    places = [arange(side, device=maps.cross_attention[size].device) for side in size]
    down, right = ((at[:, None] - at).float() for at in places)
    distance = hypot(down[:, None, :, None], right[None, :, None, :])
    nearness = (-distance / (REACH * min(size))).exp().flatten(2).flatten(0, 1)
    return replace(maps, self_attention={size: nearness})


def _sizes(maps: ClassMaps, resolutions: Sequence[str]) -> list[Size]:
    return [maps.size(fraction) for fraction in resolutions] or sorted(maps.cross_attention)


def _mean(scores: Sequence[Tensor], size: Size) -> Tensor:
    """Mean of the scores, each bilinearly resized to ``size``; min-max."""
    first, *others = [resize(score, size) for score in scores]
    return normalize(sum(others, first) / len(scores))


# --- the released code -----------------------------------------------------------------------------------------------
#
# The program that the SeeDiff authors published departs from their paper. Its seeds come from Otsu's threshold, its
# expansion from the cosine similarity of self-attention rows, and its rounds at 1/2 and 1 expand the background
# instead of the object. What follows approximates it, because these steps see averaged maps:
#
# - cross-attention: theirs is summed over heads, each layer min-max normalised after the mean over steps, and nearly
#   constant layers (variance <= 1e-4) weigh 1 %; ours is the mean of Eq. 5 over all layers, including the middle block.
# - self-attention: theirs is the first up-block layer of each resolution; ours is the mean over all layers.
# - class word: theirs is the first token (for some classes the second and later ones); ours is the mean over all.
# - Otsu's threshold is exact here: every split of the values is tried, without a histogram.
# - the last upsampling, to the image: theirs is bicubic with a second min-max; ours is that of every variant.


def expand_similar(score: Tensor, maps: ClassMaps, *, resolution: str) -> Tensor:
    """Released code, first round: from the Otsu seeds of the squared score to positions with similar self-attention."""
    size = maps.size(resolution)
    seeds = otsu_region(resize(score, size, "bicubic").square())
    return spread_similar(seeds, maps.looks(size))


def suppress_background(score: Tensor, maps: ClassMaps, *, resolution: str) -> Tensor:
    """Released code, later rounds: expand all but the Otsu seeds, invert, weight the score by the result; min-max."""
    size = maps.size(resolution)
    score = resize(score, size, "bicubic")
    behind = spread_similar(~otsu_region(score.square()), maps.looks(size))
    return normalize(normalize(1 - behind) * score)


def spread_similar(seeds: Tensor, self_attention: Tensor) -> Tensor:
    """Sum over the seeds of the cosine similarity between their self-attention rows and each position's; min-max."""
    norms = self_attention.norm(dim=1)
    directions = (seeds.flatten() / norms) @ self_attention
    return normalize(self_attention @ directions / norms).view_as(seeds)


def otsu_region(values: Tensor) -> Tensor:
    """Values above the split with the largest variance between its two classes (Otsu 1979); same shape, bool.

    A constant map has no such values, and no seeds. ``SeediffError`` for a map of a single position.
    """
    if values.numel() < 2:
        raise SeediffError(
            "The steps of the released code split a map in two, but this map has a single position.\n"
            "Use larger images: the side of their latents must be 8 or more."
        )
    ordered = values.flatten().double().sort().values
    below = ordered.cumsum(0)
    count = ordered.new_ones(ordered.shape).cumsum(0)
    above, others = (below[-1] - below)[:-1], (count[-1] - count)[:-1]
    below, count = below[:-1], count[:-1]
    between = count * others * (above / others - below / count).square()
    return values > ordered[between.argmax()]


# --- the steps by name -----------------------------------------------------------------------------------------------

SOURCES: dict[str, Callable[..., Tensor]] = {
    "centre_disc": centre_disc,
    "cross_attention": cross_attention,
    "guided_expansion": guided_expansion,
    "mean_cross_attention": mean_cross_attention,
    "summed_cross_attention": summed_cross_attention,
}
"""Steps that begin a variant."""

STEPS: dict[str, Callable[..., Tensor]] = {
    **SOURCES,
    "background": background,
    "background_nearby": background_nearby,
    "compete": compete,
    "expand": expand,
    "expand_nearby": expand_nearby,
    "expand_similar": expand_similar,
    "propagate": propagate,
    "suppress_background": suppress_background,
}

# --- their parameters ------------------------------------------------------------------------------------------------

MOST = 1000
"""The most layers, and the highest power of a matrix."""


def _share(value: Any) -> float:
    if not 0 <= float(value) <= 1:
        raise ValueError
    return float(value)


def _count(value: Any) -> int:
    if value != int(value) or not 1 <= value <= MOST:
        raise ValueError
    return int(value)


def _fraction(value: Any) -> str:
    """A single spelling for each resolution, so that 0.5 and '1/2' are the same run."""
    text = str(value)
    if len(text) > 30 or "e" in text.lower():  # '1e-999999999' would be written out
        raise ValueError
    if not 0 < Fraction(text) <= 1:
        raise ValueError
    return str(Fraction(text))


def _fractions(values: Any) -> list[str]:
    if isinstance(values, str):
        raise TypeError
    return [_fraction(value) for value in values]


def _layers(values: Any) -> dict[str, int]:
    layers = {_fraction(at): _count(number) for at, number in values.items()}
    if not layers or len(layers) < len(values):
        raise ValueError
    return layers


PARAMETERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "alpha": (_share, "a number from 0 to 1"),
    "layers": (_layers, "the number of layers by resolution such as {'1/4': 5, '1/2': 5}"),
    "power": (_count, f"a whole number from 1 to {MOST:,}"),
    "resolution": (_fraction, "a fraction of the latents' size such as '1/4', at most '1'"),
    "resolutions": (_fractions, "a list of fractions of the latents' size such as ['1/4', '1/2']"),
}
"""Parameter -> how its value is read, which raises an error if it is not valid, and what it must be.

A parameter means the same in every step that has it."""
