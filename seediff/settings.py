"""Settings are frozen dataclasses whose types say their bounds; ``check_bounds`` holds the values against them.

    @dataclass(frozen=True)
    class Sampling:
        guidance_scale: Annotated[float, Gt(1)] = 7.5

        def __post_init__(self) -> None:
            check_bounds("Sampling", self)

Studies, their JSON schema and their documentation read the bounds from the same types.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Len

from seediff.errors import SeediffError

MOST_TIMESTEPS = 1000
"""Diffusion models know a thousand timesteps."""
MOST_AT_ONCE = 4096
"""No machine has memory for more images at one time."""

AtOnce = Annotated[int, Ge(1), Le(MOST_AT_ONCE)]
"""What is in memory at one time."""
Timesteps = Annotated[int, Ge(1), Le(MOST_TIMESTEPS)]
Share = Annotated[float, Ge(0), Le(1)]
"""A part of something, or a probability."""
Threshold = Annotated[float, Gt(0), Le(1)]


def check_bounds(kind: str, settings: Any) -> None:
    """Raise ``SeediffError`` for the first value that is not what its type and bounds allow.

    Numbers, choices (``Literal``) and lists of them are checked; an integer may stand for a float, a bool for nothing.
    """
    for name, annotation in get_type_hints(type(settings), include_extras=True).items():
        _check(f"{kind}: {name}", getattr(settings, name), annotation)


def _check(where: str, value: Any, annotation: Any, bounds: Sequence[Any] = ()) -> None:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        _check(where, value, inner[0], inner[1:])
    elif origin in (Union, UnionType):
        for part in inner if value is not None else ():
            _check(where, value, part, bounds)
    elif origin is Literal and value not in inner:
        raise SeediffError(f"{where} is {value!r}, but must be {' or '.join(map(repr, inner))}.")
    elif origin is tuple:
        if isinstance(value, str):  # whose characters would pass for its entries
            raise SeediffError(f"{where} is {value!r}, but must be a list.")
        _check_length(where, value, bounds)
        for entry in value:
            _check(where, entry, inner[0])
    elif annotation in (int, float) and not _fits(value, annotation, bounds):
        raise SeediffError(f"{where} is {value!r}, but must be {_wanted(annotation, bounds)}.")


def _check_length(where: str, values: Sequence[Any], bounds: Sequence[Len]) -> None:
    for bound in bounds:
        if len(values) < bound.min_length:
            raise SeediffError(f"{where} is empty, but needs an entry.")
        if bound.max_length is not None and len(values) > bound.max_length:
            raise SeediffError(f"{where} has {len(values)} entries, but can have {bound.max_length} at most.")


def _fits(value: Any, kind: Any, bounds: Sequence[Any]) -> bool:
    """Whether it is a finite number of the kind within the bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        return False
    is_finite = isinstance(value, int) or isfinite(value)  # an integer may be too large to become a float
    return is_finite and all(_holds(value, bound) for bound in bounds)


def _holds(value: Any, bound: Ge | Gt | Le) -> bool:
    match bound:
        case Ge(limit):
            return bool(value >= limit)
        case Gt(limit):
            return bool(value > limit)
        case Le(limit):
            return bool(value <= limit)


def _wanted(kind: type, bounds: Sequence[Any]) -> str:
    """Such as 'a whole number from 1 to 4,096', or 'a number above 0 and at most 1'."""
    bounded = any(isinstance(bound, Le) for bound in bounds)
    number = "a whole number" if kind is int else "a number" if bounded else "a finite number"
    match bounds:
        case [Ge(least), Le(most)]:
            return f"{number} from {least:,} to {most:,}"
        case [Gt(limit), Le(most)]:
            return f"{number} above {limit:,} and at most {most:,}"
        case [Ge(least)]:
            return f"{number}, {least:,} or more"
        case [Gt(limit)]:
            return f"{number} above {limit:,}"
        case _:
            return number
