"""Which calls of the UNet are recorded: those of a denoising run's timesteps, or another look at the finished image.

The paper averages attention over all timesteps (Eq. 5). At high noise, maps show where a blob will be; at low noise,
they show the object. A variant says what it is made from, as the first of its steps (``masks.variants``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any

from annotated_types import Ge, Le, Len

from seediff.errors import SeediffError
from seediff.settings import MOST_TIMESTEPS, Threshold, check_bounds

Timestep = Annotated[int, Ge(0), Le(MOST_TIMESTEPS - 1)]

SHARES = {"all": 1.0, "late": 0.5}
"""Shares of a denoising run by name; ``late`` is its second half, at low noise."""


@dataclass(frozen=True)
class Record:
    """The attention of a denoising run, averaged over some of its timesteps (Eq. 5 over all of them)."""

    timesteps: Threshold | Annotated[tuple[Timestep, ...], Len(1)] = 1.0
    """The last part of the run, or timesteps of the scheduler's."""

    def __post_init__(self) -> None:
        check_bounds("record", self)

    def __str__(self) -> str:
        names = {share: name for name, share in SHARES.items()}
        if isinstance(self.timesteps, tuple):
            return f"the timesteps {', '.join(map(str, self.timesteps))}"
        return f"{names.get(self.timesteps, f'the last {self.timesteps:.0%} of')} timesteps"

    def of(self, schedule: Sequence[float]) -> frozenset[float]:
        """The timesteps of the schedule, which descends, that are recorded.

        ``SeediffError`` for one that the schedule does not have.
        """
        if not isinstance(self.timesteps, tuple):
            return frozenset(schedule[-ceil(self.timesteps * len(schedule)) :])
        if missing := sorted({*self.timesteps} - {*schedule}):
            raise SeediffError(
                f"Timestep {missing[0]} is not one of this run's.\n"
                f"These are {', '.join(f'{timestep:g}' for timestep in schedule)}."
            )
        return frozenset(self.timesteps)


@dataclass(frozen=True)
class LookAgain:
    """The attention of one more call on the finished image, noised to a timestep, with its own prompt."""

    timestep: Timestep
    """0 is the image itself; 150 is little noise, and 999 is nothing but noise."""

    def __post_init__(self) -> None:
        check_bounds("look_again", self)

    def __str__(self) -> str:
        return f"another look at timestep {self.timestep}"

    def of(self, schedule: Sequence[float]) -> frozenset[float]:
        return frozenset([self.timestep])


Calls = Record | LookAgain
KINDS: dict[str, Any] = {"record": Record, "look_again": LookAgain}
"""By the name that they have in a variant."""
ALL = Record()
"""What the paper records."""


def read_calls(name: str, parameters: Mapping[str, Any]) -> Calls:
    """``record`` or ``look_again`` with its parameter as a variant has it, such as {'timesteps': 'late'}.

    ``SeediffError`` for a parameter that does not exist or has an invalid value.
    """
    (expected,) = KINDS[name].__dataclass_fields__
    if {*parameters} != {expected}:
        raise SeediffError(f"{name!r} needs the parameter {expected!r} and no other, not {sorted(parameters)}.")
    value = parameters[expected]
    if isinstance(value, str) and name == "record":
        if value not in SHARES:
            raise SeediffError(f"record: timesteps is {value!r}, but must be {', '.join(SHARES)}, a share, or a list.")
        value = SHARES[value]
    calls: Calls = KINDS[name](tuple(value) if isinstance(value, list) else value)
    return calls


def write_calls(calls: Calls) -> tuple[str, dict[str, Any]]:
    """The name and parameters that ``read_calls`` reads, ready for JSON."""
    name = next(name for name, kind in KINDS.items() if isinstance(calls, kind))
    return name, {key: list(value) if isinstance(value, tuple) else value for key, value in vars(calls).items()}
