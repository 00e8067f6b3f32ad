"""Bounds are declared in the types of settings, and checked wherever settings are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Len

from seediff.adaptation.settings import AdapterSettings
from seediff.errors import SeediffError
from seediff.settings import Share, Threshold, check_bounds


@dataclass(frozen=True)
class Example:
    count: Annotated[int, Ge(1), Le(1000)] = 1
    share: Share = 0.5
    threshold: Threshold | None = None
    rate: Annotated[float, Gt(0)] = 1e-3
    warmup: Annotated[int, Ge(0)] = 0
    kind: Literal["soft", "hard"] = "soft"
    sides: Annotated[tuple[Annotated[int, Ge(1), Le(9)], ...], Len(1, 3)] = (1,)

    def __post_init__(self) -> None:
        check_bounds("Example", self)


@pytest.mark.parametrize(
    "settings",
    [
        {"count": 1000, "share": 0, "threshold": 1, "warmup": 10**400, "kind": "hard"},
        {"count": 1, "share": 1.0, "threshold": 1e-9, "sides": [1, 9, 5]},
    ],
)
def test_what_is_within_the_bounds_is_taken(settings: dict[str, Any]) -> None:
    Example(**settings)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *(("count", value, "a whole number from 1 to 1,000") for value in (0, 1001, 1.0, True, "3", None)),
        *(("share", value, "a number from 0 to 1") for value in (-0.1, 1.1, float("nan"), False, "0.5", None)),
        *(("threshold", value, "a number above 0 and at most 1") for value in (0, 2, float("nan"))),
        *(("rate", value, "a finite number above 0") for value in (0, float("inf"), float("nan"), 10**400)),
        ("warmup", -1, "a whole number, 0 or more"),
        ("kind", "medium", "'soft' or 'hard'"),
    ],
)
def test_what_is_beyond_the_bounds_is_refused_in_one_line(name: str, value: Any, message: str) -> None:
    with pytest.raises(SeediffError) as error:
        Example(**{name: value})
    assert str(error.value) == f"Example: {name} is {value!r}, but must be {message}."


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ("1", "sides is '1', but must be a list"),
        ((), "sides is empty, but needs an entry"),
        ((1, 2, 3, 4), "sides has 4 entries, but can have 3 at most"),
        ((1, 10), "sides is 10, but must be a whole number from 1 to 9"),
    ],
)
def test_lists_are_checked_in_length_and_entry_by_entry(sides: Any, message: str) -> None:
    with pytest.raises(SeediffError, match=message):
        Example(sides=sides)


def test_a_text_is_no_list_of_its_characters() -> None:
    with pytest.raises(SeediffError, match="Adaptation: prompts is 'a photo of city', but must be a list"):
        AdapterSettings(prompts="a photo of city")  # type: ignore[arg-type]
