"""Flaws of a drawn image that a glance shows: it is black, of one colour, or clipped. It is kept, and counted.

None of the embedded study's 660 images comes near: the darkest has a mean of 40 of 255, the one with the least
contrast spans 131 values of a colour, and at most 8 % of the values of an image are 0 or 255.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from seediff.datasets.images import Array

Flaw = Literal["black", "constant", "clipped"]
EMPTY: tuple[Flaw, ...] = ("black", "constant")
"""Images with these show nothing."""

FLAWS = "flawed_training_images"
"""What a trained model's settings and numbers say about the images it learnt from: key -> flaw, if any has one."""

BLACK = 8
"""No value of a black image is above this. Those that a safety checker blacks out are 0 throughout."""
CLIPPED = 0.5
"""A larger share of an image's values, three a pixel, at 0 or 255 is called clipped."""
MOST_NAMED = 10


def flaw_of(image: Array) -> Flaw | None:
    """The first flaw that an image (H, W, 3) uint8 has."""
    if image.max() <= BLACK:
        return "black"
    if (image == image[0, 0]).all():
        return "constant"
    if ((image == 0) | (image == 255)).mean() > CLIPPED:
        return "clipped"
    return None


def flaws_of(images: Iterable[tuple[str, Array]]) -> dict[str, Flaw]:
    """Name -> flaw of those of the named images that have one."""
    return {name: flaw for name, image in images if (flaw := flaw_of(image))}


def counted(flaws: Mapping[str, Flaw]) -> str:
    """How many have each flaw, and which: 'black 0, constant 0, clipped 2 (cat-000003, cat-000007)'."""
    by_flaw = {flaw: sorted(key for key, found in flaws.items() if found == flaw) for flaw in get_args(Flaw)}
    return ", ".join(f"{flaw} {len(keys)}{_named(keys)}" for flaw, keys in by_flaw.items())


def _named(keys: list[str]) -> str:
    more = f", and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
    return f" ({', '.join(keys[:MOST_NAMED])}{more})" if keys else ""
