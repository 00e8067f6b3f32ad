"""The ten pictograms, each a list of coloured polygons in the unit square [-1, 1]^2 with y down.

A shape function draws its colours from the random generator it is given, so that one class comes in
many colours while its parts (wheels, ears, a chimney) stay where they belong.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Polygon = NDArray[np.float64]
Colour = tuple[int, int, int]
Part = tuple[Polygon, Colour]

BLACK: Colour = (22, 22, 26)
GLASS: Colour = (188, 224, 240)
LAMP: Colour = (255, 236, 130)

_ANGLES = np.linspace(0, 2 * np.pi, 18, endpoint=False)
_UNIT_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def colour(rng: Generator, hue: float, saturation: float, value: float, spread: float = 0.08) -> Colour:
    """One sRGB colour near the given HSV point; ``spread`` is the half-width in saturation and value."""
    hue = (hue + rng.uniform(-0.03, 0.03)) % 1
    saturation = float(np.clip(saturation + rng.uniform(-spread, spread), 0, 1))
    value = float(np.clip(value + rng.uniform(-spread, spread), 0, 1))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return int(255 * red), int(255 * green), int(255 * blue)


def ellipse(x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0) -> Polygon:
    points = _UNIT_CIRCLE * [rx, rx if ry is None else ry]
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]]) + [x, y]


def box(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=float)


def polygon(*coordinates: float) -> Polygon:
    return np.array(coordinates, dtype=float).reshape(-1, 2)


def wheel(x: float, y: float, radius: float, hub: Colour = (200, 200, 205)) -> list[Part]:
    return [(ellipse(x, y, radius), BLACK), (ellipse(x, y, 0.45 * radius), hub)]


def bus(rng: Generator) -> list[Part]:
    body = colour(rng, rng.choice([0.0, 0.13]), 0.88, 0.88)
    stripe = (245, 242, 235)
    windows = [(box(x, -0.48, x + 0.3, -0.08), GLASS) for x in (-0.86, -0.48, -0.1)]
    return [
        (box(-0.98, -0.66, 0.98, 0.52), body),
        *windows,
        (box(0.34, -0.5, 0.6, 0.44), (90, 110, 130)),
        (box(0.68, -0.48, 0.98, 0.0), GLASS),
        (box(-0.98, 0.08, 0.34, 0.2), stripe),
        (box(0.86, 0.24, 0.98, 0.38), LAMP),
        *wheel(-0.55, 0.52, 0.24),
        *wheel(0.58, 0.52, 0.24),
    ]


def car(rng: Generator) -> list[Part]:
    body = colour(rng, rng.choice([0.36, 0.6, 0.82]), 0.75, 0.78)
    return [
        (polygon(-0.64, 0.06, -0.4, -0.42, 0.36, -0.42, 0.68, 0.06), body),
        (polygon(-0.5, 0.02, -0.32, -0.33, -0.04, -0.33, -0.04, 0.02), GLASS),
        (polygon(0.04, 0.02, 0.04, -0.33, 0.31, -0.33, 0.54, 0.02), GLASS),
        (polygon(-0.98, 0.06, 0.8, 0.0, 0.98, 0.16, 0.98, 0.46, -0.98, 0.46), body),
        (box(0.84, 0.16, 0.98, 0.28), LAMP),
        (box(-0.98, 0.14, -0.88, 0.28), (220, 50, 40)),
        *wheel(-0.54, 0.46, 0.27),
        *wheel(0.54, 0.46, 0.27),
    ]


def cat(rng: Generator) -> list[Part]:
    fur = colour(rng, 0.08, rng.choice([0.8, 0.12]), rng.choice([0.92, 0.55]))
    inner_ear, muzzle, eye = (240, 150, 160), (250, 245, 235), (120, 220, 80)
    return [
        (polygon(-0.76, -0.95, -0.1, -0.5, -0.72, 0.0), fur),
        (polygon(0.76, -0.95, 0.1, -0.5, 0.72, 0.0), fur),
        (polygon(-0.64, -0.74, -0.3, -0.5, -0.62, -0.28), inner_ear),
        (polygon(0.64, -0.74, 0.3, -0.5, 0.62, -0.28), inner_ear),
        (ellipse(0, 0.12, 0.86, 0.74), fur),
        (ellipse(0, 0.46, 0.44, 0.34), muzzle),
        (ellipse(-0.36, -0.05, 0.2), eye),
        (ellipse(0.36, -0.05, 0.2), eye),
        (ellipse(-0.36, -0.05, 0.07, 0.17), BLACK),
        (ellipse(0.36, -0.05, 0.07, 0.17), BLACK),
        (polygon(-0.15, 0.24, 0.15, 0.24, 0, 0.43), (230, 90, 110)),
    ]


def chair(rng: Generator) -> list[Part]:
    wood = colour(rng, 0.07, 0.72, 0.5)
    cushion = colour(rng, rng.choice([0.97, 0.5]), 0.7, 0.85)
    return [
        (box(-0.62, 0.2, -0.44, 0.98), wood),
        (box(0.48, 0.2, 0.66, 0.98), wood),
        (box(-0.3, 0.2, -0.16, 0.8), wood),
        (box(0.2, 0.2, 0.34, 0.8), wood),
        (polygon(-0.66, -0.98, -0.46, -0.98, -0.4, 0.24, -0.62, 0.24), wood),
        (polygon(0.24, -0.98, 0.44, -0.98, 0.5, 0.1, 0.3, 0.1), wood),
        (polygon(-0.56, -0.9, 0.34, -0.9, 0.38, -0.3, -0.52, -0.3), cushion),
        (polygon(-0.66, 0.16, -0.36, -0.06, 0.62, -0.06, 0.72, 0.16), cushion),
        (box(-0.68, 0.14, 0.74, 0.32), wood),
    ]


def motorbike(rng: Generator) -> list[Part]:
    body = colour(rng, rng.choice([0.04, 0.78]), 0.9, 0.9)
    steel = (170, 175, 185)
    return [
        (ellipse(-0.6, 0.4, 0.39), BLACK),
        (ellipse(0.6, 0.4, 0.39), BLACK),
        (ellipse(-0.6, 0.4, 0.22), steel),
        (ellipse(0.6, 0.4, 0.22), steel),
        (polygon(0.3, -0.62, 0.44, -0.66, 0.68, 0.4, 0.54, 0.42), steel),
        (polygon(-0.66, 0.44, -0.2, 0.02, 0.34, 0.1, 0.2, 0.52, -0.3, 0.56), (95, 98, 106)),
        (polygon(-0.92, -0.16, -0.3, -0.02, -0.1, 0.16, -0.7, 0.06), body),
        (ellipse(0.1, -0.12, 0.36, 0.22, 0.15), body),
        (polygon(-0.72, -0.24, -0.14, -0.2, -0.12, -0.02, -0.6, -0.06), BLACK),
        (polygon(0.14, -0.82, 0.5, -0.7, 0.48, -0.58, 0.12, -0.7), BLACK),
        (ellipse(0.56, -0.46, 0.15), LAMP),
    ]


def person(rng: Generator) -> list[Part]:
    skin = colour(rng, 0.07, 0.45, rng.choice([0.92, 0.58]))
    shirt = colour(rng, rng.choice([0.0, 0.33, 0.15, 0.8]), 0.8, 0.85)
    trousers, hair, shoe = colour(rng, 0.62, 0.65, 0.42), (60, 35, 20), (30, 22, 22)
    return [
        (polygon(-0.3, -0.44, -0.42, -0.3, -0.74, 0.22, -0.56, 0.32, -0.25, -0.1), skin),
        (polygon(0.3, -0.44, 0.42, -0.3, 0.74, 0.22, 0.56, 0.32, 0.25, -0.1), skin),
        (box(-0.32, 0.2, -0.02, 0.92), trousers),
        (box(0.02, 0.2, 0.32, 0.92), trousers),
        (box(-0.4, 0.86, -0.02, 1.0), shoe),
        (box(0.02, 0.86, 0.4, 1.0), shoe),
        (polygon(-0.44, -0.44, 0.44, -0.44, 0.34, 0.28, -0.34, 0.28), shirt),
        (ellipse(0, -0.7, 0.28, 0.3), skin),
        (polygon(-0.3, -0.66, -0.26, -0.98, 0.26, -0.98, 0.3, -0.66, 0.12, -0.84, -0.12, -0.84), hair),
    ]


def pottedplant(rng: Generator) -> list[Part]:
    pot, leaf = colour(rng, 0.04, 0.72, 0.75), colour(rng, 0.33, 0.85, 0.5)
    petal = colour(rng, rng.choice([0.93, 0.14, 0.78]), 0.75, 0.95)
    petals = [(ellipse(0.27 * np.cos(a), -0.64 + 0.27 * np.sin(a), 0.2), petal) for a in np.arange(5) * 2 * np.pi / 5]
    return [
        (box(-0.06, -0.5, 0.06, 0.35), colour(rng, 0.33, 0.7, 0.35)),
        (ellipse(-0.42, -0.02, 0.44, 0.2, 0.6), leaf),
        (ellipse(0.42, -0.02, 0.44, 0.2, -0.6), leaf),
        *petals,
        (ellipse(0, -0.64, 0.16), (255, 225, 70)),
        (polygon(-0.52, 0.3, 0.52, 0.3, 0.36, 0.98, -0.36, 0.98), pot),
        (box(-0.6, 0.24, 0.6, 0.46), colour(rng, 0.04, 0.75, 0.58)),
    ]


def sheep(rng: Generator) -> list[Part]:
    wool = colour(rng, 0.12, 0.08, 0.93, spread=0.05)
    shade = colour(rng, 0.6, 0.1, 0.78, spread=0.05)
    face = colour(rng, 0.07, 0.3, 0.2)
    legs = [(box(x, 0.3, x + 0.13, 0.92), face) for x in (-0.58, -0.28, 0.06, 0.34)]
    fleece = [(ellipse(x, y, 0.34), wool) for x, y in ((-0.62, 0.0), (-0.3, -0.26), (0.1, -0.26), (0.36, 0.0))]
    return [
        *legs,
        (ellipse(-0.12, 0.12, 0.72, 0.42), shade),
        *fleece,
        (ellipse(-0.14, 0.02, 0.6, 0.34), wool),
        (ellipse(0.68, -0.2, 0.28, 0.34, 0.3), face),
        (ellipse(0.5, -0.44, 0.2, 0.09, 0.5), face),
        (ellipse(0.6, -0.46, 0.2, 0.14), wool),
        (ellipse(0.74, -0.24, 0.07), (250, 250, 250)),
    ]


def train(rng: Generator) -> list[Part]:
    boiler = colour(rng, rng.choice([0.4, 0.62]), 0.7, 0.4)
    cab, brass, red = colour(rng, 0.0, 0.75, 0.62), (225, 185, 70), (205, 45, 40)
    return [
        (polygon(0.5, -0.34, 0.56, -0.86, 0.44, -0.98, 0.88, -0.98, 0.76, -0.86, 0.8, -0.34), BLACK),
        (ellipse(0.1, -0.4, 0.17, 0.2), brass),
        (box(-0.4, -0.38, 0.92, 0.28), boiler),
        (ellipse(0.9, -0.05, 0.1, 0.33), BLACK),
        (box(-0.06, -0.38, 0.04, 0.28), brass),
        (box(0.4, -0.38, 0.5, 0.28), brass),
        (box(-0.98, -0.8, -0.34, 0.34), cab),
        (box(-1.0, -0.92, -0.28, -0.76), BLACK),
        (box(-0.84, -0.6, -0.5, -0.2), GLASS),
        (box(-0.98, 0.24, 0.98, 0.42), red),
        (polygon(0.8, 0.4, 1.0, 0.4, 1.0, 0.8, 0.86, 0.8), red),
        *[part for x in (-0.66, -0.1, 0.46) for part in wheel(x, 0.54, 0.27, red)],
    ]


def tvmonitor(rng: Generator) -> list[Part]:
    frame = colour(rng, rng.choice([0.08, 0.6]), 0.35, 0.28)
    hills = polygon(-0.84, 0.46, -0.84, 0.0, -0.3, -0.3, 0.2, 0.2, 0.5, 0.0, 0.84, 0.3, 0.84, 0.46)
    return [
        (box(-0.14, 0.5, 0.14, 0.86), (120, 120, 128)),
        (box(-0.52, 0.8, 0.52, 0.96), (150, 150, 158)),
        (box(-0.98, -0.82, 0.98, 0.62), frame),
        (box(-0.84, -0.68, 0.84, 0.46), colour(rng, 0.52, 0.65, 0.9)),
        (hills, colour(rng, 0.85, 0.6, 0.8)),
        (ellipse(0.46, -0.36, 0.18), (255, 235, 120)),
    ]


SHAPES: dict[str, Callable[[Generator], list[Part]]] = {
    "bus": bus,
    "car": car,
    "cat": cat,
    "chair": chair,
    "motorbike": motorbike,
    "person": person,
    "pottedplant": pottedplant,
    "sheep": sheep,
    "train": train,
    "tvmonitor": tvmonitor,
}
