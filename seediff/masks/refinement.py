"""From a score to a mask: its settings, upsampling, refinement by the image, threshold (Eq. 12, S2.4).

Studies read the settings, so only the functions import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Len
from numpy.typing import NDArray

from seediff.datasets.classes import IGNORE_LABEL
from seediff.errors import SeediffError
from seediff.settings import Threshold, check_bounds

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PamrSettings:
    """Pixel-adaptive mask refinement."""

    iterations: Annotated[int, Ge(1), Le(100_000)] = 10
    """Number of rounds."""
    dilations: Annotated[tuple[Annotated[int, Ge(1), Le(4096)], ...], Len(1, 100)] = (1, 2, 4, 8, 12, 24)
    """Distances of the neighbours that a pixel is compared with, in pixels."""
    sigma_factor: Annotated[float, Gt(0)] = 0.1
    """Scale of the contrast between a pixel and its neighbours; smaller values keep closer to edges."""

    def __post_init__(self) -> None:
        check_bounds("PAMR", self)


@dataclass(frozen=True)
class Refinement:
    """From the score at image size to the mask."""

    pamr: PamrSettings | None = PamrSettings()
    """Settings of PAMR, or null for no PAMR."""
    input: Literal["soft", "binary"] = "soft"
    """What PAMR is applied to: the soft score (S2.4) or the binary mask (S2.5)."""
    threshold: Threshold | None = None
    """Beta of Eq. 12; the study's if left out."""
    pamr_threshold: Threshold = 0.5
    """Threshold of PAMR's result if its input is binary."""
    uncertain_from: Threshold | None = None
    """Scores from here to the threshold are labelled 255, which the training ignores (Dataset Diffusion's band, 0.5 to
    0.6); no such band if left out."""

    def __post_init__(self) -> None:
        check_bounds("Refinement", self)
        threshold, uncertain_from = self.threshold, self.uncertain_from
        if threshold is not None and uncertain_from is not None and uncertain_from >= threshold:
            raise SeediffError(
                f"Refinement: uncertain_from is {uncertain_from}, but must be below threshold, {threshold}."
            )

    def with_default_threshold(self, beta: float) -> Refinement:
        """The same, with ``beta`` as threshold if it has none of its own."""
        return self if self.threshold is not None else replace(self, threshold=beta)

    @property
    def beta(self) -> float:
        """The threshold; ``SeediffError`` if there is none."""
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
    return refine_all([score], image, refinement)[0]


def refine_all(scores: Sequence[Tensor], image: NDArray[np.uint8], refinement: Refinement) -> Tensor:
    """``refine`` for several scores of one image, whose weights are computed once: (scores, H, W)."""
    import torch

    from seediff.finite import check_finite
    from seediff.masks.pamr import pamr
    from seediff.masks.steps import resize

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise SeediffError(f"An image must be (height, width, 3) uint8, not {image.shape} {image.dtype}.")
    for score in scores:
        check_finite(score[None], "the score", "Make it from attention maps that are finite.")
    soft = torch.stack([resize(score.float(), image.shape[:2]) for score in scores])
    if refinement.pamr is None:
        return soft
    if refinement.input == "binary":
        soft = (soft >= refinement.beta).float()
    pixels = torch.tensor(image, device=soft.device).permute(2, 0, 1).float() / 255
    return pamr(pixels[None], soft[None], **asdict(refinement.pamr))[0].clamp(0, 1)


def to_mask(score: Tensor, label: int, threshold: float, uncertain_from: float | None = None) -> NDArray[np.uint8]:
    """``label`` where the score reaches ``threshold`` (Eq. 12's beta), else 0 (background): uint8 of the same shape.

    255 (ignored) where it is below the threshold but reaches ``uncertain_from``. Raises ``SeediffError`` for an invalid
    label, or a score that is not finite.
    """
    if not isinstance(label, Integral) or not 0 < label < IGNORE_LABEL:
        raise SeediffError(
            f"Label {label!r} is not a whole number from 1 to {IGNORE_LABEL - 1} (0 is background, 255 is ignored)."
        )
    return to_labels(score[None], [label], threshold, uncertain_from)


def to_labels(
    scores: Tensor, labels: Sequence[int], threshold: float, uncertain_from: float | None = None
) -> NDArray[np.uint8]:
    """One label map of the scores (words, H, W) of an image: (H, W) uint8.

    A pixel gets the label of its highest score, the first of equal ones, where that reaches ``threshold``; elsewhere 0,
    or 255 (ignored) where it reaches ``uncertain_from``. Raises ``SeediffError`` for a score that is not finite.
    """
    import torch

    from seediff.finite import check_finite

    check_finite(scores, "the score", "Make it from attention maps that are finite.")
    highest, winner = scores.max(0)
    table = torch.tensor(labels, dtype=torch.uint8, device=scores.device)
    found = (highest >= threshold).to(torch.uint8) * table[winner]
    if uncertain_from is not None:
        found[(highest < threshold) & (highest >= uncertain_from)] = IGNORE_LABEL
    return found.cpu().numpy()
