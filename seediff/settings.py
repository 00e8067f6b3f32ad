"""Settings are frozen dataclasses whose types say their bounds; ``check_bounds`` holds the values against them.

    @dataclass(frozen=True)
    class Sampling:
        num_inference_steps: Annotated[int, Ge(1), Le(1000)] = 50

        def __post_init__(self) -> None:
            check_bounds("Sampling", self)

Studies, their JSON schema, their documentation and their errors read the bounds from the same types.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Len, MultipleOf

from seediff.errors import SeediffError

MOST_TIMESTEPS = 1000
"""Diffusion models know a thousand timesteps."""
MOST_AT_ONCE = 4096
"""No machine has memory for more images at one time."""

AtOnce = Annotated[int, Ge(1), Le(MOST_AT_ONCE)]
"""What is in memory at one time."""
Timesteps = Annotated[int, Ge(1), Le(MOST_TIMESTEPS)]
GuidanceScale = Annotated[float, Ge(0)]
"""Up to 1, most pipelines draw without guidance."""
Pixels = Annotated[int, Ge(16), Le(8192), MultipleOf(8)]
"""A side of an image to be drawn."""
Share = Annotated[float, Ge(0), Le(1)]
"""A part of something, or a probability."""
Threshold = Annotated[float, Gt(0), Le(1)]


def check_bounds(kind: str, settings: Any) -> None:
    """Raise ``SeediffError`` for the first value that is not what its type and bounds allow.

    Texts, numbers, choices (``Literal``), pairs and lists of them are checked; an integer may stand for a float, a
    bool for nothing.
    """
    for name, annotation in get_type_hints(type(settings), include_extras=True).items():
        _check(f"{kind}: {name}", getattr(settings, name), annotation)


def _check(where: str, value: Any, annotation: Any, bounds: Sequence[Any] = ()) -> None:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        _check(where, value, inner[0], inner[1:])
    elif origin in (Union, UnionType):
        _check_choice(where, value, inner, bounds)
    elif origin is tuple:
        _check_entries(where, value, inner, bounds)
    elif not _fits(value, annotation, bounds):
        raise SeediffError(f"{where} is {value!r}, but must be {wanted(annotation, bounds)}.")


def _check_choice(where: str, value: Any, choices: Sequence[Any], bounds: Sequence[Any]) -> None:
    """Hold a value against the one of several types that it is meant to be of."""
    if value is None and NoneType in choices:
        return
    types = [choice for choice in choices if choice is not NoneType]
    meant = [choice for choice in types if _is_list(choice) == isinstance(value, (tuple, list))]
    _check(where, value, (meant or types)[0], bounds)


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return _is_list(get_args(annotation)[0]) if origin is Annotated else origin is tuple


def _check_entries(where: str, values: Any, entries: Sequence[Any], bounds: Sequence[Len]) -> None:
    if not isinstance(values, (tuple, list)):  # a text's characters would pass for its entries
        raise SeediffError(f"{where} is {values!r}, but must be a list.")
    if Ellipsis not in entries and len(values) != len(entries):
        raise SeediffError(f"{where} is {values!r}, but must be a list of {len(entries)}.")
    _check_length(where, values, bounds)
    for value in values:
        _check(where, value, entries[0])


def _check_length(where: str, values: Sequence[Any], bounds: Sequence[Len]) -> None:
    for bound in bounds:
        if len(values) < bound.min_length:
            raise SeediffError(f"{where} is empty, but needs an entry.")
        if bound.max_length is not None and len(values) > bound.max_length:
            raise SeediffError(f"{where} has {len(values)} entries, but can have {bound.max_length} at most.")


def _fits(value: Any, kind: Any, bounds: Sequence[Any]) -> bool:
    """Whether it is a text, one of the choices, or a finite number of the kind within the bounds."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind not in (int, float):
        return isinstance(value, kind)
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        return False
    is_finite = kind is int or abs(value) <= sys.float_info.max  # an integer can be above
    return is_finite and all(_holds(value, bound) for bound in bounds)


def _holds(value: Any, bound: Ge | Gt | Le | MultipleOf) -> bool:
    match bound:
        case Ge(limit):
            return bool(value >= limit)
        case Gt(limit):
            return bool(value > limit)
        case Le(limit):
            return bool(value <= limit)
        case MultipleOf(unit):
            return bool(value % unit == 0)


def wanted(kind: Any, bounds: Sequence[Any] = ()) -> str:
    """What a value must be, such as 'a whole number from 1 to 4,096', "'soft' or 'hard'" or 'text'."""
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    number = "a number" if any(isinstance(bound, Le) for bound in bounds) else "a finite number"
    names = {int: "a whole number", float: number, bool: "true or false", str: "text"}
    return f"{names.get(kind, kind.__name__)}{span(bounds)}"


def span(bounds: Sequence[Any]) -> str:
    """The bounds of a number in words, such as ' from 1 to 4,096' or ' above 0 and at most 1'."""
    match [bound for bound in bounds if isinstance(bound, (Ge, Gt, Le))]:
        case [Ge(least), Le(most)]:
            words = f" from {least:,} to {most:,}"
        case [Gt(limit), Le(most)]:
            words = f" above {limit:,} and at most {most:,}"
        case [Ge(least)]:
            words = f", {least:,} or more"
        case [Gt(limit)]:
            words = f" above {limit:,}"
        case _:
            words = ""
    return words + "".join(
        f", a multiple of {bound.multiple_of:,}" for bound in bounds if isinstance(bound, MultipleOf)
    )
