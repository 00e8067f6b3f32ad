"""Every figure by name: what it is called, what is to be seen, which images it shows and which tiles of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

from seediff.diffusion.synthesis import Drawn
from seediff.errors import SeediffError
from seediff.workflow.reporting.galleries.grids import Grid, Row
from seediff.workflow.reporting.galleries.subjects import Method, Subject
from seediff.workflow.reporting.galleries.tiles import (
    Tiles,
    background_refinement,
    compared_masks,
    cross_attention_scales,
    expansion_rounds,
    final_masks,
    seed_errors,
    self_attention_scales,
    soft_masks,
    unrefined_background_refinement,
)

Noted: TypeAlias = "tuple[str, Subject]"

EXAMPLES = 2
"""Images that Figure 5 shows of each error, at most."""


def everyone(subjects: Sequence[Subject]) -> list[Noted]:
    return [("", one) for one in subjects]


def worst_seeds(subjects: Sequence[Subject], number: int = EXAMPLES) -> list[Noted]:
    """Figure 5's images, with what was measured; ``number`` of each error, fewer where there are not so many.

    (a) the largest shares of seeds outside the final mask; (b) among the others, the smallest seeds for their mask.
    """
    number = min(number, -(-len(subjects) // 2))
    by_stray = sorted(subjects, key=lambda one: -one.stray_share)
    stray, others = by_stray[:number], by_stray[number:]
    sparse = sorted(others, key=lambda one: one.seed_ratio)[:number]
    return [(f"(a) {one.stray_share:.0%} of the seeds' area outside the mask", one) for one in stray] + [
        (f"(b) seeds' area {one.seed_ratio:.0%} of the mask's", one) for one in sparse
    ]


@dataclass(frozen=True)
class Gallery:
    """One figure: ``tiles`` of each image that ``choose`` keeps, with a note.

    ``caption`` says what is to be seen, ``key`` what the marks in the picture mean, ``prompts`` which it is drawn for:
    'basic' (a photo of a <class>) or 'open', any sentence that has the class word.
    """

    title: str
    caption: str
    key: str
    prompts: Literal["basic", "open"]
    tiles: Callable[[Subject], Tiles]
    choose: Callable[[Sequence[Subject]], list[Noted]] = everyone

    def grid(self, drawn: Sequence[Drawn], method: Method = Method()) -> Grid:
        """The figure of these images, one row each, under their class, or their prompt where it is an open one."""
        chosen = self.choose([Subject(one, method) for one in drawn])
        return Grid([Row(*self._titles(one, note), self.tiles(one)) for note, one in chosen], self.key)

    def _titles(self, one: Subject, note: str) -> tuple[str, str]:
        prompt = one.drawn.prompt
        if self.prompts == "open":
            return f"“{prompt.prompt}”", f"class word: {prompt.class_word}"
        return prompt.class_name, note


def at_point(x: float, y: float) -> Gallery:
    """Figure 4 for a place of one's own, (x, y) in [0, 1] from the left and the top."""
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise SeediffError(f"The point ({x:g}, {y:g}) is not in the image: both numbers have to be from 0 to 1.")
    return replace(GALLERIES["figure4"], tiles=partial(self_attention_scales, point=(x, y)))


SCORE_KEY = "Colours: score, from 0 to 1."
MASK_KEY = "Red: the mask; the rest of the image is paled."
SIDE_KEY = "In brackets: the map's side as a share of the latents' side; the paper's 16, 32 and 64 are 1/4, 1/2 and 1."
BASELINE_KEY = "CAA: the mean of all cross-attention maps."
EXPANSION_KEY = "Before and after: background expansion. IRE: the score after region expansion."

GALLERIES: dict[str, Gallery] = {
    "figure1": Gallery(
        "Soft masks of DiffuMask and SeeDiff",
        "The refined scores before they are cut into masks. DiffuMask's is made of cross-attention alone; SeeDiff "
        "takes its seeds from there and finds the object's extent by self-attention.",
        f"{SCORE_KEY} {BASELINE_KEY}",
        "basic",
        soft_masks,
    ),
    "figure3": Gallery(
        "Cross-attention at different scales",
        "The class word's map at each side that was recorded. The paper finds that coarse maps keep to the object but "
        "lack its outline, and that fine ones have detail but spread over the image.",
        f"Colours: cross-attention of the class word, each map from its minimum (0) to its maximum (1). {SIDE_KEY}",
        "basic",
        cross_attention_scales,
    ),
    "figure4": Gallery(
        "Self-attention at different scales",
        "Where one place of the object looks. The paper finds that coarse maps take in broad parts of the object and "
        "fine ones its details.",
        "Red dot: the place that looks. Colours: its self-attention, each map from its minimum (0) to its maximum "
        f"apart from the place itself (1). {SIDE_KEY}",
        "basic",
        self_attention_scales,
    ),
    "figure5": Gallery(
        "Persistent errors of the seeds",
        "(a) Seeds in the background: of the images drawn, those with the largest share of the seeds' area outside "
        "SeeDiff's final mask. (b) Seeds sparse and concentrated: of the others, those with the smallest seeds beside "
        "the final mask; near 100% or above, no image has this error.",
        f"Red: the seeds, and the mask; the rest of the image is paled. {SCORE_KEY} {EXPANSION_KEY}",
        "basic",
        seed_errors,
        worst_seeds,
    ),
    "figure6": Gallery(
        "Mask refinement with a background mask",
        "The inverse of the score has seeds too. Expanded, they are a map of the background, and the score is weighed "
        "by that map's inverse.",
        f"{SCORE_KEY} {EXPANSION_KEY} {MASK_KEY}",
        "basic",
        background_refinement,
    ),
    "figureS1": Gallery(
        "Effect of seed region expansion",
        "All cross-attention maps together, as the baseline has them, and the map of the seeds alone with each round "
        "of expanding them by self-attention.",
        f"{SCORE_KEY} {BASELINE_KEY} Expanded: by self-attention, from the map on the left. {SIDE_KEY}",
        "basic",
        expansion_rounds,
    ),
    "figureS2": Gallery(
        "Effect of refinement with background expansion",
        "As Figure 6, with the final mask before PAMR.",
        f"{SCORE_KEY} {EXPANSION_KEY} {MASK_KEY}",
        "basic",
        unrefined_background_refinement,
    ),
    "figureS3": Gallery(
        "Masks beside those of previous work, basic prompts",
        "The same refinement and threshold for all methods, as in the paper.",
        f"{MASK_KEY} {BASELINE_KEY} CA·SA: cross-attention times a power of self-attention.",
        "basic",
        compared_masks,
    ),
    "figureS4": Gallery(
        "Masks beside those of previous work, open-vocabulary prompts",
        "As Figure S3, with other words for the classes and in other sentences.",
        f"{MASK_KEY} {BASELINE_KEY} CA·SA: cross-attention times a power of self-attention.",
        "open",
        compared_masks,
    ),
    "figureS5": Gallery(
        "SeeDiff's masks for open-vocabulary prompts",
        "Other words for the classes, in other sentences.",
        MASK_KEY,
        "open",
        final_masks,
    ),
}
