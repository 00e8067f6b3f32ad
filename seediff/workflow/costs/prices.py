"""What units of work cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """``gpu_tflop``: 10^12 operations of a GPU; ``core_seconds``: of one processor core; ``bytes``: on disk."""

    gpu_tflop: float = 0.0
    core_seconds: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.gpu_tflop + other.gpu_tflop, self.core_seconds + other.core_seconds, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Cost:
        return Cost(times * self.gpu_tflop, times * self.core_seconds, times * self.bytes)
