"""The paper's qualitative figures (1, 3 to 6, S1 to S5), each from a run's own images and the attention behind them.

grid = GALLERIES["figure6"].grid(drawn, Method(alpha, refinement))     # drawn: what diffusion.synthesis.draw yields
write_gallery(picture(grid), Path("figures/figure6"))                  # figures/figure6.png and .pdf
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from seediff.attention.calls import ALL
from seediff.attention.maps import ClassMaps, Size, fraction_of, normalize
from seediff.datasets.palettes import overlay
from seediff.diffusion.synthesis import Drawn
from seediff.errors import SeediffError
from seediff.masks.make import make_mask
from seediff.masks.refinement import SOFT_PAMR, Refinement, refine
from seediff.masks.steps import STEPS, seed_region
from seediff.masks.variants import ALPHA, Steps, apply, named_steps, resolve, scores_by_step
from seediff.workflow.reporting.grids import SIDE, PictureGrid, PictureRow
from seediff.workflow.reporting.strips import Tile

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
        """The score after each of the variant's steps: (h, w) in [0, 1], of the step's own size."""
        return scores_by_step(self.steps(variant), self.maps)

    def soft_mask(self, variant: str) -> NDArray[np.float32]:
        """The refined score before it is cut: (H, W) in [0, 1]."""
        score = apply(self.steps(variant), self.maps)
        return refine(score, self.image, self.method.refinement).cpu().numpy()

    def mask(self, variant: str) -> NDArray[np.uint8]:
        """(H, W): 1 on the object, 0 on the background, 255 where the refinement is uncertain."""
        prompt, (alpha, refinement) = self.drawn.prompt, (self.method.alpha, self.method.refinement)
        return make_mask(
            self.drawn.recorded[ALL],
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
        """Share of the seeds' area outside the final mask, from 0 to 1: how much of them is on the background."""
        return float((self.mask("seediff")[self.seeds] != 1).mean())

    @cached_property
    def seed_ratio(self) -> float:
        """The seeds' area divided by the final mask's: how sparse they are; infinite if the mask is empty."""
        area = int((self.mask("seediff") == 1).sum())
        return float(self.seeds.sum()) / area if area else float("inf")


# --- the tiles of one image for each figure, by column title ---------------------------------------------------------

Tiles: TypeAlias = "dict[str, Tile]"

METHODS = {"caa": "DiffuMask (CAA)", "ca_sa": "Dataset Diffusion (CA·SA)", "seediff": "SeeDiff"}
RED = (214, 39, 40)
TINT = np.array([(255, 255, 255), RED], np.uint8)
"""The background's colour and the mask's, as ``overlay`` takes them."""


def soft_masks(subject: Subject) -> Tiles:
    """Figure 1: the baseline's soft mask and SeeDiff's."""
    return {"image": subject.image, **{METHODS[name]: subject.soft_mask(name) for name in ("caa", "seediff")}}


def cross_attention_scales(subject: Subject) -> Tiles:
    """Figure 3: the class map at every recorded size, coarse to fine."""
    sizes = sorted(subject.maps.cross_attention)
    return {
        "image": subject.image,
        **{f"cross-attention {_size(subject, size)}": _score(subject.maps.class_map(size)) for size in sizes},
    }


def self_attention_scales(subject: Subject, point: tuple[float, float] | None = None) -> Tiles:
    """Figure 4: where one place of the image looks, at every recorded size, coarse to fine; a red dot marks the place.

    ``point`` is the place, (x, y) in [0, 1]; by default it is where the class map at 1/4, from which seeds are taken,
    is largest.
    """
    x, y = peak(subject.maps) if point is None else point
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise SeediffError(f"The point ({x}, {y}) is outside the image. Give x and y from 0 (left, top) to 1.")
    looks = {
        f"self-attention {_size(subject, size)}": _score(looking_from(self_attention, size, x, y))
        for size, self_attention in sorted(subject.maps.self_attention.items())
    }
    return {"image": dotted(subject.image, x, y), **looks}


def seed_errors(subject: Subject) -> Tiles:
    """Figure 5: the seeds, and the score made from them before and after background expansion."""
    *_, ire, seediff = subject.scores("seediff")
    seeds = overlay(subject.image, subject.seeds.astype(np.uint8), TINT)
    scores = {"score before (IRE)": _score(ire), "score after (SeeDiff)": _score(seediff)}
    return {"image with seeds": seeds, **scores, "final mask": _overlay(subject, "seediff")}


def background_refinement(subject: Subject, last: str = "final mask") -> Tiles:
    """Figure 6: the score before and after background expansion (Eq. 10-11), and the background it finds."""
    *_, before, after = subject.scores("seediff")
    _, params = subject.steps("seediff")[-1]
    behind = STEPS["expand"](1 - before, subject.maps, **params)
    scores = {"score before (IRE)": before, "background map": behind, "score after (SeeDiff)": after}
    tiles = {title: _score(score) for title, score in scores.items()}
    return {"image": subject.image, **tiles, last: _overlay(subject, "seediff")}


def unrefined_background_refinement(subject: Subject) -> Tiles:
    """Figure S2: as Figure 6, but the final mask before PAMR."""
    without = replace(subject.method, refinement=replace(subject.method.refinement, pamr=None))
    return background_refinement(replace(subject, method=without), "final mask before PAMR")


def expansion_rounds(subject: Subject) -> Tiles:
    """Figure S1: the mean of all cross-attention maps; the seeds' map, and each round of its expansion (Eq. 6-9)."""
    start, *rounds = subject.scores("ire")
    expanded = {f"expanded {_size(subject, score.shape)}": _score(score) for score in rounds}
    baseline = {METHODS["caa"]: _score(subject.scores("caa")[-1])}
    return {"image": subject.image, **baseline, f"seeds from {_size(subject, start.shape)}": _score(start), **expanded}


def compared_masks(subject: Subject) -> Tiles:
    """Figures S3 and S4: the refined masks of both baselines and of SeeDiff."""
    return {"image": subject.image, **{title: _overlay(subject, variant) for variant, title in METHODS.items()}}


def final_masks(subject: Subject) -> Tiles:
    """Figure S5: SeeDiff's mask, white on black and on the image."""
    white = np.where(subject.mask("seediff")[..., None] == 1, 255, np.zeros(3)).astype(np.uint8)
    return {"image": subject.image, "mask": white, "mask on the image": _overlay(subject, "seediff")}


def peak(maps: ClassMaps) -> tuple[float, float]:
    """Where the class map at 1/4 is largest: the middle of that position, (x, y) in [0, 1]."""
    height, width = size = maps.size("1/4")
    row, column = divmod(int(maps.class_map(size).argmax()), width)
    return (column + 0.5) / width, (row + 0.5) / height


def looking_from(self_attention: Tensor, size: Size, x: float, y: float) -> Tensor:
    """The row of (h*w, h*w) self-attention that belongs to the place (x, y) in [0, 1]: (h, w), min-max.

    A place looks at itself far more than at others, so its own value is set to the maximum of the others.
    """
    row, column = (min(int(share * side), side - 1) for share, side in zip((y, x), size, strict=True))
    looks = self_attention[row * size[1] + column].view(size).clone()
    looks[row, column] = 0
    looks[row, column] = looks.amax()
    return normalize(looks)


def dotted(image: NDArray[np.uint8], x: float, y: float) -> Image.Image:
    """The image (H, W, 3), enlarged to a tile's side at least, with a red dot at (x, y) in [0, 1]."""
    factor = -(-SIDE // min(image.shape[:2]))
    picture = Image.fromarray(image.repeat(factor, 0).repeat(factor, 1))
    middle = (x * picture.width, y * picture.height)
    radius = picture.width / 26
    ImageDraw.Draw(picture).circle(middle, radius, fill=RED, outline="white", width=round(radius / 3))
    return picture


def _size(subject: Subject, size: Sequence[int]) -> str:
    """'16 × 16 (1/4)', with non-breaking spaces; height before width."""
    share = fraction_of((size[0], size[1]), subject.maps.latent_size)
    return f"{size[0]} × {size[1]} ({share})".replace(" ", "\N{NO-BREAK SPACE}")


def _score(score: Tensor) -> NDArray[np.float32]:
    return score.cpu().numpy()


def _overlay(subject: Subject, variant: str) -> Image.Image:
    return overlay(subject.image, subject.mask(variant), TINT)


# --- the figures by name ---------------------------------------------------------------------------------------------

Noted: TypeAlias = "tuple[str, Subject]"

EXAMPLES = 2
"""Images that Figure 5 shows of each error, at most."""


def everyone(subjects: Sequence[Subject]) -> list[Noted]:
    return [("", subject) for subject in subjects]


def worst_seeds(subjects: Sequence[Subject], number: int = EXAMPLES) -> list[Noted]:
    """Figure 5's images, with what was measured; ``number`` of each error, or fewer if there are not enough.

    (a) the largest shares of seeds outside the final mask; (b) of the others, the smallest seeds relative to the mask.
    """
    number = min(number, -(-len(subjects) // 2))
    by_stray = sorted(subjects, key=lambda subject: -subject.stray_share)
    stray, others = by_stray[:number], by_stray[number:]
    sparse = sorted(others, key=lambda subject: subject.seed_ratio)[:number]
    return [(f"(a) {subject.stray_share:.0%} of the seeds' area outside the mask", subject) for subject in stray] + [
        (f"(b) seeds' area {subject.seed_ratio:.0%} of the mask's", subject) for subject in sparse
    ]


@dataclass(frozen=True)
class Gallery:
    """One figure: ``tiles`` of each image that ``choose`` keeps, with a note.

    ``caption`` says what the figure shows, ``key`` what the marks in it mean, ``prompts`` which prompts are drawn:
    'basic' (a photo of a <class>) or 'open', any sentence with the class word.
    """

    title: str
    caption: str
    key: str
    prompts: Literal["basic", "open"]
    tiles: Callable[[Subject], Tiles]
    choose: Callable[[Sequence[Subject]], list[Noted]] = everyone

    def grid(self, drawn: Sequence[Drawn], method: Method = Method()) -> PictureGrid:
        """The figure of these images, one row each, titled by their class, or by their prompt if it is open."""
        chosen = self.choose([Subject(image, method) for image in drawn])
        return PictureGrid(
            [PictureRow(*self._titles(subject, note), self.tiles(subject)) for note, subject in chosen], self.key
        )

    def _titles(self, subject: Subject, note: str) -> tuple[str, str]:
        prompt = subject.drawn.prompt
        if self.prompts == "open":
            return f"“{prompt.prompt}”", f"class word: {prompt.class_word}"
        return prompt.class_name, note


def at_point(x: float, y: float) -> Gallery:
    """Figure 4 for the place (x, y), in [0, 1] from the left and the top."""
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise SeediffError(f"The point ({x:g}, {y:g}) is not in the image: both numbers must be from 0 to 1.")
    return replace(GALLERIES["figure4"], tiles=partial(self_attention_scales, point=(x, y)))


SCORE_KEY = "Colours: score, from 0 to 1."
MASK_KEY = "Red: the mask; the rest of the image is faded."
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
        "SeeDiff's final mask. (b) Sparse, concentrated seeds: of the others, those with the smallest seeds relative "
        "to the final mask; near 100% or above, no image has this error.",
        f"Red: the seeds, and the mask; the rest of the image is faded. {SCORE_KEY} {EXPANSION_KEY}",
        "basic",
        seed_errors,
        worst_seeds,
    ),
    "figure6": Gallery(
        "Mask refinement with a background mask",
        "The inverse of the score has seeds too. Expanding them gives a map of the background, and the score is "
        "weighted by that map's inverse.",
        f"{SCORE_KEY} {EXPANSION_KEY} {MASK_KEY}",
        "basic",
        background_refinement,
    ),
    "figureS1": Gallery(
        "Effect of seed region expansion",
        "The mean of all cross-attention maps, as in the baseline, and the map of the seeds with each round of their "
        "expansion by self-attention.",
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
        "As Figure S3, with other words for the classes, in other sentences.",
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
