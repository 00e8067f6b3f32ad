"""From a score to a mask: its settings, upsampling, refinement by the image, threshold (Eq. 12, S2.4).

Studies read the settings, so torch is imported by the functions alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.classes import IGNORE_LABEL
from seediff.errors import SeediffError

if TYPE_CHECKING:
    from torch import Tensor

MOST_ROUNDS, MOST_DILATIONS, MOST_PIXELS = 100_000, 100, 4096


@dataclass(frozen=True)
class PamrSettings:
    """Pixel-adaptive mask refinement."""

    iterations: int = 10
    """Its rounds."""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 12, 24)
    """Distances of the neighbours that a pixel is compared with, in pixels."""
    sigma_factor: float = 0.1
    """Scale of the contrast between a pixel and its neighbours; smaller keeps closer to edges."""

    def __post_init__(self) -> None:
        if len(self.dilations) > MOST_DILATIONS:
            raise SeediffError(f"PAMR can have {MOST_DILATIONS} dilations at most, not {len(self.dilations)}.")
        distances = [0 < distance <= MOST_PIXELS for distance in self.dilations] or [False]
        if not (0 < self.iterations <= MOST_ROUNDS and all(distances) and 0 < self.sigma_factor < float("inf")):
            raise SeediffError(
                f"PAMR cannot run with {self.iterations} iterations, dilations {tuple(self.dilations)} "
                f"and sigma_factor {self.sigma_factor}.\nAll of them must be above 0, iterations at most "
                f"{MOST_ROUNDS:,}, dilations {MOST_PIXELS:,}."
            )


@dataclass(frozen=True)
class Refinement:
    """From the score at image size to the mask."""

    pamr: PamrSettings | None = PamrSettings()
    """Settings of PAMR, or null to go without."""
    input: Literal["soft", "binary"] = "soft"
    """What PAMR sees: the soft score (S2.4) or the binary mask (S2.5)."""
    threshold: float | None = None
    """Beta of Eq. 12, above 0 and at most 1; the study's if left out."""
    pamr_threshold: float = 0.5
    """Where PAMR's result is cut when its input was binary."""
    uncertain_from: float | None = None
    """Scores from here to the threshold are labelled 255, which the training ignores (Dataset Diffusion's band, 0.5 to
    0.6); no such band if left out."""

    def __post_init__(self) -> None:
        for name in ("threshold", "pamr_threshold", "uncertain_from"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise SeediffError(f"Refinement: {name} is {value}, but must be above 0 and at most 1.")
        threshold, uncertain_from = self.threshold, self.uncertain_from
        if threshold is not None and uncertain_from is not None and uncertain_from >= threshold:
            raise SeediffError(
                f"Refinement: uncertain_from is {uncertain_from}, but must be below threshold, {threshold}."
            )
        if self.input not in ("soft", "binary"):
            raise SeediffError(f"Refinement: input is {self.input!r}, but must be 'soft' or 'binary'.")

    def with_default_threshold(self, beta: float) -> Refinement:
        """The same, with ``beta`` as threshold if it has none of its own."""
        return self if self.threshold is not None else replace(self, threshold=beta)

    @property
    def beta(self) -> float:
        """The threshold, which must be known by now."""
        if self.threshold is None:
            raise SeediffError("The refinement has no threshold. Set one, or use with_default_threshold(beta).")
        return self.threshold

    @property
    def final_threshold(self) -> float:
        """Where the refined score is cut: ``pamr_threshold`` after PAMR on a binary mask, else beta."""
        return self.pamr_threshold if self.pamr and self.input == "binary" else self.beta


SOFT_PAMR = Refinement()
"""What the paper describes: PAMR on the soft score."""


def refine(score: Tensor, image: NDArray[np.uint8], refinement: Refinement) -> Tensor:
    """The score (r, r), bilinearly at the size of ``image`` (H, W, 3) and refined by it: (H, W) float32 in [0, 1]."""
    import torch

    from seediff.finite import check_finite
    from seediff.masks.pamr import pamr
    from seediff.masks.steps import resize

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
    import torch

    from seediff.finite import check_finite

    if not isinstance(label, Integral) or not 0 < label < IGNORE_LABEL:
        raise SeediffError(
            f"Label {label!r} is not a whole number from 1 to {IGNORE_LABEL - 1} (0 is background, 255 is ignored)."
        )
    check_finite(score[None], "the score", "Make it from attention maps that are finite.")
    mask = (score >= threshold).to(torch.uint8) * label
    if uncertain_from is not None:
        mask[(score < threshold) & (score >= uncertain_from)] = IGNORE_LABEL
    return mask.cpu().numpy()
