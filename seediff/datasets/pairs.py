"""Image-label pairs: what training sets hold, augmentations change, and segmenters learn from."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

from seediff.datasets.images import Array

Pair = tuple[Array, Array]
"""An image (H, W, 3) and its labels (H, W), both uint8: 0 background, 255 ignored."""


class Pairs(Protocol):
    """Anything that has a length and gives a pair by its index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Pair: ...


def resize_pair(image: Array, labels: Array, shape: tuple[int, ...]) -> Pair:
    """An image (H, W, 3) and its labels (H, W) at ``shape`` (height, width): bilinear the one, nearest the other."""
    size = shape[1], shape[0]
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(resized), np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
