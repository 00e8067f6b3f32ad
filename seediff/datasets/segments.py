"""Segments of COCO annotations, as polygons or runs, drawn as masks.

A mask is given by its counts: how many pixels, column by column, are outside, inside, outside, and so on. Polygons
become counts by COCO's own tools. Runs are read here: the tools would read and write beyond a text that is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Lengths of runs by turns outside and inside; they add up to the pixels of the image."""


@dataclass(frozen=True)
class Segment:
    """Where an object is, in an image of ``height`` and ``width``: ``polygons`` (x, y by turns), or else ``counts``."""

    height: int
    width: int
    polygons: tuple[NDArray[np.float64], ...]
    counts: list[int] | str = ""

    def runs(self) -> Counts:
        """The counts; pycocotools is imported for polygons."""
        if not self.polygons:
            return np.array(uncompressed(self.counts), np.int64)
        from pycocotools import mask

        parts = mask.frPyObjects([*self.polygons], self.height, self.width)
        return np.array(uncompressed(mask.merge(parts)["counts"].decode()), np.int64)

    def mask(self, runs: Counts) -> NDArray[np.bool_]:
        """(height, width): which pixels the ``runs`` have inside."""
        inside = np.arange(len(runs)) % 2 == 1
        return np.repeat(inside, runs).reshape(self.width, self.height).T


def uncompressed(counts: Sequence[int] | str) -> Sequence[int]:
    """Counts as numbers. ``ValueError`` if the text is not COCO's code of them.

    Each character holds five bits, lowest first, and whether more follow; from the fourth on, counts are differences to
    the last but one.
    """
    if not isinstance(counts, str):
        return counts
    found, value, shift = list[int](), 0, 0
    for character in counts:
        if not 0 <= (code := ord(character) - 48) < 64 or shift > 60:
            raise ValueError("has runs that are not COCO's code")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            signed = value - (1 << shift) if code & 16 else value
            found.append(signed + (found[-2] if len(found) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise ValueError("has runs that are cut off")
    return found


def read_segment(segmentation: Any, height: int, width: int) -> Segment:
    """The segment of an annotation as JSON has it; ``ValueError`` saying what is wrong with it."""
    if isinstance(segmentation, dict):
        return _of_runs(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("has no segments, only a box at most")
    return Segment(height, width, tuple(_polygon(points, height, width) for points in segmentation))


def _of_runs(segmentation: dict[str, Any], height: int, width: int) -> Segment:
    if (size := segmentation.get("size")) != [height, width]:
        raise ValueError(f"has runs for a size of {size}, but its image has [{height}, {width}] (height, width)")
    counts = segmentation.get("counts")
    if not isinstance(counts, str) and not (isinstance(counts, list) and all(type(count) is int for count in counts)):
        raise ValueError("has no runs: 'counts' is neither a text nor a list of numbers")
    lengths = uncompressed(counts)
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise ValueError(f"has runs that do not add up to the {height * width} pixels of its image")
    return Segment(height, width, (), counts)


def _polygon(points: Any, height: int, width: int) -> NDArray[np.float64]:
    if not isinstance(points, list) or not all(type(number) in (int, float) for number in points):
        raise ValueError("has a polygon that is no list of numbers")
    if len(points) % 2:
        raise ValueError(f"has a polygon of {len(points)} numbers: x and y come in pairs")
    if len(points) < 6:
        raise ValueError(f"has a polygon of {len(points) // 2} points: three are needed at least")
    side = max(height, width)
    if min(points) < -side or max(points) > 2 * side:
        raise ValueError("has a polygon with points far outside its image")
    xs, ys = points[::2], points[1::2]
    if max(xs) <= 0 or min(xs) >= width or max(ys) <= 0 or min(ys) >= height:
        raise ValueError("has a polygon that is outside its image")
    return np.array(points, np.float64)
