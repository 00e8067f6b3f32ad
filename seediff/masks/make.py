"""The score or the mask of a word in a single call, or one label map of several, from an image's recorded attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from seediff.attention.maps import AttentionMaps, ClassMaps, competing
from seediff.datasets.classes import MOST_CLASSES
from seediff.datasets.images import pixels_of
from seediff.errors import SeediffError
from seediff.masks.refinement import SOFT_PAMR, Refinement, refine, refine_all, to_labels, to_mask
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


def make_labels(
    maps: AttentionMaps,
    words: Sequence[str],
    image: Image.Image | NDArray[np.uint8],
    variant: str | Steps = "seediff",
    alpha: float = ALPHA,
    beta: float = 0.3,
    refinement: Refinement | None = SOFT_PAMR,
    starts: Sequence[Sequence[int]] = (),
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """One label map of several words of a prompt, (H, W) uint8: 0 background, k where ``words[k - 1]`` is.

    The words compete: a pixel belongs to the word with the highest refined score, if it reaches ``beta``. ``starts``:
    for each word, the characters at which it begins. ``size``: (H, W) of the label map, to which the refined scores are
    enlarged; the image's if left out. The rest, and errors, as in ``make_mask``, whose mask this is for a single word.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise SeediffError(f"size is {size!r}, but must be the height and width of a label map, 1 or more each.")
    check_texts("words", words)
    if len(words) > MOST_CLASSES:
        raise SeediffError(f"There are {len(words)} words, but label maps have room for {MOST_CLASSES}.")
    refinement = (refinement or Refinement(pamr=None)).with_default_threshold(beta)
    refined = soft_scores(maps, words, image, variant, alpha, refinement, starts)
    if size is not None and size != refined.shape[1:]:
        refined = interpolate(refined[None], size, mode="bilinear")[0]
    labels = range(1, len(words) + 1)
    return to_labels(refined, labels, refinement.final_threshold, refinement.uncertain_from)


def soft_scores(
    maps: AttentionMaps,
    words: Sequence[str],
    image: Image.Image | NDArray[np.uint8],
    variant: str | Steps,
    alpha: float,
    refinement: Refinement,
    starts: Sequence[Sequence[int]] = (),
) -> Tensor:
    """The refined scores of several words of an image, in competition: (words, H, W) float32 in [0, 1].

    As in ``make_labels``, which cuts them.
    """
    if not words:
        raise SeediffError("There is no word to look for. Name one at least.")
    if starts and len(starts) != len(words):
        raise SeediffError(
            f"starts has entries for {len(starts)} words, but there are {len(words)}.\n"
            "Give one for each word, such as [[18], []]: an empty one stands for every place."
        )
    _check_maps(maps)
    pixels = pixels_of(image)
    _check_shape(maps, pixels)
    steps = resolve(fitted(variant, maps), alpha=alpha)
    places = starts or [()] * len(words)
    found = competing([maps.for_word(word, at) for word, at in zip(words, places, strict=True)])
    return refine_all([apply(steps, of_word) for of_word in found], pixels, refinement)


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
