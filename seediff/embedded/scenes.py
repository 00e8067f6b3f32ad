"""Scenes: pictograms placed on a background, with an exact label map and a caption.

``render`` is the one place where an image and its labels are drawn, from the same polygons, so that they
cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from seediff.embedded.backgrounds import NATURAL, SIDE, Field
from seediff.embedded.shapes import SHAPES
from seediff.embedded.vocabulary import CLASSES, training_prompt

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
