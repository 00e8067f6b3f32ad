"""Data sets that users bring along: folders of images and masks, and how the format of a folder is recognised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seediff.datasets.annotated import open_annotated
from seediff.datasets.images import encode_labels, encode_mask, encode_png
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError

LABELS = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
CLASSES = "label,class\n0,background\n1,cat\n2,dog\n"


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, 3, 3), np.uint8)


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_folder(folder: Path, names: Sequence[str] = ("a", "b"), classes: str = CLASSES) -> Path:
    """A folder as `seediff generate` lays it out, with masks that differ."""
    for at, name in enumerate(names):
        write(folder / "train" / "images" / f"{name}.png", encode_png(image(at)))
        write(folder / "train" / "masks" / f"{name}.png", encode_mask(np.roll(LABELS, at)))
    write(folder / "classes.csv", classes)
    return folder


def test_a_generated_folder(tmp_path: Path) -> None:
    found = open_annotated(write_folder(tmp_path))
    assert found.classes == ("cat", "dog") and found.names == ["a", "b"] and len(found) == 2
    for at, (pixels, labels) in enumerate([found[0], found[1]]):
        assert np.array_equal(pixels, image(at)) and np.array_equal(labels, np.roll(LABELS, at))
        assert pixels.dtype == labels.dtype == np.uint8
    assert found.identity == open_annotated(tmp_path).identity


def test_some_classes_in_their_own_order(tmp_path: Path) -> None:
    found = open_annotated(write_folder(tmp_path), "folder", "train", ["dog"])
    assert found.classes == ("dog",) and found[0][1].tolist() == [[0, 0, 1], [1, 255, 0]]
    with pytest.raises(SeediffError, match=r"folder has no class 'dgo'\.\nDid you mean 'dog'\?"):
        open_annotated(tmp_path, classes=["dgo"])


@pytest.mark.parametrize("format", ["voc", "cityscapes", "ade20k"])
def test_known_data_sets_are_recognised(tmp_path: Path, format: str) -> None:
    write_domain(format, tmp_path / "data", train=1, val=1, rng_seed=0)
    found = open_annotated(tmp_path / "data", split="val")
    named = open_annotated(tmp_path / "data", format, "val")
    assert found.identity == named.identity and len(found) == 1
    assert {*np.unique(found[0][1])} <= {*range(len(found.classes) + 1), 255}
    with pytest.raises(SeediffError, match=r"has the splits train, val.*\nSay which"):
        open_annotated(tmp_path / "data")
