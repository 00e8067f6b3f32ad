"""The numbers of a table of trained segmenters, from each row's confusion matrices, beside those of the paper."""

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
from seediff.names import nearest
from seediff.segmenter.metrics import harmonic_mean, iou, merge_classes, miou
from seediff.workflow.layout import METRICS, below
from seediff.workflow.reporting.specs import SegmenterTable, TableColumn, TableRow


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
        """Sample standard deviation over the runs, to one decimal."""
        return round(float(np.std(self.runs, ddof=1)), 1) if len(self.runs) > 1 else math.nan

    @property
    def difference(self) -> float:
        return round(self.reproduced - self.reported, 1)


@dataclass(frozen=True)
class MeasuredRow:
    """A row with its ``cells`` by column; ``found`` and ``absent`` are its metrics files; ``flaws``: of the images that
    its models learnt from, by key."""

    row: TableRow
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


def measure_rows(spec: SegmenterTable, results_folder: Path) -> list[MeasuredRow]:
    return [_measure(spec, row, results_folder) for row in spec.rows]


def _measure(spec: SegmenterTable, row: TableRow, results_folder: Path) -> MeasuredRow:
    paths = metrics_paths(spec, row, results_folder)
    found = tuple(path for path in paths if path.is_file())
    metrics = [read_metrics(path) for path in found]
    runs = [_values(spec.columns, path, of_run) for path, of_run in zip(found, metrics, strict=True)]
    cells = {
        column.heading: Cell(row.paper.get(column.heading, math.nan), tuple(run[column.heading] for run in runs))
        for column in spec.columns
    }
    flaws = {key: flaw for of_run in metrics for key, flaw in of_run.flawed_training_images.items()}
    return MeasuredRow(row, cells, found, tuple(path for path in paths if path not in found), flaws)


def metrics_paths(spec: SegmenterTable, row: TableRow, results_folder: Path) -> list[Path]:
    """Where the row's runs write their confusion matrices, one path per repeat, whether they exist or not."""
    if row.run is None:
        return []
    recipe, segmenter, benchmark = row.run
    run = {"recipe": recipe, "segmenter": segmenter, "benchmark": benchmark}
    return [below(results_folder, METRICS, **run, repeat=repeat) for repeat in range(spec.repeats)]


def _values(columns: Sequence[TableColumn], path: Path, metrics: Metrics) -> dict[str, float]:
    try:
        return values(columns, metrics.classes, metrics.matrix)
    except SeediffError as error:
        raise SeediffError(f"Metrics file {path}: {error}") from None


def values(columns: Sequence[TableColumn], classes: Sequence[str], confusion: NDArray[np.int64]) -> dict[str, float]:
    """Every column's number in percent, by heading; NaN if no pixel is of a class or predicted as it.

    Raises ``SeediffError`` for a class that is not in ``classes``.
    """
    found: dict[str, float] = {}
    for column in sorted(columns, key=lambda column: column.kind == "harmonic"):
        if column.kind == "harmonic":
            found[column.heading] = harmonic_mean(*(found[heading] for heading in column.of))
        else:
            found[column.heading] = 100 * _share(column, _indices(column, classes), confusion)
    return found


def _share(column: TableColumn, indices: Sequence[int], confusion: NDArray[np.int64]) -> float:
    if column.kind == "mean":
        return miou(confusion, indices or None)
    others = [[index] for index in range(len(confusion)) if index not in indices]
    return float(iou(merge_classes(confusion, [list(indices), *others]))[0])


def _indices(column: TableColumn, classes: Sequence[str]) -> list[int]:
    for name in column.of:
        if name not in classes:
            raise SeediffError(f"Column {column.heading!r}: the model has no class {name!r}.\n{nearest(name, classes)}")
    return [classes.index(name) for name in column.of]


class Metrics(BaseModel):
    """What a table needs of a metrics file: the confusion matrix (rows: truth), and flaws as in ``flaws.FLAWS``."""

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
    """One metrics file; ``SeediffError`` naming it if it is broken."""
    content = read_json(path, "Metrics file")
    try:
        return Metrics.model_validate(content, strict=True)
    except ValueError:
        raise SeediffError(
            f"Metrics file {path} holds no confusion matrix of its classes.\nDelete it and run the workflow again."
        ) from None


def segmentation_frame(spec: SegmenterTable, rows: Sequence[MeasuredRow]) -> pd.DataFrame:
    """One line per row and column, in percent to one decimal; ``source`` holds the metrics files."""
    return pd.DataFrame([
        {
            "label": measured.row.label,
            "column": heading,
            "reported_from": spec.reported_name,
            "reported": cell.reported,
            "reproduced_in": spec.reproduced_name,
            "reproduced": cell.reproduced,
            "std": cell.std,
            "difference": math.nan if spec.embedded else cell.difference,
            "runs": len(cell.runs),
            "source": ";".join(map(str, measured.found)),
        }
        for measured in rows
        for heading, cell in measured.cells.items()
    ])  # fmt: skip
