"""Confusion matrices of single images: what is kept of them, and that nothing else is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seediff.errors import SeediffError
from seediff.files import arrays
from seediff.files.arrays import read_arrays, write_arrays
from seediff.segmenter.confusions import ImageConfusions, image_confusions, read_confusions, write_confusions


def sparse(count: int, classes: int, seed: int = 0) -> np.ndarray:
    """(N, C, C) matrices of which most entries are zero."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4000, (count, classes, classes)) * (rng.random((count, classes, classes)) < 0.08)


def named(matrices: np.ndarray) -> ImageConfusions:
    return image_confusions(((f"val_{k:06d}", matrix) for k, matrix in enumerate(matrices)), matrices.shape[1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6), st.integers(1, 5), st.integers(0, 2**31), st.data())
def test_totals_and_overlaps_are_those_of_the_matrices(
    count: int, classes: int, seed: int, data: st.DataObject
) -> None:
    matrices = sparse(count, classes, seed)
    found = named(matrices)
    assert np.array_equal(found.total, matrices.sum(0))
    group = data.draw(st.lists(st.integers(0, classes - 1), unique=True, min_size=1))
    inside = [label in group for label in range(classes)]
    for image, counts in enumerate(found.overlap(group)):
        both = either = 0
        for truth in range(classes):
            for predicted in range(classes):
                pixels = matrices[image, truth, predicted]
                both += pixels * (inside[truth] and inside[predicted])
                either += pixels * (inside[truth] or inside[predicted])
        assert tuple(counts) == (both, either)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics" / "caa" / "swin" / "0" / "voc.npz"


@pytest.mark.parametrize("count", [0, 1, 40])
def test_what_is_written_is_read(path: Path, count: int) -> None:
    matrices = sparse(count, 11)
    written = named(matrices)
    write_confusions(path, written)
    found = read_confusions(path, matrices.sum(0))
    assert found.names == written.names and found.classes == 11
    for name in ("image", "truth", "predicted", "pixels"):
        assert np.array_equal(getattr(found, name), getattr(written, name)), name
    assert len(named(np.zeros((3, 2, 2), int)).overlap([0])) == 3, "images without pixels count"


def test_a_thousand_images_take_thirty_kilobytes_at_most(path: Path) -> None:
    """Nine entries an image, more than rendered scenes have."""
    rng = np.random.default_rng(0)
    matrices = np.zeros((1000, 11, 11), int)
    for matrix in matrices:
        matrix[rng.integers(0, 11, 9), rng.integers(0, 11, 9)] = rng.exponential(400, 9).astype(int)
    write_confusions(path, named(matrices))
    assert path.stat().st_size <= 30_000


def test_matrices_of_another_total_are_refused(path: Path) -> None:
    matrices = sparse(5, 3, seed=1)
    write_confusions(path, named(matrices))
    total = matrices.sum(0)
    total[0, 0] += 1
    with pytest.raises(SeediffError, match=r"voc\.npz do not sum up"):
        read_confusions(path, total)


SOUND: dict[str, Any] = {
    "names": np.frombuffer(b'["a", "b"]', np.uint8),
    "entries": np.array([1, 1], np.uint8),
    "cells": np.array([0, 3], np.uint8),
    "pixels": np.array([7, 9], np.uint16),
}


@pytest.mark.parametrize(
    "change",
    [
        {"names": np.frombuffer(b'["a"]', np.uint8)},
        {"names": np.frombuffer(b"[1, 2]", np.uint8)},
        {"names": np.frombuffer(b"\xff", np.uint8)},
        {"names": np.frombuffer(b"[" * 100_000, np.uint8)},
        {"entries": np.array([2, 1], np.uint8)},
        {"entries": np.array([3, -1], np.int8)},
        {"cells": np.array([0, 4], np.uint8)},
        {"cells": np.array([0, -3], np.int8)},
        {"cells": np.array([0.0, 3.0])},
        {"cells": np.array(["0", "3"])},
        {"pixels": np.array([[7, 9]], np.uint16)},
        {"pixels": np.array([7], np.uint16)},
        {"pixels": np.array([-7, 9], np.int16)},
        {"pixels": np.array([7, 2**63], np.uint64)},
    ],
)
def test_arrays_that_are_no_matrices_name_the_file(path: Path, change: dict[str, Any]) -> None:
    total = np.array([[7, 0], [0, 9]])
    write_arrays(path, SOUND)
    assert read_confusions(path, total).names == ("a", "b")
    write_arrays(path, SOUND | change)
    with pytest.raises(SeediffError, match=r"voc\.npz"):
        read_confusions(path, total)


def test_pickles_are_not_opened(path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (path.with_name("exploded"),)

    path.parent.mkdir(parents=True)
    np.savez(path, cells=np.array([Bomb()], dtype=object))
    with pytest.raises(SeediffError, match=r"voc\.npz is broken"):
        read_arrays(path, "The file")
    assert not path.with_name("exploded").exists()


def test_a_file_that_would_fill_the_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_arrays(path, {"a": np.zeros(10_000, np.uint8)})
    assert path.stat().st_size < 2_000 and len(read_arrays(path, "The file")["a"]) == 10_000
    monkeypatch.setattr(arrays, "MOST_BYTES", 2_000)
    with pytest.raises(SeediffError, match=r"voc\.npz is broken \(it holds more than 2,000 bytes\)"):
        read_arrays(path, "The file")
