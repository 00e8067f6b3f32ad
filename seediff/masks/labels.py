"""From a score to a mask of the image's size: upsampling, refinement by the image, threshold (Eq. 12, S2.4)."""

from __future__ import annotations

from dataclasses import asdict
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seediff.datasets.classes import IGNORE_LABEL
from seediff.errors import SeediffError
from seediff.finite import check_finite
from seediff.masks.pamr import pamr
from seediff.masks.refinement import Refinement
from seediff.masks.steps import resize


def refine(score: Tensor, image: NDArray[np.uint8], refinement: Refinement) -> Tensor:
    """The score (r, r), bilinearly at the size of ``image`` (H, W, 3) and refined by it: (H, W) float32 in [0, 1]."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise SeediffError(f"An image must be (height, width, 3) uint8, not {image.shape} {image.dtype}.")
    check_finite(score[None], "the score", "Make it from attention maps that are finite.")
    soft = resize(score.float(), image.shape[:2])
    if refinement.pamr is None:
        return soft
    if refinement.input == "binary":
        soft = (soft >= refinement.beta).float()
    pixels = torch.tensor(image, device=soft.device).permute(2, 0, 1).float() / 255
    return pamr(pixels[None], soft[None, None], **asdict(refinement.pamr))[0, 0].clamp(0, 1)


def to_mask(score: Tensor, label: int, threshold: float, uncertain_from: float | None = None) -> NDArray[np.uint8]:
    """``label`` where the score reaches ``threshold`` (Eq. 12's beta), else 0 (background): uint8 of the same shape.

    255 (ignored) where it is below the threshold but reaches ``uncertain_from``. Raises ``SeediffError`` for a label
    that is none, or a score that is not finite.
    """
    if not isinstance(label, Integral) or not 0 < label < IGNORE_LABEL:
        raise SeediffError(
            f"Label {label!r} is not a whole number from 1 to {IGNORE_LABEL - 1} (0 is background, 255 is ignored)."
        )
    check_finite(score[None], "the score", "Make it from attention maps that are finite.")
    mask = (score >= threshold).to(torch.uint8) * label
    if uncertain_from is not None:
        mask[(score < threshold) & (score >= uncertain_from)] = IGNORE_LABEL
    return mask.cpu().numpy()
