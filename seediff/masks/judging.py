"""Masks against what is really there: how much of the object they have, miss, and spill over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = np.arange(0.05, 0.96, 0.05)


@dataclass(frozen=True)
class Verdict:
    """A soft mask against the true one, in shares.

    ``iou`` is at beta, ``curve`` at each of ``THRESHOLDS``; ``missed`` is the part of the object outside the mask,
    ``spilled`` the mask's area outside the object, divided by the object's.
    """

    iou: float
    missed: float
    spilled: float
    curve: NDArray[np.float64]


def judge(soft: NDArray[np.float32], truth: NDArray[np.bool_], valid: NDArray[np.bool_], beta: float) -> Verdict:
    """Compare over the valid pixels; the object must have some of them."""
    scores, inside = soft[valid], truth[valid]
    curve = np.array([intersection_over_union(scores >= threshold, inside) for threshold in THRESHOLDS])
    mask = scores >= beta
    area = max(int(inside.sum()), 1)
    missed, spilled = (inside & ~mask).sum() / area, (mask & ~inside).sum() / area
    return Verdict(intersection_over_union(mask, inside), float(missed), float(spilled), curve)


def intersection_over_union(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((predicted & truth).sum() / max((predicted | truth).sum(), 1))


def summarise(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What a table needs of the verdicts on one variant, ready for JSON.

    ``iou``: of every object. ``best_threshold`` maximises the mean IoU of the first half; ``best_iou`` holds the IoU
    there of every object of the second half, so that no object chooses the threshold that it is judged at.
    """
    half = len(verdicts) // 2
    chosen = int(np.mean([verdict.curve for verdict in verdicts[:half] or verdicts], axis=0).argmax())
    best = [float(verdict.curve[chosen]) for verdict in verdicts[half:]]
    return {
        "iou": [round(verdict.iou, 5) for verdict in verdicts],
        "missed": float(np.mean([verdict.missed for verdict in verdicts])),
        "spilled": float(np.mean([verdict.spilled for verdict in verdicts])),
        "best_threshold": round(float(THRESHOLDS[chosen]), 2),
        "best_iou": [round(iou, 5) for iou in best],
    }
