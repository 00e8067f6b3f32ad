"""Background families: textured fields without objects, as (side, side, 3) float32 in [0, 255]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from seediff.embedded.shapes import colour

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
