"""Measures of an image-mask pair by its mask and score, without a model; ``clip`` has the one that needs a model.

A mask is (H, W) uint8: 0 background, 255 ignored, anything else the object. Every measure is a finite number. Where
there is no object, or nothing but object, it is the worst value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from seediff.datasets.classes import BACKGROUND_LABEL, IGNORE_LABEL

Mask = NDArray[np.uint8]
Region = NDArray[np.bool_]

_TOUCHING = np.ones((3, 3), bool)
"""Pixels that share an edge or a corner are connected."""


def _object(mask: Mask) -> Region:
    return (mask != BACKGROUND_LABEL) & (mask != IGNORE_LABEL)


def agreement(mask: Mask, others: Sequence[Mask]) -> float:
    """Mean over ``others`` of the IoU with ``mask``, in [0, 1]; pixels ignored in either mask are left out."""
    return float(np.mean([_iou(mask, other) for other in others]))


def _iou(mask: Mask, other: Mask) -> float:
    known = (mask != IGNORE_LABEL) & (other != IGNORE_LABEL)
    first, second = _object(mask)[known], _object(other)[known]
    return float((first & second).sum() / max(int((first | second).sum()), 1))


def area(mask: Mask) -> float:
    """Share of the image that is object, in [0, 1]."""
    return float(_object(mask).mean())


def connectedness(mask: Mask) -> float:
    """Share of the object that is its largest connected component, in [0, 1]; 0 without an object."""
    components, _ = ndimage.label(_object(mask), structure=_TOUCHING)
    sizes = np.bincount(components.ravel())[1:]
    return float(sizes.max() / sizes.sum()) if sizes.size else 0.0


def contrast(mask: Mask, score: NDArray[np.float32]) -> float:
    """Mean of ``score`` (H, W) on the object minus its mean on the background, in [-1, 1]; 0 if either is missing."""
    inside, outside = score[_object(mask)], score[mask == BACKGROUND_LABEL]
    return float(inside.mean(dtype=float) - outside.mean(dtype=float)) if inside.size and outside.size else 0.0
