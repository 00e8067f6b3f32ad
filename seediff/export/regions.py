"""The connected regions of a class in an image, and their outlines along the edges of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from seediff.datasets.classes import BACKGROUND_LABEL, IGNORE_LABEL
from seediff.datasets.images import Array

Corners = NDArray[np.int64]
"""(n, 2) x and y of the corners of a closed line, in pixels: (0, 0) is the corner of the first pixel of its array."""

_TOUCHING = np.ones((3, 3), bool)
"""Pixels that share an edge or a corner are connected."""

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""x and y of a step to the right, down, left and up: each is a turn to the right of the one before."""


@dataclass(frozen=True)
class Region:
    """Connected pixels of the class ``label``: ``mask`` (h, w) bool lies at row ``top`` and column ``left``."""

    label: int
    top: int
    left: int
    mask: NDArray[np.bool_]

    @property
    def area(self) -> int:
        return int(self.mask.sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width and height, in pixels."""
        height, width = self.mask.shape
        return self.left, self.top, width, height

    def within(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """The region as a mask (H, W) of an image of that ``shape``."""
        whole = np.zeros(shape, bool)
        height, width = self.mask.shape
        whole[self.top : self.top + height, self.left : self.left + width] = self.mask
        return whole


def regions(labels: Array) -> Iterator[Region]:
    """The 8-connected regions of every class in ``labels`` (H, W), by label and then by row; ignored pixels are none.

    Two objects of a class that touch are one region.
    """
    for label in np.unique(labels).tolist():
        if label in (BACKGROUND_LABEL, IGNORE_LABEL):
            continue
        components, _ = ndimage.label(labels == label, structure=_TOUCHING)
        for number, (rows, columns) in enumerate(ndimage.find_objects(components), start=1):
            yield Region(label, rows.start, columns.start, components[rows, columns] == number)


def outlines(mask: NDArray[np.bool_]) -> list[Corners]:
    """The outer outline of an 8-connected ``mask`` (h, w), then those of its holes.

    They run along the edges of pixels with the region on their right, so that an outer outline is clockwise as the
    image is seen, and the areas they enclose sum up to the number of pixels. Where two pixels meet in a corner alone,
    an outline goes on from one to the other.
    """
    edges = dict.fromkeys(_edges(mask))
    found = []
    unseen = dict(edges)
    while unseen:
        line = list(_follow(edges, next(iter(unseen))))
        for edge in line:
            del unseen[edge]
        found.append(_corners(line))
    return found


_Edge = tuple[int, int, int]
"""x and y where an edge of a pixel begins, and its direction in ``_STEPS``."""


def _edges(mask: NDArray[np.bool_]) -> Iterator[_Edge]:
    """The edges between the region and what is outside, that above the first pixel first."""
    padded = np.pad(mask, 1)
    above, right, below, left = padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2]
    beginnings = ((above, 0, 0), (right, 1, 0), (below, 1, 1), (left, 0, 1))
    for direction, (neighbour, x, y) in enumerate(beginnings):
        for row, column in np.argwhere(mask & ~neighbour).tolist():
            yield column + x, row + y, direction


def _follow(edges: dict[_Edge, None], start: _Edge) -> Iterator[_Edge]:
    """The edges of the closed line that ``start`` is on; at a corner of two pixels it turns left, into the other."""
    x, y, direction = edge = start
    while True:
        yield edge
        x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
        turns = ((x, y, turned % 4) for turned in (direction - 1, direction, direction + 1))
        edge = next(turn for turn in turns if turn in edges)
        direction = edge[2]
        if edge == start:
            return


def _corners(line: list[_Edge]) -> Corners:
    """Where the line turns."""
    edges = np.array(line)
    return edges[edges[:, 2] != np.roll(edges[:, 2], 1), :2]


def joined(mask: NDArray[np.bool_]) -> Corners:
    """The ``outlines`` as one closed line: a bridge leads to each hole, around it, and back the same way.

    Bridges go straight up, inside the region, from the first corner of a hole to whatever outline is above it. They
    enclose nothing.
    """
    path, *holes = outlines(mask)
    for hole in sorted((_from_first_corner(hole) for hole in holes), key=lambda hole: hole[0, 1]):
        x, y = hole[0].tolist()
        outside = np.flatnonzero(~mask[:y, x])
        end = np.array([[x, outside[-1] + 1 if outside.size else 0]])
        here = _edge_at(path, *end[0].tolist())
        path = np.concatenate([path[: here + 1], end, hole, hole[:1], end, path[here + 1 :]])
    return path


def _from_first_corner(line: Corners) -> Corners:
    """The closed line, begun at its uppermost corner, the first from the left."""
    return np.roll(line, -int(np.lexsort(line.T)[0]), axis=0)


def _edge_at(path: Corners, x: int, y: int) -> int:
    """Which edge of the line leads to the right at that point, above the region; there is one."""
    following = np.roll(path, -1, axis=0)
    level = (path[:, 1] == y) & (following[:, 1] == y)
    return int(np.argmax(level & (path[:, 0] <= x) & (x < following[:, 0])))
