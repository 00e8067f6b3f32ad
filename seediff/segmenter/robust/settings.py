"""What fixes robust training: plain values only, so that reading a study never imports torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from seediff.errors import SeediffError

BACKENDS = ("transformers", "pixel")
"""The segmenter backends whose networks can be trained so."""


@dataclass(frozen=True)
class RobustTraining:
    """Reliability-aware co-training, with attn2mask's values (BECO's, where it gives none).

    ``reliability``: a pixel's label is relied on wholly or not at all (``hard``), or as far as its rank goes
    (``soft``). ``share``: the part of each label's pixels in an image that hard reliability relies on.
    ``boundary``: half the width, in pixels, of the boundary around what ClassMix has pasted, and ``boundary_weight``
    how much more a pixel counts there. ``mix``: the probability of ClassMix for an image, after ``mix_after`` epochs;
    its labels are those of which the two networks are together surer than ``confidence``.
    """

    reliability: Literal["hard", "soft"] = "hard"
    share: float = 0.5
    boundary: int = 1
    boundary_weight: float = 0.2
    mix: float = 0.5
    mix_after: int = 1
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.reliability not in ("hard", "soft"):
            raise SeediffError(f"Robust training: reliability is {self.reliability!r}, but must be 'hard' or 'soft'.")
        for field in fields(self)[1:]:
            _check(field.name, getattr(self, field.name), type(field.default))


_RANGES = {"boundary": (1, 100), "boundary_weight": (0, 1000), "mix_after": (0, 1_000_000)}
"""Lowest and highest value where it is not 0 and 1."""


def _check(key: str, value: Any, kind: Any) -> None:
    """Raise ``SeediffError`` unless the value is a number of the kind, an integer if that is int, in its range."""
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        raise SeediffError(f"Robust training: {key} is {value!r}, but has to be of type {kind.__name__}.")
    lowest, highest = _RANGES.get(key, (0, 1))
    if not lowest <= value <= highest:
        raise SeediffError(f"Robust training: {key} is {value}, but has to be between {lowest} and {highest}.")
    if key == "share" and value == 0:
        raise SeediffError("Robust training: share is 0, but some pixels have to be relied on.")
