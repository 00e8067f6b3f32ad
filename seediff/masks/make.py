"""A score or a mask of one word in one call, from the attention recorded while its image was drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seediff.attention.maps import AttentionMaps
from seediff.errors import SeediffError
from seediff.masks.labels import refine, to_mask
from seediff.masks.refinement import SOFT_PAMR, Refinement
from seediff.masks.variants import ALPHA, Steps, apply, named_steps, resolve


def make_score(
    maps: AttentionMaps,
    word: str,
    variant: str | Steps = "seediff",
    alpha: float = ALPHA,
    starts: Sequence[int] = (),
) -> NDArray[np.float32]:
    """How much each place belongs to ``word``: (latent side, latent side) float32 in [0, 1].

    Every place where the prompt has the word counts, unless ``starts`` gives the characters at which it begins where it
    is meant ([18]; counted from 0). ``variant`` is a name in ``VARIANTS`` or mask steps of your own, ``alpha`` the
    threshold for seeds (Eq. 6, 9).
    """
    _check_maps(maps)
    steps = resolve(named_steps(variant), alpha=alpha)
    return apply(steps, maps.for_word(word, starts)).cpu().numpy()


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
) -> NDArray[np.uint8]:
    """The mask of ``word`` in ``image``, (H, W) uint8: ``label`` on the object, 0 elsewhere.

    Every place where the prompt has the word counts, unless ``starts`` gives the characters at which it begins where it
    is meant ([18]; counted from 0). ``image`` is a PIL image or (H, W, 3) uint8, ``beta`` the threshold (Eq. 12) if
    ``refinement`` has none; without refinement (None) the score is upsampled and cut.
    """
    _check_maps(maps)
    pixels = np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[0] != pixels.shape[1]:
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise SeediffError(f"Attention is that of a square image, this one is {size}.\nGive the image that was drawn.")
    refinement = (refinement or Refinement(pamr=None)).with_default_threshold(beta)
    score = apply(resolve(named_steps(variant), alpha=alpha), maps.for_word(word, starts))
    return to_mask(refine(score, pixels, refinement), label, refinement.final_threshold, refinement.uncertain_from)


def _check_maps(maps: AttentionMaps) -> None:
    if not isinstance(maps, AttentionMaps):
        raise SeediffError(
            f"Give the maps of one image, such as recording.maps[0], not the whole {type(maps).__name__}."
        )
