"""DiffuMask's augmentation of image-mask pairs: splicing, perspective, occlusion, blur and noise.

The order is fixed, and is that of taking a photograph: the scene is put together (splice) and seen from an angle
(perspective), something stands in front of it (occlusion), the lens softens everything (blur), and the sensor adds
grain (noise).

DiffuMask's released code splices, and says how many pictures of each grid it made: ``_GRIDS``. It has none of the
other augmentations, so their strengths are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from seediff.datasets.classes import BACKGROUND_LABEL, IGNORE_LABEL
from seediff.datasets.images import Array, Pair, Pairs, resize_pair
from seediff.settings import Share, check_bounds

GREY = 128
"""What lies beyond an image's border, in all three channels."""


@dataclass(frozen=True)
class Augmentation:
    """DiffuMask's augmentations: how often each happens, a probability, and how strong it is.

    Strengths are drawn uniformly, up to the value given.
    """

    splice: Share = 0.0
    """Cut the picture into a grid, each cell holding another pair."""
    splice_grid: Annotated[int, Ge(2), Le(8)] = 8
    """The most rows and columns of the grid."""
    perspective: Share = 0.0
    """Move every corner."""
    # Beyond a quarter the corners can form a shape that folds the picture.
    perspective_shift: Annotated[float, Ge(0), Le(0.25)] = 0.15
    """How far: a share of the width and of the height."""
    occlusion: Share = 0.0
    """Put rectangles before the scene."""
    occlusion_patches: Annotated[int, Ge(1), Le(100)] = 3
    """The most rectangles."""
    occlusion_size: Share = 0.3
    """The longest side of a rectangle, as a share of the image's."""
    blur: Share = 0.0
    """Blur the image by a Gaussian."""
    # A share and not pixels, so that it hides details of the same size relative to the objects at 64 and at 512 pixels.
    blur_radius: Share = 0.015
    """Its largest standard deviation, as a share of the image's shorter side."""
    noise: Share = 0.0
    """Add Gaussian noise."""
    noise_std: Share = 0.1
    """Its largest standard deviation, as a share of the full range of 255."""

    def __post_init__(self) -> None:
        check_bounds("Augmentation", self)


def augmented(rng: Generator, pairs: Pairs, index: int, augmentation: Augmentation) -> Pair:
    """Pair ``index``, spliced with random others and changed, each with its probability; its size stays.

    The arrays may be those of ``pairs``: do not write into them.
    """
    pair = pairs[index]
    if rng.random() < augmentation.splice:
        grid = random_grid(rng, augmentation.splice_grid)
        others = rng.integers(len(pairs), size=grid[0] * grid[1] - 1)
        pair = splice([pair, *(pairs[int(other)] for other in others)], grid)
    for probability, change in (
        (augmentation.perspective, change_perspective),
        (augmentation.occlusion, occlude),
        (augmentation.blur, blur),
        (augmentation.noise, add_noise),
    ):
        if rng.random() < probability:
            pair = change(rng, *pair, augmentation)
    return pair


# --- splice --------------------------------------------------------------------------------------------------------

_GRIDS = {(1, 2): 1.5, (2, 1): 1.5, (2, 2): 3, (3, 3): 4, (5, 5): 3, (6, 6): 2, (7, 7): 2, (8, 8): 1}
"""Rows and columns of a splice, and how many thousands of each DiffuMask made (3 of 1 x 2 and 2 x 1 together)."""


def random_grid(rng: Generator, largest: int) -> tuple[int, int]:
    """Rows and columns of a splice, at most ``largest``, with DiffuMask's frequencies."""
    grids = [grid for grid in _GRIDS if max(grid) <= largest]
    weights = np.array([_GRIDS[grid] for grid in grids])
    return grids[rng.choice(len(grids), p=weights / weights.sum())]


def splice(pairs: Sequence[Pair], grid: tuple[int, int]) -> Pair:
    """A picture of the first pair's size, cut into ``grid`` cells, row by row, each holding one of the pairs resized.

    It has to have at least as many pixels a side as the grid has cells.
    DiffuMask puts the pictures side by side at full size instead; training scales the result down all the same.
    """
    rows, columns = grid
    image, labels = np.empty_like(pairs[0][0]), np.empty_like(pairs[0][1])
    bottoms = np.linspace(0, labels.shape[0], rows + 1).astype(int)
    rights = np.linspace(0, labels.shape[1], columns + 1).astype(int)
    for number, (part, part_labels) in enumerate(pairs):
        row, column = divmod(number, columns)
        cell = slice(bottoms[row], bottoms[row + 1]), slice(rights[column], rights[column + 1])
        image[cell], labels[cell] = resize_pair(part, part_labels, labels[cell].shape)
    return image, labels


# --- perspective ---------------------------------------------------------------------------------------------------


def change_perspective(rng: Generator, image: Array, labels: Array, augmentation: Augmentation) -> Pair:
    """Stretch a random quadrangle over the image: bilinear, labels nearest; grey and 255 beyond the border."""
    height, width = labels.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    shift = augmentation.perspective_shift
    sources = corners + rng.uniform(-shift, shift, (4, 2)) * (width, height)
    homography = _homography(corners, sources)
    # Pillow decides what lies beyond the border in the same way for both resamplings, so they agree to the pixel.
    warped = _warp(image, homography, Image.Resampling.BILINEAR, (GREY, GREY, GREY))
    return warped, _warp(labels, homography, Image.Resampling.NEAREST, IGNORE_LABEL)


def _homography(corners: NDArray[np.float64], sources: NDArray[np.float64]) -> NDArray[np.float64]:
    """The eight numbers a to h with (u, v) = (ax + by + c, dx + ey + f) / (gx + hy + 1).

    They take each of four ``corners`` (x, y) to its point (u, v) of ``sources``; both (4, 2).
    """
    equations = []
    for (x, y), (u, v) in zip(corners, sources, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.linalg.solve(equations, sources.ravel())


def _warp(
    pixels: Array, homography: NDArray[np.float64], resampling: Image.Resampling, fill: int | tuple[int, ...]
) -> Array:
    """Every pixel fetched from where the homography takes it, or ``fill`` if that is outside."""
    picture = Image.fromarray(pixels)
    data = homography.tolist()
    return np.array(picture.transform(picture.size, Image.Transform.PERSPECTIVE, data, resampling, fillcolor=fill))


# --- occlusion, blur, noise ----------------------------------------------------------------------------------------


def occlude(rng: Generator, image: Array, labels: Array, augmentation: Augmentation) -> Pair:
    """Rectangles in front of the scene: background, as the object is not seen there; 255 stays 255.

    They are of one plain random colour, which looks the same at every resolution; noise would fade to grey when
    training scales the image down. Ignored pixels stay ignored, because an augmentation should not teach what the mask
    leaves open.
    """
    image, labels = image.copy(), labels.copy()
    for _ in range(rng.integers(augmentation.occlusion_patches) + 1):
        rows, columns = (_random_stretch(rng, length, augmentation.occlusion_size) for length in labels.shape)
        image[rows, columns] = rng.integers(256, size=3)
        patch = labels[rows, columns]
        patch[patch != IGNORE_LABEL] = BACKGROUND_LABEL
    return image, labels


def _random_stretch(rng: Generator, length: int, largest: float) -> slice:
    """A random part of ``range(length)``, up to ``largest`` of it long and at least 1."""
    part = max(round(length * rng.uniform(0, largest)), 1)
    start = int(rng.integers(length - part + 1))
    return slice(start, start + part)


def blur(rng: Generator, image: Array, labels: Array, augmentation: Augmentation) -> Pair:
    """A softer image; labels stay as they are."""
    deviation = min(labels.shape) * rng.uniform(0, augmentation.blur_radius)
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(deviation))), labels


def add_noise(rng: Generator, image: Array, labels: Array, augmentation: Augmentation) -> Pair:
    """Each channel of each pixel brighter or darker at random; labels stay as they are."""
    deviation = 255 * rng.uniform(0, augmentation.noise_std)
    pixels = image + deviation * rng.standard_normal(image.shape, np.float32)
    return np.clip(pixels.round(), 0, 255).astype(np.uint8), labels
