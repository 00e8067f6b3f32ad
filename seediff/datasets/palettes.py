"""The colours of labels: which label an index of a file's palette stands for, and masks laid over images.

Two palettes are customary: VOC's colour map, and grey of the label's own value. A file whose palette is one of them in
order, as far as it goes, holds labels. Any other palette is read by its colours, so that one which was squeezed or put
into another order stands for the same labels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seediff.datasets.classes import IGNORE_LABEL
from seediff.errors import SeediffError

Array = NDArray[np.uint8]
Colour = tuple[int, ...]


def _colour_map() -> Array:
    """PASCAL VOC's colour map, (256, 3): the bits of an index, spread over red, green and blue from the top."""
    indices = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((indices >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


VOC_COLOURS: Array = _colour_map()
GREYS: Array = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)

CUSTOMARY = (VOC_COLOURS, GREYS)
_IN_ORDER = tuple(colours.tobytes() for colours in CUSTOMARY)


def in_order(palette: bytes) -> bool:
    """Whether the palette (red, green, blue by turns) is a customary one, as far as it goes."""
    return any(colours.startswith(palette) for colours in _IN_ORDER)


def labels_of_indices(palette: bytes, used: Sequence[int], known: Collection[int]) -> list[int]:
    """The label that each of the ``used`` indices stands for by its colour; ``known`` are those that may occur.

    Raises ``ValueError`` with the reason if an index has no colour, two have the same, a colour is that of no known
    label, or the colours can be read in both ways.
    """
    colours = _used_colours(palette, used)
    readings = {tuple(found) for customary in CUSTOMARY if (found := _labels_of_colours(colours, customary, known))}
    if not readings:
        raise ValueError(f"{_strangest(colours, known)} is the colour of no label")
    if len(readings) > 1:
        raise ValueError("its colours are VOC's as well as grey")
    return list(readings.pop())


def _used_colours(palette: bytes, used: Sequence[int]) -> list[Colour]:
    colours: dict[Colour, int] = {}
    for index in used:
        colour = tuple(palette[3 * index : 3 * index + 3])
        if not colour:
            raise ValueError(f"its index {index} has no colour")
        if colour in colours:
            raise ValueError(f"its indices {colours[colour]} and {index} have the same colour")
        colours[colour] = index
    return list(colours)


def _labels_of_colours(colours: Sequence[Colour], customary: Array, known: Collection[int]) -> list[int] | None:
    labels = _labels_by_colour(customary, known)
    return [labels[colour] for colour in colours] if labels.keys() >= set(colours) else None


def _labels_by_colour(customary: Array, known: Collection[int]) -> dict[Colour, int]:
    return {tuple(customary[label].tolist()): label for label in known if label < len(customary)}


def _strangest(colours: Sequence[Colour], known: Collection[int]) -> Colour:
    """A colour that the palette with the most of the colours does not have."""
    lacking = [
        [colour for colour in colours if colour not in _labels_by_colour(palette, known)] for palette in CUSTOMARY
    ]
    return min(lacking, key=len)[0]


# --- for people to look at


def overlay(image: NDArray[np.uint8], mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Image.Image:
    """The image with every label tinted in its colour and outlined; the background pales, 255 turns grey.

    ``image`` (H, W, 3), ``mask`` (H, W) label indices, ``palette`` (at least max label + 1, 3).
    """
    if mask.shape != image.shape[:2]:
        raise SeediffError(f"Image {image.shape[:2]} and mask {mask.shape} differ in size.")
    colours, shares = tints(mask, palette)
    return Image.fromarray((image * (1 - shares) + colours * shares).round().astype(np.uint8))


def tints(mask: Array, palette: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The colours (H, W, 3) in [0, 255] that an overlay lays over an image, and their shares (H, W, 1) in [0, 1]."""
    ignored = mask == IGNORE_LABEL
    labels = np.where(ignored, 0, mask)
    if labels.max() >= len(palette):
        raise SeediffError(f"The mask holds label {labels.max()}, the palette ends at {len(palette) - 1}.")
    colours = np.where(ignored[..., None], 128, palette[labels]).astype(np.float64)
    colours[mask == 0] = 255
    return colours, np.where(mask == 0, 0.65, np.where(_outline(mask), 1.0, 0.5))[..., None]


def _outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with a neighbour, left, right, above or below, of another label."""
    padded = np.pad(mask, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.any([neighbour != mask for neighbour in neighbours], axis=0)
