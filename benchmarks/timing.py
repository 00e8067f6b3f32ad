"""Time and memory of alternatives to each other, measured so that the machine's moods cancel."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = 4096


@dataclass(frozen=True)
class Row:
    """One measurement: what, its seconds (median), their ratio to the baseline's, and MiB beyond what was held."""

    what: str
    seconds: float
    ratio: float
    mebibytes: float | None = None
    note: str = ""


@dataclass
class _Peak:
    """Highest resident memory of this process while watched, in bytes."""

    start: int
    highest: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


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
            with watched() as peak:
                clock = time.perf_counter()
                ways[name]()
                seconds[name].append(time.perf_counter() - clock)
            memory[name] = max(memory.get(name, 0.0), (peak.highest - peak.start) / 2**20)
    baseline = next(iter(ways))
    # Ratios within a round, then their median: what slows the machine for a minute slows both.
    ratios = {
        name: statistics.median(one / base for one, base in zip(seconds[name], seconds[baseline], strict=True))
        for name in ways
    }
    return [Row(name, statistics.median(seconds[name]), ratios[name], memory[name]) for name in ways]


@contextmanager
def watched() -> Iterator[_Peak]:
    """Resident memory, looked at every millisecond."""
    peak = _Peak(_resident())
    peak.highest = peak.start

    def watch() -> None:
        while not peak.stop.wait(0.001):
            peak.highest = max(peak.highest, _resident())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        peak.stop.set()
        thread.join()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
