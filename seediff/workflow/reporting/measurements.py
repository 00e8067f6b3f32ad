"""The numbers of a table of trained segmenters: each row's from its confusion matrices, beside those of the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from seediff.datasets.flaws import Flaw
from seediff.errors import SeediffError
from seediff.files.sealed import read_json
from seediff.workflow.layout import METRICS, below
from seediff.workflow.reporting.columns import Column, values
from seediff.workflow.reporting.specs import Row, TableSpec


@dataclass(frozen=True)
class Cell:
    """One number of a row in percent: ``reported``, and ``runs`` one by one; NaN where there is none."""

    reported: float
    runs: tuple[float, ...]

    @property
    def reproduced(self) -> float:
        """Mean over the runs, to one decimal."""
        return round(float(np.mean(self.runs)), 1) if self.runs else math.nan

    @property
    def std(self) -> float:
        """Sample deviation over the runs, to one decimal."""
        return round(float(np.std(self.runs, ddof=1)), 1) if len(self.runs) > 1 else math.nan

    @property
    def difference(self) -> float:
        return round(self.reproduced - self.reported, 1)


@dataclass(frozen=True)
class Measured:
    """A row with its ``cells`` by column; ``found`` and ``absent`` are its metrics files; ``flaws``: of the images that
    its models learnt from, by key."""

    row: Row
    cells: Mapping[str, Cell]
    found: tuple[Path, ...]
    absent: tuple[Path, ...]
    flaws: Mapping[str, Flaw]

    @property
    def runs(self) -> str:
        if self.row.run is None:
            return "reported only"
        wanted = len(self.found) + len(self.absent)
        return f"{len(self.found)} of {wanted}" if self.absent else str(wanted)


def measure_rows(spec: TableSpec, results_folder: Path) -> list[Measured]:
    return [_measure(spec, row, results_folder) for row in spec.rows]


def _measure(spec: TableSpec, row: Row, results_folder: Path) -> Measured:
    paths = metrics_paths(spec, row, results_folder)
    found = tuple(path for path in paths if path.is_file())
    metrics = [read_metrics(path) for path in found]
    runs = [_values(spec.columns, *one) for one in zip(found, metrics, strict=True)]
    cells = {
        column.heading: Cell(row.paper.get(column.heading, math.nan), tuple(run[column.heading] for run in runs))
        for column in spec.columns
    }
    flaws = {key: flaw for one in metrics for key, flaw in one.flawed_training_images.items()}
    return Measured(row, cells, found, tuple(path for path in paths if path not in found), flaws)


def metrics_paths(spec: TableSpec, row: Row, results_folder: Path) -> list[Path]:
    """Where the row's runs leave their confusion matrices, one path a repeat, whether they exist or not."""
    if row.run is None:
        return []
    recipe, segmenter, benchmark = row.run
    run = {"recipe": recipe, "segmenter": segmenter, "benchmark": benchmark}
    return [below(results_folder, METRICS, **run, repeat=repeat) for repeat in range(spec.repeats)]


def _values(columns: Sequence[Column], path: Path, metrics: Metrics) -> dict[str, float]:
    try:
        return values(columns, metrics.classes, metrics.matrix)
    except SeediffError as error:
        raise SeediffError(f"Metrics file {path}: {error}") from None


class Metrics(BaseModel):
    """What a table needs of a metrics file: the confusion matrix, rows truth, and what ``flaws.FLAWS`` says."""

    classes: Annotated[list[str], Field(min_length=1)]
    confusion: list[list[Annotated[int, Field(ge=0, le=2**48)]]]
    flawed_training_images: dict[str, Flaw] = {}

    @property
    def matrix(self) -> NDArray[np.int64]:
        """(C, C)"""
        return np.asarray(self.confusion, dtype=np.int64)

    @model_validator(mode="after")
    def _square(self) -> Metrics:
        count = len(self.classes)
        if [len(row) for row in self.confusion] != [count] * count:
            raise ValueError
        return self


def read_metrics(path: Path) -> Metrics:
    """One metrics file; ``SeediffError`` naming it unless it is whole."""
    content = read_json(path, "Metrics file")
    try:
        return Metrics.model_validate(content, strict=True)
    except ValueError:
        raise SeediffError(
            f"Metrics file {path} holds no confusion matrix of its classes.\nDelete it and run the workflow again."
        ) from None


def segmentation_frame(spec: TableSpec, rows: Sequence[Measured]) -> pd.DataFrame:
    """One line a row and column, in percent to one decimal; ``source`` holds the metrics files."""
    return pd.DataFrame([
        {
            "label": one.row.label,
            "column": heading,
            "reported_from": spec.reported_name,
            "reported": cell.reported,
            "reproduced_in": spec.reproduced_name,
            "reproduced": cell.reproduced,
            "std": cell.std,
            "difference": math.nan if spec.embedded else cell.difference,
            "runs": len(cell.runs),
            "source": ";".join(map(str, one.found)),
        }
        for one in rows
        for heading, cell in one.cells.items()
    ])  # fmt: skip
