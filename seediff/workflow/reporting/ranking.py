"""Do the rows of a table come out in the paper's order?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Agreement:
    """How far two rankings agree: Kendall's tau-b and Spearman's rho in [-1, 1], NaN where all values are equal."""

    same_order: bool
    tau: float
    rho: float


def rank_agreement(reported: Sequence[float], reproduced: Sequence[float]) -> Agreement:
    """Compare the order of two equally long series; a tie in one that the other lacks is not the same order."""
    ours = np.sign(np.subtract.outer(reproduced, reproduced))
    theirs = np.sign(np.subtract.outer(reported, reported))
    with np.errstate(invalid="ignore"):
        tau = (ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum())
        rho = np.corrcoef(pd.Series(reported).rank(), pd.Series(reproduced).rank())[0, 1]
    return Agreement(bool((ours == theirs).all()), float(tau), float(rho))
