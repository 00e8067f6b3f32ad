"""Masks whose colours are those of a table, such as the column ``colour`` of a list of classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.findings import Problem
from seediff.datasets.images import Array, PictureError, decode_mask, label_picture, pixel_kind
from seediff.datasets.palettes import Colour


def decode_coloured(content: bytes, name: str, known: Collection[int], table: Mapping[Colour, int]) -> Array:
    """Bytes of a PNG as (H, W) uint8 of labels, by the colours of its pixels or by their indices.

    RGB is read by ``table``, (red, green, blue) -> label. So is a palette PNG if the table has all colours that it
    uses. Any other file is read by ``decode_mask``, with the labels ``known``. Raises ``PictureError`` naming ``name``
    if the bytes are broken, or for RGB with a colour that is not in the table.
    """
    picture = label_picture(content, name)
    kind = pixel_kind(picture, content)
    if kind in ("RGB", "RGBA"):
        return _labels_of_pixels(_opaque(np.asarray(picture), name, kind), name, table)
    if kind == "P" and table and picture.palette is not None:
        pixels = np.asarray(picture.convert("RGB"))
        if {*_colours_in(pixels)} <= table.keys():
            return _labels_of_pixels(pixels, name, table)
    return decode_mask(content, name, known)


def _opaque(pixels: Array, name: str, kind: str) -> Array:
    """Red, green and blue of the pixels; their alpha must not make any of them transparent."""
    if (pixels[..., 3:] < 255).any():
        raise PictureError(f"{name} has transparent places.\nSave its labels as grey PNG.", Problem.PICTURE, kind)
    return pixels[..., :3]


def _labels_of_pixels(pixels: Array, name: str, table: Mapping[Colour, int]) -> Array:
    if not table:
        raise PictureError(
            f"{name} holds colours, but the list of classes does not say which class has which.\n"
            "Add a column 'colour' to classes.csv, or save the labels as grey PNG.",
            Problem.PICTURE,
            "RGB",
        )
    if foreign := [colour for colour in _colours_in(pixels) if colour not in table]:
        more = f", and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise PictureError(
            f"{name} has the colour {foreign[0]}, which is that of no class{more}.\n"
            "Was it resized or saved as JPEG? Give every class its colour in classes.csv.",
            Problem.PALETTE,
            f"{foreign[0]}{more}",
        )
    codes = np.array([_code(np.array(colour)) for colour in table])
    order = np.argsort(codes)
    labels = np.array([*table.values()], np.uint8)[order]
    return labels[np.searchsorted(codes[order], _code(pixels))]


def _code(colours: NDArray[np.integer]) -> NDArray[np.int64]:
    """One number for each colour of (..., 3)."""
    red, green, blue = np.moveaxis(colours.astype(np.int64), -1, 0)
    return (red << 16) | (green << 8) | blue


def _colours_in(pixels: Array) -> list[Colour]:
    """Every colour of (H, W, 3), once."""
    codes = np.unique(_code(pixels))
    return [(code >> 16, code >> 8 & 255, code & 255) for code in codes.tolist()]
