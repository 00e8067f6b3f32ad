"""Images with their masks laid over them, for people to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seediff.datasets.label_values import IGNORE_LABEL
from seediff.errors import SeediffError


def overlay(image: NDArray[np.uint8], mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Image.Image:
    """The image with every label tinted in its colour and outlined; the background pales, 255 turns grey.

    ``image`` (H, W, 3), ``mask`` (H, W) label indices, ``palette`` (at least max label + 1, 3).
    """
    if mask.shape != image.shape[:2]:
        raise SeediffError(f"Image {image.shape[:2]} and mask {mask.shape} differ in size.")
    ignored = mask == IGNORE_LABEL
    labels = np.where(ignored, 0, mask)
    if labels.max() >= len(palette):
        raise SeediffError(f"The mask holds label {labels.max()}, the palette ends at {len(palette) - 1}.")
    colours = np.where(ignored[..., None], 128, palette[labels]).astype(np.float64)
    colours[mask == 0] = 255
    shares = np.where(mask == 0, 0.65, np.where(_outline(mask), 1.0, 0.5))[..., None]
    return Image.fromarray((image * (1 - shares) + colours * shares).round().astype(np.uint8))


def _outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with a neighbour, left, right, above or below, of another label."""
    padded = np.pad(mask, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.any([neighbour != mask for neighbour in neighbours], axis=0)
