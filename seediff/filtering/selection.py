"""Which pairs are kept: of those within the limits, the best share of each class. The table of all pairs.

The table is a sealed CSV with a line for each pair: its measures, whether it is kept, and why not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.shards import draws_of
from seediff.errors import SeediffError
from seediff.files.sealed import read_csv, write_csv
from seediff.filtering.settings import MEASURES, Filter


@dataclass(frozen=True)
class Measured:
    """A pair: its ``key``, the class it shows, and its measures by name."""

    key: str
    class_name: str
    measures: Mapping[str, float]


def select(pairs: Sequence[Measured], settings: Filter, draw_size: int | None = None) -> dict[str, str]:
    """Key -> why the pair is left out, empty for pairs that are kept; the order of ``pairs`` does not matter.

    Of a class with n images, at most ``keep`` * n (rounded up) are kept: the best of those within the limits. Of equal
    pairs the first by key is kept. Each ``draw_size`` images of a class, by key, are a draw, which is filtered by
    itself; without it all of them are. Raises ``SeediffError`` for a class with no pair within the limits, and for a
    measure that is not finite, which would pass every limit.
    """
    _check_measures(pairs)
    reasons: dict[str, str] = {}
    for name in sorted({pair.class_name for pair in pairs}):
        of_class = sorted((pair for pair in pairs if pair.class_name == name), key=lambda pair: pair.key)
        for draw in draws_of(of_class, draw_size):
            reasons |= _select_of_class(name, draw, settings)
    return reasons


def _check_measures(pairs: Sequence[Measured]) -> None:
    for pair in pairs:
        for name, value in pair.measures.items():
            if not isfinite(value):
                raise SeediffError(f"{pair.key}: its {name} is {value}, not a finite number.\nMake its mask again.")


def _select_of_class(name: str, pairs: Sequence[Measured], settings: Filter) -> dict[str, str]:
    reasons = {pair.key: _beyond(pair.measures, settings) for pair in pairs}
    within = [pair for pair in pairs if not reasons[pair.key]]
    if not within:
        raise SeediffError(_nothing_left(name, pairs, list(reasons.values())))
    number = ceil(round(settings.keep * len(pairs), 9))  # 0.7 * 10 is more than 7
    qualities = quality([pair.measures for pair in within], settings.rank_by) if number < len(within) else np.zeros(0)
    for place, index in enumerate(np.argsort(-qualities, kind="stable"), start=1):
        if place > number:
            reasons[within[index].key] = f"rank {place} of {len(within)}: {number} are kept"
    return reasons


def quality(measures: Sequence[Mapping[str, float]], rank_by: Sequence[str]) -> NDArray[np.float64]:
    """Mean over ``rank_by`` of each pair's rank among all (1 for the lowest value; equal values share their mean)."""
    from scipy.stats import rankdata  # takes longer to import than most jobs that only read a selection

    return np.mean([rankdata([values[name] for values in measures]) for name in rank_by], axis=0)


def _beyond(measures: Mapping[str, float], settings: Filter) -> str:
    """The first limit that the pair exceeds, in words; empty if there is none."""
    least = {name: getattr(settings, name) for name in measures if name != "area"} | {"area": settings.area[0]}
    for name, value in measures.items():
        if value < least[name]:
            return f"{name} {value:.4f} is below {least[name]:g}"
    if measures["area"] > settings.area[1]:
        return f"area {measures['area']:.4f} is above {settings.area[1]:g}"
    return ""


def _nothing_left(name: str, pairs: Sequence[Measured], reasons: Sequence[str]) -> str:
    counts = Counter(reason.partition(" ")[0] for reason in reasons)
    said = ", ".join(f"{measure} leaves out {number}" for measure, number in sorted(counts.items()))
    return f"The filter keeps none of the {len(pairs)} images of {name!r}: {said}.\nLoosen its limits."


# --- the table -------------------------------------------------------------------------------------------------------


def write_selection(path: Path, pairs: Sequence[Measured], reasons: Mapping[str, str]) -> None:
    """Write the pairs in their order; a measure that was not taken is empty."""
    write_csv(path, [_row(pair, reasons[pair.key]) for pair in pairs])


def _row(pair: Measured, reason: str) -> dict[str, str]:
    taken = {name: f"{pair.measures[name]:.6f}" if name in pair.measures else "" for name in MEASURES}
    return {"key": pair.key, "class_name": pair.class_name, **taken, "kept": "no" if reason else "yes", "why": reason}


def read_kept(path: Path) -> dict[str, bool]:
    """Key -> whether the pair is kept; ``SeediffError`` if the table is missing or not as it was written."""
    rows = read_csv(path, "The filter's table")
    if not {"key", "kept"} <= rows[0].keys():
        raise SeediffError(f"{path} is not the table of a filter.\nDelete it and run again to make it anew.")
    return {row["key"]: row["kept"] == "yes" for row in rows}
