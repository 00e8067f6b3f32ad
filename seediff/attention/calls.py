"""Which calls of the UNet are recorded: those of a denoising run's timesteps, or another look at the finished image.

The paper averages attention over all timesteps (Eq. 5). At high noise, maps show where a blob will be; at low noise,
they show the object. A variant says what it is made from, as the first of its steps (``masks.variants``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
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
    divide: bool = True
    """Divide each layer's map by its maximum (Eq. 5); if not, layers and timesteps that look sharply weigh more."""

    def __post_init__(self) -> None:
        check_bounds("record", self)

    def __str__(self) -> str:
        names = {share: name for name, share in SHARES.items()}
        undivided = "" if self.divide else ", not divided by the maximum"
        if isinstance(self.timesteps, tuple):
            return f"the timesteps {', '.join(map(str, self.timesteps))}{undivided}"
        return f"{names.get(self.timesteps, f'the last {self.timesteps:.0%} of')} timesteps{undivided}"

    def of(self, schedule: Sequence[float]) -> frozenset[float]:
        """The timesteps of the schedule, which descends, that are recorded.

        Timesteps are rounded to whole ones. ``SeediffError`` for one that the schedule does not have.
        """
        if not isinstance(self.timesteps, tuple):
            return frozenset(schedule[-ceil(round(self.timesteps * len(schedule), 6)) :])
        whole = [round(timestep) for timestep in schedule]
        if missing := sorted({*self.timesteps} - {*whole}):
            raise SeediffError(
                f"Timestep {missing[0]} is not one of this run's.\nThese are {', '.join(map(str, whole))}."
            )
        return frozenset(timestep for timestep in schedule if round(timestep) in self.timesteps)


@dataclass(frozen=True)
class LookAgain:
    """The attention of one more call on the finished image, noised to a timestep, with its own prompt."""

    timestep: Timestep
    """0 is the image itself; 150 is little noise, and 999 is nothing but noise."""

    def __post_init__(self) -> None:
        check_bounds("look_again", self)

    def __str__(self) -> str:
        return f"another look at timestep {self.timestep}"

    @property
    def divide(self) -> bool:
        """Each layer's map is divided by its maximum (Eq. 5)."""
        return True

    def of(self, schedule: Sequence[float]) -> frozenset[float]:
        return frozenset([self.timestep])


Calls = Record | LookAgain
KINDS: dict[str, Any] = {"record": Record, "look_again": LookAgain}
"""By the name that they have in a variant."""
ALL = Record()
"""What the paper records."""


def read_calls(name: str, parameters: Mapping[str, Any]) -> Calls:
    """``record`` or ``look_again`` with its parameters as a variant has them, such as {'timesteps': 'late'}.

    ``SeediffError`` for parameters that do not exist, are missing, or have an invalid value.
    """
    known = [field.name for field in fields(KINDS[name])]
    needed = {field.name for field in fields(KINDS[name]) if field.default is MISSING}
    if not needed <= {*parameters} <= {*known} or not parameters:
        raise SeediffError(f"{name!r} has the parameters {', '.join(known)}, not {sorted(parameters)}.")
    calls: Calls = KINDS[name](**{key: _read(key, value) for key, value in parameters.items()})
    return calls


def _read(key: str, value: Any) -> Any:
    if key == "timesteps" and isinstance(value, str):
        if value not in SHARES:
            raise SeediffError(f"record: timesteps is {value!r}, but must be {', '.join(SHARES)}, a share, or a list.")
        return SHARES[value]
    return tuple(value) if isinstance(value, list) else value


def write_calls(calls: Calls) -> tuple[str, dict[str, Any]]:
    """The name and parameters that ``read_calls`` reads, ready for JSON; ``divide`` only if it is not the paper's."""
    name = next(name for name, kind in KINDS.items() if isinstance(calls, kind))
    written = {key: value for key, value in vars(calls).items() if key != "divide" or not value}
    return name, {key: list(value) if isinstance(value, tuple) else value for key, value in written.items()}
