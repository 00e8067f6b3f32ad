"""Do the rows of a table come out in the paper's order?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ConstantInputWarning, kendalltau, spearmanr


@dataclass(frozen=True)
class Agreement:
    """How far two rankings agree: Kendall's tau-b and Spearman's rho in [-1, 1], NaN where all values are equal."""

    same_order: bool
    tau: float
    rho: float


def rank_agreement(reported: Sequence[float], reproduced: Sequence[float]) -> Agreement:
    """Compare the order of two equally long series; a tie in one that the other lacks is not the same order."""
    ours, theirs = (np.sign(np.subtract.outer(values, values)) for values in (reproduced, reported))
    with warnings.catch_warnings(action="ignore", category=ConstantInputWarning):
        tau, rho = (correlation(reported, reproduced).statistic for correlation in (kendalltau, spearmanr))
    return Agreement(bool((ours == theirs).all()), float(tau), float(rho))
