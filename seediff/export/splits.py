"""Splits by share, such as 'train=.8,val=.2': which image is in which depends on the names and a seed alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from seediff.errors import SeediffError
from seediff.rng import derive_seed

_SPLIT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_EXAMPLE = "Write shares that sum to 1, such as train=.8,val=.2."


def parse_shares(text: str) -> dict[str, float]:
    """Split -> its share of the images, in (0, 1]; ``SeediffError`` unless they sum to 1."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        if not _SPLIT.fullmatch(name.strip()):
            raise SeediffError(f"{name.strip()!r} is no name of a split: letters, digits and '_'.\n{_EXAMPLE}")
        if name.strip() in shares:
            raise SeediffError(f"The split {name.strip()!r} is named twice.\n{_EXAMPLE}")
        shares[name.strip()] = _share(share)
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise SeediffError(f"The shares of the splits sum to {sum(shares.values()):g}, not to 1.\n{_EXAMPLE}")
    return shares


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise SeediffError(f"{text.strip()!r} is no share of a split: a number above 0, at most 1.\n{_EXAMPLE}")
    return share


def split_images(names: Sequence[str], shares: Mapping[str, float], rng_seed: int) -> dict[str, list[int]]:
    """Split -> the indices of its images, ascending. Every image is in one split.

    The order of ``names`` does not matter, only what they are. Raises ``SeediffError`` if a split would be empty.
    """
    shuffled = sorted(range(len(names)), key=lambda index: derive_seed(rng_seed, "split", names[index]))
    splits: dict[str, list[int]] = {}
    total, start = 0.0, 0
    for split, share in shares.items():
        total += share
        end = round(total * len(names))
        splits[split] = sorted(shuffled[start:end])
        start = end
        if not splits[split]:
            raise SeediffError(
                f"The split {split!r} would have no image: its share of {len(names)} is {share * len(names):g}.\n"
                "Give it a larger share, or leave it out."
            )
    return splits
