"""From the measures of all pairs to those that are kept: limits first, then the best share of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from seediff.errors import SeediffError
from seediff.filtering.settings import Filter


@dataclass(frozen=True)
class Measured:
    """A pair by its ``key``, the class it shows, and its measures by name."""

    key: str
    class_name: str
    measures: Mapping[str, float]


def select(pairs: Sequence[Measured], asked: Filter) -> dict[str, str]:
    """Key -> why the pair is left out, empty for those that are kept; the order of ``pairs`` does not matter.

    Of a class of n images at most ``keep`` * n, rounded up, are kept: of those within the limits the best, of equal
    ones those whose keys come first. Raises ``SeediffError`` for a class of which none is within the limits, and for a
    measure that is not finite, which no limit would leave out.
    """
    _check_measures(pairs)
    reasons: dict[str, str] = {}
    for name in sorted({pair.class_name for pair in pairs}):
        of_class = sorted((pair for pair in pairs if pair.class_name == name), key=lambda pair: pair.key)
        reasons |= _select_of_class(name, of_class, asked)
    return reasons


def _check_measures(pairs: Sequence[Measured]) -> None:
    for pair in pairs:
        for name, value in pair.measures.items():
            if not isfinite(value):
                raise SeediffError(f"{pair.key}: its {name} is {value}, which is no measure.\nMake its mask again.")


def _select_of_class(name: str, pairs: Sequence[Measured], asked: Filter) -> dict[str, str]:
    reasons = {pair.key: _beyond(pair.measures, asked) for pair in pairs}
    within = [pair for pair in pairs if not reasons[pair.key]]
    if not within:
        raise SeediffError(_nothing_left(name, pairs, list(reasons.values())))
    number = ceil(round(asked.keep * len(pairs), 9))  # 0.7 * 10 is more than 7
    qualities = quality([pair.measures for pair in within], asked.rank_by) if number < len(within) else np.zeros(0)
    for place, index in enumerate(np.argsort(-qualities, kind="stable"), start=1):
        if place > number:
            reasons[within[index].key] = f"rank {place} of {len(within)}: {number} are kept"
    return reasons


def quality(measures: Sequence[Mapping[str, float]], rank_by: Sequence[str]) -> NDArray[np.float64]:
    """The mean over ``rank_by`` of each pair's rank among them (1 for the least; equal values share their mean)."""
    return np.mean([rankdata([one[name] for one in measures]) for name in rank_by], axis=0)


def _beyond(measures: Mapping[str, float], asked: Filter) -> str:
    """The first limit that the pair does not keep, in words; nothing if it keeps them all."""
    least = {name: getattr(asked, name) for name in measures if name != "area"} | {"area": asked.area[0]}
    for name, value in measures.items():
        if value < least[name]:
            return f"{name} {value:.4f} is below {least[name]:g}"
    if measures["area"] > asked.area[1]:
        return f"area {measures['area']:.4f} is above {asked.area[1]:g}"
    return ""


def _nothing_left(name: str, pairs: Sequence[Measured], reasons: Sequence[str]) -> str:
    counts = Counter(reason.partition(" ")[0] for reason in reasons)
    said = ", ".join(f"{measure} leaves out {number}" for measure, number in sorted(counts.items()))
    return f"The filter keeps none of the {len(pairs)} images of {name!r}: {said}.\nLoosen its limits."
