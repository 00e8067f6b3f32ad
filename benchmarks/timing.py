"""Time and memory of alternatives to each other, measured so that the machine's moods cancel."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measurement: what, its seconds (median), their ratio to the baseline's, and MiB beyond what was held."""

    what: str
    seconds: float
    ratio: float
    mebibytes: float | None = None
    note: str = ""


def compare(ways: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 1) -> list[Row]:
    """Each way in turn, ``rounds`` times over; ratios to the first. The order alternates, so that drift cancels."""
    for _ in range(warm_up):
        for way in ways.values():
            way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, float] = {}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else reversed(list(ways)):
            gc.collect()
            held = _reset_peak()
            clock = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - clock)
            memory[name] = max(memory.get(name, 0.0), (_resident("VmHWM") - held) / 1024)
    baseline = next(iter(ways))
    # Ratios within a round, then their median: what slows the machine for a minute slows both.
    ratios = {
        name: statistics.median(taken / base for taken, base in zip(seconds[name], seconds[baseline], strict=True))
        for name in ways
    }
    return [Row(name, statistics.median(seconds[name]), ratios[name], memory[name]) for name in ways]


def _reset_peak() -> int:
    """Forget the highest resident memory so far; returns what is resident now, in KiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS")


def _resident(what: str) -> int:
    """Resident memory in KiB: 'VmRSS' now, 'VmHWM' the highest since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what + ":"))
