"""Regions of a class and their outlines, against naive references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from seediff.export.regions import joined, outlines, regions

LABELS = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 255]))
RING = np.pad(np.zeros((2, 3), bool), 2, constant_values=True)
DIAGONAL = np.eye(4, dtype=bool)


def flooded(labels: NDArray[np.uint8]) -> list[tuple[int, frozenset[tuple[int, int]]]]:
    """Every 8-connected region by flood fill, as its label and pixels."""
    height, width = labels.shape
    left = {(y, x) for y in range(height) for x in range(width) if labels[y, x] not in (0, 255)}
    found = []
    while left:
        start = min(left)
        region, open_ends = {start}, [start]
        while open_ends:
            y, x = open_ends.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
            more = {place for place in near & left - region if labels[place] == labels[start]}
            region |= more
            open_ends += more
        left -= region
        found.append((int(labels[start]), frozenset(region)))
    return found


def signed_area(line: NDArray[np.int64]) -> float:
    """The shoelace formula; positive where the line is clockwise with y downwards."""
    x, y = line.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def enclosed(line: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels whose centres a line encloses by the even-odd rule: crossings of a ray to the right are counted."""
    inside = np.zeros(shape, bool)
    for y in range(shape[0]):
        for x in range(shape[1]):
            for (x0, y0), (x1, y1) in zip(line.tolist(), np.roll(line, -1, axis=0).tolist()):
                if (y0 > y + 0.5) != (y1 > y + 0.5):
                    inside[y, x] ^= x0 + (y + 0.5 - y0) / (y1 - y0) * (x1 - x0) > x + 0.5
    return inside


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_regions_are_those_of_a_flood_fill(labels: NDArray[np.uint8]) -> None:
    found = []
    for region in regions(labels):
        whole = region.within(labels.shape)
        left, top, width, height = region.box
        rows, columns = np.nonzero(whole)
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert region.area == whole.sum()
        found.append((region.label, frozenset(zip(rows.tolist(), columns.tolist()))))
    assert len(found) == len({*found}) and {*found} == {*flooded(labels)}


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_outlines_enclose_the_region_and_nothing_else(labels: NDArray[np.uint8]) -> None:
    for region in regions(labels):
        outer, *holes = outlines(region.mask)
        assert signed_area(outer) > 0 and all(signed_area(hole) < 0 for hole in holes)
        assert signed_area(outer) + sum(map(signed_area, holes)) == region.area
        line = joined(region.mask)
        assert signed_area(line) == region.area
        np.testing.assert_array_equal(enclosed(line, region.mask.shape), region.mask)


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_outlines_turn_at_every_corner(labels: NDArray[np.uint8]) -> None:
    for region in regions(labels):
        for line in outlines(region.mask):
            steps = np.roll(line, -1, axis=0) - line
            assert ((steps == 0).sum(axis=1) == 1).all()  # along one axis
            assert ((steps[:, 0] == 0) != (np.roll(steps, 1, axis=0)[:, 0] == 0)).all()  # which changes every time


@pytest.mark.parametrize(
    ("mask", "corners"),
    [
        (np.ones((1, 1), bool), [4]),
        (np.ones((3, 7), bool), [4]),
        (RING, [4, 4]),
        (DIAGONAL, [16]),
        (np.array([[1, 1, 0], [1, 0, 0]], bool), [6]),
    ],
)
def test_the_number_of_corners(mask: NDArray[np.bool_], corners: list[int]) -> None:
    assert [len(line) for line in outlines(mask)] == corners


def test_a_bridge_leads_to_every_hole() -> None:
    mask = np.ones((7, 9), bool)
    mask[1, 1] = mask[3:5, 4:6] = mask[5, 4] = mask[6, 7] = mask[5, 1] = False
    line = joined(mask)
    assert len(line) == 8 + (4 + 3) + (6 + 3) + (4 + 3)
    np.testing.assert_array_equal(enclosed(line, mask.shape), mask)


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_bridges_lie_inside_the_region(labels: NDArray[np.uint8]) -> None:
    """What is walked twice, there and back, has the region on both sides, or meets a corner of it."""
    for region in regions(labels):
        line = joined(region.mask).tolist()
        steps = [(tuple(start), tuple(end)) for start, end in zip(line, [*line[1:], line[0]])]
        bridges = [(start, end) for start, end in steps if (end, start) in steps and start[1] < end[1]]
        assert len(bridges) == len(outlines(region.mask)) - 1
        for (x, top), (below_x, bottom) in bridges:
            assert x == below_x and region.mask[top:bottom, x].all()
