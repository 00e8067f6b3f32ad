"""The score or the mask of a word in a single call, from the attention recorded while its image was drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seediff.attention.maps import AttentionMaps, ClassMaps, competing
from seediff.datasets.images import pixels_of
from seediff.errors import SeediffError
from seediff.masks.refinement import SOFT_PAMR, Refinement, refine, to_mask
from seediff.masks.variants import ALPHA, Steps, apply, fitted, resolve
from seediff.names import check_texts


def make_score(
    maps: AttentionMaps,
    word: str,
    variant: str | Steps = "seediff",
    alpha: float = ALPHA,
    starts: Sequence[int] = (),
    others: Sequence[str] = (),
) -> NDArray[np.float32]:
    """How much each position belongs to ``word``: (h, w) float32 in [0, 1], of the latents' size.

    ``variant``: a name in ``VARIANTS``, whose steps are fitted to what was recorded (``masks.variants.fitted``), or a
    list of mask steps. ``alpha``: the threshold for seeds (Eq. 6, 9).
    ``starts``: the characters, counted from 0, at which the word begins in the prompt, such as [18]; if none are given,
    every occurrence counts. ``others``: the words of other objects in the prompt, for the step ``compete``.
    ``SeediffError`` if the prompt does not have a word, for invalid steps, or if the maps are not of the calls that the
    variant is made from.
    """
    _check_maps(maps)
    steps = resolve(fitted(variant, maps), alpha=alpha)
    return apply(steps, _class_maps(maps, word, starts, others)).cpu().numpy()


def make_mask(
    maps: AttentionMaps,
    word: str,
    image: Image.Image | NDArray[np.uint8],
    variant: str | Steps = "seediff",
    alpha: float = ALPHA,
    beta: float = 0.3,
    label: int = 1,
    refinement: Refinement | None = SOFT_PAMR,
    starts: Sequence[int] = (),
    others: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """The mask of ``word`` in ``image``, (H, W) uint8: ``label`` on the object, 0 elsewhere.

    ``image``: a PIL image or (H, W, 3) uint8. ``variant``, ``alpha``, ``starts``, ``others``: as in ``make_score``.
    ``beta``: the threshold (Eq. 12), if ``refinement`` has none. Without refinement (None) the score is upsampled and
    cut. ``SeediffError`` as in ``make_score``, for an image of another shape than the maps', and as in ``pixels_of``.
    """
    _check_maps(maps)
    pixels = pixels_of(image)
    _check_shape(maps, pixels)
    refinement = (refinement or Refinement(pamr=None)).with_default_threshold(beta)
    score = apply(resolve(fitted(variant, maps), alpha=alpha), _class_maps(maps, word, starts, others))
    return to_mask(refine(score, pixels, refinement), label, refinement.final_threshold, refinement.uncertain_from)


def _class_maps(maps: AttentionMaps, word: str, starts: Sequence[int], others: Sequence[str]) -> ClassMaps:
    check_texts("others", others)
    return competing([maps.for_word(word, starts), *map(maps.for_word, others)])[0]


def _check_maps(maps: AttentionMaps) -> None:
    if not isinstance(maps, AttentionMaps):
        raise SeediffError(
            f"Pass the maps of a single image, such as recording.maps[0], instead of a {type(maps).__name__}."
        )


def _check_shape(maps: AttentionMaps, pixels: NDArray[np.uint8]) -> None:
    """Raise ``SeediffError`` if the image is higher or wider, in proportion, than the latents that were recorded."""
    (height, width), (rows, columns) = maps.latent_size, pixels.shape[:2]
    if rows * width != columns * height:
        raise SeediffError(
            f"The image is {columns} pixels wide and {rows} high, but the maps are of one {width} : {height}.\n"
            "Pass the image that was drawn, and draw it without use_resolution_binning, which crops."
        )
