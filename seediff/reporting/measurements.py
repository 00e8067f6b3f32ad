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
from pydantic import BaseModel, Field

from seediff.errors import SeediffError
from seediff.files import read_json
from seediff.reporting.columns import Column, values
from seediff.reporting.specs import Row, TableSpec


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
    """A row with its ``cells`` by column; ``found`` and ``absent`` are its metrics files."""

    row: Row
    cells: Mapping[str, Cell]
    found: tuple[Path, ...]
    absent: tuple[Path, ...]

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
    runs = [_values(spec.columns, path) for path in found]
    cells = {
        column.heading: Cell(row.paper.get(column.heading, math.nan), tuple(run[column.heading] for run in runs))
        for column in spec.columns
    }
    return Measured(row, cells, found, tuple(path for path in paths if path not in found))


def metrics_paths(spec: TableSpec, row: Row, results_folder: Path) -> list[Path]:
    """Where the row's runs leave their confusion matrices, one path a repeat, whether they exist or not."""
    if row.run is None:
        return []
    recipe, segmenter, benchmark = row.run
    folder = results_folder / "metrics" / recipe / segmenter
    return [folder / str(repeat) / f"{benchmark}.json" for repeat in range(spec.repeats)]


def _values(columns: Sequence[Column], path: Path) -> dict[str, float]:
    classes, confusion = read_confusion(path)
    try:
        return values(columns, classes, confusion)
    except SeediffError as error:
        raise SeediffError(f"Metrics file {path}: {error}") from None


class _Metrics(BaseModel):
    """What a table needs of a metrics file."""

    classes: list[str]
    confusion: list[list[Annotated[int, Field(ge=0, le=2**48)]]]


def read_confusion(path: Path) -> tuple[list[str], NDArray[np.int64]]:
    """The classes and the (C, C) confusion matrix, rows truth, of one metrics file."""
    content = read_json(path, "Metrics file")
    try:
        metrics = _Metrics.model_validate(content, strict=True)
        classes, confusion = metrics.classes, np.asarray(metrics.confusion, dtype=np.int64)
    except ValueError:
        classes, confusion = [], np.empty(0, dtype=np.int64)
    if not classes or confusion.shape != (len(classes), len(classes)):
        raise SeediffError(
            f"Metrics file {path} holds no confusion matrix of its classes.\nDelete it and run the workflow again."
        )
    return classes, confusion


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
