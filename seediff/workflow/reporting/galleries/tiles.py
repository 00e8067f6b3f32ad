"""The tiles of one image for each figure, by column title; nothing of the mask algorithm is said here again."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from seediff.attention.maps import ClassMaps, normalize
from seediff.datasets.palettes import overlay
from seediff.errors import SeediffError
from seediff.masks.steps import STEPS
from seediff.workflow.reporting.figures import Tile
from seediff.workflow.reporting.galleries.grids import SIDE
from seediff.workflow.reporting.galleries.subjects import Subject

Tiles: TypeAlias = "dict[str, Tile]"

METHODS = {"caa": "DiffuMask (CAA)", "ca_sa": "Dataset Diffusion (CA·SA)", "seediff": "SeeDiff"}
RED = (214, 39, 40)
TINT = np.array([(255, 255, 255), RED], np.uint8)
"""The background's colour and the mask's, as ``overlay`` takes them."""


def soft_masks(one: Subject) -> Tiles:
    """Figure 1: the baseline's soft mask and SeeDiff's."""
    return {"image": one.image, **{METHODS[name]: one.soft_mask(name) for name in ("caa", "seediff")}}


def cross_attention_scales(one: Subject) -> Tiles:
    """Figure 3: the class map at every recorded side, coarse to fine."""
    sides = sorted(one.maps.cross_attention)
    return {"image": one.image, **{f"cross-attention {_side(one, r)}": _score(one.maps.class_map(r)) for r in sides}}


def self_attention_scales(one: Subject, point: tuple[float, float] | None = None) -> Tiles:
    """Figure 4: where one place of the image looks, at every recorded side, coarse to fine; the place a red dot.

    ``point`` is the place, (x, y) in [0, 1]; by default it is where the class map at 1/4, the seeds', is largest.
    """
    x, y = peak(one.maps) if point is None else point
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise SeediffError(f"The point ({x}, {y}) is outside the image. Give x and y from 0 (left, top) to 1.")
    looks = {
        f"self-attention {_side(one, r)}": _score(looking_from(self_attention, x, y))
        for r, self_attention in sorted(one.maps.self_attention.items())
    }
    return {"image": dotted(one.image, x, y), **looks}


def seed_errors(one: Subject) -> Tiles:
    """Figure 5: the seeds, and what becomes of them before and after background expansion."""
    *_, ire, seediff = one.scores("seediff")
    seeds = overlay(one.image, one.seeds.astype(np.uint8), TINT)
    scores = {"score before (IRE)": _score(ire), "score after (SeeDiff)": _score(seediff)}
    return {"image with seeds": seeds, **scores, "final mask": _overlay(one, "seediff")}


def background_refinement(one: Subject, last: str = "final mask") -> Tiles:
    """Figure 6: the score before and after background expansion (Eq. 10-11), and the background it finds."""
    *_, before, after = one.scores("seediff")
    _, params = one.steps("seediff")[-1]
    behind = STEPS["expand"](1 - before, one.maps, **params)
    scores = {"score before (IRE)": before, "background map": behind, "score after (SeeDiff)": after}
    tiles = {title: _score(score) for title, score in scores.items()}
    return {"image": one.image, **tiles, last: _overlay(one, "seediff")}


def unrefined_background_refinement(one: Subject) -> Tiles:
    """Figure S2: as Figure 6, but the final mask before PAMR."""
    without = replace(one.method, refinement=replace(one.method.refinement, pamr=None))
    return background_refinement(replace(one, method=without), "final mask before PAMR")


def expansion_rounds(one: Subject) -> Tiles:
    """Figure S1: all cross-attention together; the seeds' map alone, and each round of its expansion (Eq. 6-9)."""
    start, *rounds = one.scores("ire")
    expanded = {f"expanded {_side(one, len(score))}": _score(score) for score in rounds}
    baseline = {METHODS["caa"]: _score(one.scores("caa")[-1])}
    return {"image": one.image, **baseline, f"seeds from {_side(one, len(start))}": _score(start), **expanded}


def compared_masks(one: Subject) -> Tiles:
    """Figures S3 and S4: the refined masks of both baselines and of SeeDiff."""
    return {"image": one.image, **{title: _overlay(one, variant) for variant, title in METHODS.items()}}


def final_masks(one: Subject) -> Tiles:
    """Figure S5: SeeDiff's mask, white on black and on the image."""
    white = np.where(one.mask("seediff")[..., None] == 1, 255, np.zeros(3)).astype(np.uint8)
    return {"image": one.image, "mask": white, "mask on the image": _overlay(one, "seediff")}


def peak(maps: ClassMaps) -> tuple[float, float]:
    """Where the class map at 1/4 is largest: the middle of that position, (x, y) in [0, 1]."""
    class_map = maps.class_map(maps.side("1/4"))
    row, column = divmod(int(class_map.argmax()), len(class_map))
    return (column + 0.5) / len(class_map), (row + 0.5) / len(class_map)


def looking_from(self_attention: Tensor, x: float, y: float) -> Tensor:
    """The row of (r*r, r*r) self-attention that belongs to the place (x, y) in [0, 1]: (r, r), min-max.

    A place looks at itself so much more than elsewhere that it is set to the maximum elsewhere.
    """
    side = round(len(self_attention) ** 0.5)
    row, column = (min(int(share * side), side - 1) for share in (y, x))
    looks = self_attention[row * side + column].view(side, side).clone()
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


def _side(one: Subject, side: int) -> str:
    """'16 × 16 (1/4)', with spaces at which no line is broken."""
    return f"{side} × {side} ({Fraction(side, one.maps.latent_side)})".replace(" ", "\N{NO-BREAK SPACE}")


def _score(score: Tensor) -> NDArray[np.float32]:
    return score.cpu().numpy()


def _overlay(one: Subject, variant: str) -> Image.Image:
    return overlay(one.image, one.mask(variant), TINT)
