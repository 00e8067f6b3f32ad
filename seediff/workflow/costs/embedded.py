"""Prices of an embedded study: seconds of one core, as ``python -m benchmarks.units`` measured them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from seediff.workflow.costs.prices import Cost

FILE = Path(__file__).with_name("unit_costs.json")
COMMAND = "python -m benchmarks.units"


@dataclass(frozen=True)
class UnitCosts:
    """Seconds of each unit of work, and where and when they were measured; ``error``: how far the jobs that they were
    worked out from are from their bills, half of them by less."""

    machine: str
    date: str
    error: float
    seconds: dict[str, float]

    @property
    def prices(self) -> dict[str, Cost]:
        return {unit: Cost(core_seconds=seconds) for unit, seconds in self.seconds.items()}


def read_unit_costs() -> UnitCosts:
    """Those that come with the program."""
    return UnitCosts(**json.loads(FILE.read_text()))
