"""A drawn image as the subject of a figure: its maps, scores, seeds and masks, each made when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from seediff.attention.maps import ClassMaps
from seediff.diffusion.synthesis import Drawn
from seediff.masks.make import make_mask
from seediff.masks.refinement import SOFT_PAMR, Refinement, refine
from seediff.masks.steps import seed_region
from seediff.masks.variants import ALPHA, Steps, apply, named_steps, resolve, scores_by_step

AS_PUBLISHED = SOFT_PAMR.with_default_threshold(0.3)


@dataclass(frozen=True)
class Method:
    """How scores and masks are made: ``alpha`` for seeds (Eq. 6, 9), ``refinement`` with its threshold (Eq. 12)."""

    alpha: float = ALPHA
    refinement: Refinement = AS_PUBLISHED


@dataclass(frozen=True)
class Subject:
    """A drawn image and what the method makes of it; (H, W) is the image's size, r a side of its attention maps."""

    drawn: Drawn
    method: Method

    @property
    def image(self) -> NDArray[np.uint8]:
        return self.drawn.image

    @cached_property
    def maps(self) -> ClassMaps:
        return self.drawn.class_maps()

    def steps(self, variant: str) -> Steps:
        return resolve(named_steps(variant), alpha=self.method.alpha)

    def scores(self, variant: str) -> list[Tensor]:
        """The score after each of the variant's steps: (r, r) in [0, 1], r the step's own side."""
        return scores_by_step(self.steps(variant), self.maps)

    def soft_mask(self, variant: str) -> NDArray[np.float32]:
        """The refined score before it is cut: (H, W) in [0, 1]."""
        score = apply(self.steps(variant), self.maps)
        return refine(score, self.image, self.method.refinement).cpu().numpy()

    def mask(self, variant: str) -> NDArray[np.uint8]:
        """(H, W): 1 on the object, 0 on the background, 255 where the refinement leaves it open."""
        prompt, (alpha, refinement) = self.drawn.prompt, (self.method.alpha, self.method.refinement)
        return make_mask(
            self.drawn.maps,
            prompt.class_word,
            self.image,
            variant,
            alpha,
            refinement=refinement,
            starts=prompt.word_starts,
        )

    @cached_property
    def seeds(self) -> NDArray[np.bool_]:
        """The seeds SeeDiff starts from (Eq. 6), as squares in the image: (H, W)."""
        region = seed_region(self.scores("seediff")[0], self.method.alpha).cpu().numpy()
        height, width = self.image.shape[:2]
        return np.asarray(Image.fromarray(region).resize((width, height), Image.Resampling.NEAREST))

    @cached_property
    def stray_share(self) -> float:
        """Share of the seeds' area outside the final mask, from 0 to 1: how much they point at the background."""
        return float((self.mask("seediff")[self.seeds] != 1).mean())

    @cached_property
    def seed_ratio(self) -> float:
        """The seeds' area over the final mask's: how sparse they are; infinite where the mask is empty."""
        area = int((self.mask("seediff") == 1).sum())
        return float(self.seeds.sum()) / area if area else float("inf")
