"""Scenes: pictograms placed on a textured background, with an exact label map and a caption.

A background is a field (64, 64, 3) float32 in [0, 255]. ``render`` is the only place where an image and its labels are
drawn, from the same polygons, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from seediff.embedded.shapes import SHAPES, colour
from seediff.embedded.vocabulary import CLASSES, training_prompt

SIDE = 64
Field = NDArray[np.float32]

_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE


def _noise_bank(cells: int, count: int = 64) -> Field:
    """``count`` smooth noise fields of unit variance at the given number of cells a side."""
    rng = np.random.default_rng(cells)
    coarse = rng.normal(size=(count, cells, cells)).astype(np.float32)
    fields = [np.asarray(Image.fromarray(field).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for field in coarse]
    return np.stack(fields)


_COARSE, _MEDIUM, _FINE = _noise_bank(5), _noise_bank(9), _noise_bank(22)


def _pick(rng: Generator, bank: Field) -> Field:
    field = bank[rng.integers(len(bank))]
    return field[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]


def _slope(rng: Generator) -> Field:
    angle = rng.uniform(-0.5, 0.5)
    return _Y * np.cos(angle) + _X * np.sin(angle) - 0.5


def _tinted(base: tuple[int, int, int], brightness: Field) -> Field:
    return np.clip(np.asarray(base, np.float32) + brightness[..., None], 0, 255)


def grass(rng: Generator) -> Field:
    return _tinted(colour(rng, 0.27, 0.55, 0.6), _slope(rng) * 50 + _pick(rng, _FINE) * 14)


def sand(rng: Generator) -> Field:
    return _tinted(colour(rng, 0.11, 0.38, 0.82), _slope(rng) * 35 + _pick(rng, _MEDIUM) * 10)


def sky(rng: Generator) -> Field:
    clouds = np.clip(_pick(rng, _COARSE) - 0.4, 0, 1) * 70
    return _tinted(colour(rng, 0.57, 0.4, 0.85), _slope(rng) * 50 + clouds)


def snow(rng: Generator) -> Field:
    return _tinted(colour(rng, 0.6, 0.05, 0.88, spread=0.05), _slope(rng) * 20 + _pick(rng, _COARSE) * 10)


def night(rng: Generator) -> Field:
    stars = np.clip(_pick(rng, _FINE) - 1.6, 0, 1) * 140
    return _tinted(colour(rng, 0.66, 0.5, 0.2, spread=0.05), _slope(rng) * 30 + stars)


def wood(rng: Generator) -> Field:
    planks = np.sign(np.sin(_X * rng.uniform(25, 40) + _pick(rng, _COARSE) * 0.5 + rng.uniform(0, 6)))
    return _tinted(colour(rng, 0.07, 0.45, 0.5), _slope(rng) * 20 + 16 * planks + _pick(rng, _MEDIUM) * 5)


def city(rng: Generator) -> Field:
    """A flat street front: sky, a row of grey houses, a road."""
    skyline = rng.uniform(0.12, 0.3, size=8)[(np.arange(SIDE) * 8 // SIDE)]
    road = rng.uniform(0.62, 0.75)
    field = _tinted(colour(rng, 0.58, 0.2, 0.8), _slope(rng) * 30)
    houses = _tinted(colour(rng, 0.06, 0.15, 0.55), 10 * np.sign(np.sin(_X * 50) * np.sin(_Y * 50)))
    asphalt = _tinted(colour(rng, 0.6, 0.06, 0.38), _pick(rng, _FINE) * 5)
    field = np.where((skyline < _Y)[..., None], houses, field)
    return np.where((road < _Y)[..., None], asphalt, field)


def road(rng: Generator) -> Field:
    """The street domain: a road in perspective between dark house walls under a hazy sky."""
    horizon, vanishing = rng.uniform(0.25, 0.4), rng.uniform(0.35, 0.65)
    depth = np.clip((_Y - horizon) / (1 - horizon), 0, 1)
    haze = _tinted(colour(rng, 0.1, 0.08, 0.72), _slope(rng) * 25 + _pick(rng, _COARSE) * 6)
    walls = _tinted(colour(rng, 0.03, 0.25, 0.36), 12 * np.sign(np.sin(_Y * 70)) + _pick(rng, _MEDIUM) * 6)
    asphalt = _tinted(colour(rng, 0.7, 0.08, 0.3), _pick(rng, _FINE) * 6)
    stripe = (np.abs(_X - vanishing) < 0.02 * depth) & (np.sin(18 / (depth + 0.2)) > 0)
    asphalt = np.where(stripe[..., None], np.float32(210), asphalt)
    beside = np.abs(_X - vanishing) > 0.12 + 0.2 * np.abs(_Y - horizon)
    field = np.where((beside & (_Y > 0.08))[..., None], walls, haze)
    on_road = (horizon < _Y) & (np.abs(_X - vanishing) < 0.06 + 0.75 * depth)
    return np.where(
        on_road[..., None], asphalt, np.where((horizon < _Y)[..., None], np.clip(walls + 40, 0, 255), field)
    )


def room(rng: Generator) -> Field:
    """The indoor domain: a papered wall, a skirting board, a floor."""
    floor = rng.uniform(0.62, 0.8)
    paper = 8 * np.sign(np.sin(_X * rng.uniform(20, 60)))
    wall = _tinted(colour(rng, rng.choice([0.12, 0.45, 0.9]), 0.22, 0.78), paper + _slope(rng) * 20)
    boards = _tinted(colour(rng, 0.06, 0.4, 0.42), 8 * np.sign(np.sin(_Y * 60)) + _pick(rng, _MEDIUM) * 5)
    field = np.where((floor < _Y)[..., None], boards, wall)
    skirting = np.abs(_Y - floor) < 0.02
    return np.where(skirting[..., None], np.float32(235), field)


NATURAL: dict[str, Callable[[Generator], Field]] = {
    "grass": grass,
    "sand": sand,
    "sky": sky,
    "snow": snow,
    "night": night,
    "wood": wood,
    "city": city,
}


Pixels = NDArray[np.uint8]

OVERSAMPLING = 2


@dataclass(frozen=True)
class Placement:
    """One pictogram: class name, centre (x, y) and half-extent in pixels."""

    name: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """``image``: (64, 64, 3) uint8; ``labels``: (64, 64) uint8, 0 background, k + 1 for ``CLASSES[k]``."""

    image: Pixels
    labels: Pixels
    classes: tuple[str, ...]
    prompt: str


def render(rng: Generator, background: Field, placements: Sequence[Placement]) -> tuple[Pixels, Pixels]:
    """Draw the placements over the background, later ones in front; returns image and labels."""
    side = OVERSAMPLING * SIDE
    canvas = Image.fromarray(background.astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    labels = Image.new("L", (side, side), 0)
    draw_image, draw_labels = ImageDraw.Draw(canvas), ImageDraw.Draw(labels)
    for placement in placements:
        to_canvas = _pose(rng, placement)
        label = CLASSES.index(placement.name) + 1
        for points, fill in SHAPES[placement.name](rng):
            corners = (to_canvas(points)).ravel().tolist()
            draw_image.polygon(corners, fill=fill)
            draw_labels.polygon(corners, fill=label)
    image = np.asarray(canvas.reduce(OVERSAMPLING))
    return image, np.asarray(labels)[1::OVERSAMPLING, 1::OVERSAMPLING].copy()


def _pose(rng: Generator, placement: Placement) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A random mirror, aspect and rotation, then the placement's scale and shift."""
    angle, aspect, mirror = rng.uniform(-0.25, 0.25), rng.uniform(0.88, 1.12), rng.choice([-1, 1])
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.diag([mirror * aspect, 1 / aspect]) @ np.array([[cos, sin], [-sin, cos]]) * placement.radius
    offset = np.array([placement.x, placement.y])
    return lambda points: (points @ matrix + offset) * OVERSAMPLING


def scatter(rng: Generator, classes: Sequence[str], radius: tuple[float, float]) -> list[Placement]:
    """Place one pictogram a class inside the frame, as far apart as twenty tries find."""
    placements: list[Placement] = []
    for name in classes:
        size = rng.uniform(*radius)
        margin = 0.9 * size
        tries = rng.uniform(margin, SIDE - margin, size=(20, 2))
        x, y = tries[np.argmax([_clearance(point, placements) for point in tries])] if placements else tries[0]
        placements.append(Placement(name, float(x), float(y), float(size)))
    return placements


def _clearance(point: NDArray[np.float64], placements: Sequence[Placement]) -> float:
    """Distance to the nearest placed pictogram, capped where nothing can overlap any more."""
    distances = [np.hypot(point[0] - other.x, point[1] - other.y) - other.radius for other in placements]
    return float(min(min(distances), 16.0))


RADII = {1: (14.0, 25.0), 2: (11.0, 15.5), 3: (9.5, 12.5)}
"""Half-extent range in pixels by number of objects in the scene."""


def natural_scene(rng: Generator, classes: Sequence[str]) -> Scene:
    """A captioned scene of the natural domain with the given classes (none to three)."""
    family = str(rng.choice(list(NATURAL)))
    placements = scatter(rng, classes, RADII[len(classes)]) if classes else []
    image, labels = render(rng, NATURAL[family](rng), placements)
    return Scene(image, labels, tuple(classes), training_prompt(rng, classes, family))


def training_scene(rng: Generator) -> Scene:
    """A scene of the diffusion model's training distribution: one to three objects, rarely none."""
    count = rng.choice(4, p=[0.03, 0.27, 0.35, 0.35])
    classes = [CLASSES[index] for index in rng.permutation(len(CLASSES))[:count]]
    return natural_scene(rng, classes)
