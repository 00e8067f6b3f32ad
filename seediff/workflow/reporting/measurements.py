"""The numbers of a table of trained segmenters, from the confusion matrices of each row's runs, beside the paper's."""

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
from seediff.segmenter.confusions import read_confusions
from seediff.workflow.layout import IMAGE_METRICS, METRICS, below
from seediff.workflow.reporting.columns import Floats, column_values, overlaps
from seediff.workflow.reporting.specs import SegmenterTable, TableColumn, TableRow


@dataclass(frozen=True)
class Cell:
    """One number of a row in percent: ``reported``, and ``runs`` one by one; NaN where there is none."""

    reported: float
    runs: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the runs."""
        return float(np.mean(self.runs)) if self.runs else math.nan

    @property
    def reproduced(self) -> float:
        """Mean over the runs, to one decimal."""
        return round(self.mean, 1)

    @property
    def std(self) -> float:
        """Sample standard deviation over the runs, to one decimal."""
        return round(float(np.std(self.runs, ddof=1)), 1) if len(self.runs) > 1 else math.nan

    @property
    def difference(self) -> float:
        return round(self.reproduced - self.reported, 1)


@dataclass(frozen=True, eq=False)
class TestedRun:
    """A run as it was tested: its metrics file, its classes, the names of the images (N), and of each of them the
    overlaps (N, G, 2) of the table's columns; ``flaws``: of the images that its model learnt from, by key."""

    path: Path
    classes: tuple[str, ...]
    images: tuple[str, ...]
    overlaps: Floats
    flaws: Mapping[str, Flaw]


@dataclass(frozen=True, eq=False)
class MeasuredRow:
    """A row with its ``cells`` by column, its runs, and the files that are missing of ``absent_runs`` others."""

    row: TableRow
    cells: Mapping[str, Cell]
    tested: tuple[TestedRun, ...]
    absent: tuple[Path, ...]
    absent_runs: int

    @property
    def runs(self) -> str:
        if self.row.run is None:
            return "reported only"
        wanted = len(self.tested) + self.absent_runs
        return f"{len(self.tested)} of {wanted}" if self.absent_runs else str(wanted)

    @property
    def flaws(self) -> dict[str, Flaw]:
        return {key: flaw for run in self.tested for key, flaw in run.flaws.items()}


def measure_rows(spec: SegmenterTable, results_folder: Path) -> list[MeasuredRow]:
    return [_measure(spec, row, results_folder) for row in spec.rows]


def _measure(spec: SegmenterTable, row: TableRow, results_folder: Path) -> MeasuredRow:
    runs = _files_of_runs(spec, row, results_folder)
    missing = [[path for path in files if not path.is_file()] for files in runs]
    tested = [_read_run(spec.columns, *files) for files, lacking in zip(runs, missing, strict=True) if not lacking]
    values = [column_values(spec.columns, run.classes, run.overlaps.sum(0)) for run in tested]
    cells = {
        column.heading: Cell(
            row.paper.get(column.heading, math.nan), tuple(float(of_run[column.heading]) for of_run in values)
        )
        for column in spec.columns
    }
    absent = tuple(path for lacking in missing for path in lacking)
    return MeasuredRow(row, cells, tuple(tested), absent, len(runs) - len(tested))


def _files_of_runs(spec: SegmenterTable, row: TableRow, results_folder: Path) -> list[tuple[Path, Path]]:
    """Where each of the row's runs writes its confusion matrices: their sum, and those of single images."""
    if row.run is None:
        return []
    recipe, segmenter, benchmark = row.run
    run = {"recipe": recipe, "segmenter": segmenter, "benchmark": benchmark}
    return [
        (
            below(results_folder, METRICS, **run, repeat=repeat),
            below(results_folder, IMAGE_METRICS, **run, repeat=repeat),
        )
        for repeat in range(spec.repeats)
    ]


def _read_run(columns: Sequence[TableColumn], path: Path, path_of_images: Path) -> TestedRun:
    metrics = read_metrics(path)
    images = read_confusions(path_of_images, metrics.matrix)
    try:
        counted = overlaps(columns, images, metrics.classes)
    except SeediffError as error:
        raise SeediffError(f"Metrics file {path}: {error}") from None
    return TestedRun(path, tuple(metrics.classes), images.names, counted, metrics.flawed_training_images)


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
            "source": ";".join(str(run.path) for run in measured.tested),
        }
        for measured in rows
        for heading, cell in measured.cells.items()
    ])  # fmt: skip
