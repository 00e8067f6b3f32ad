"""Tables: the numbers of a study beside those the paper reports, row by row.

Every number is derived from the confusion matrices under ``results/<study>/metrics``. A run that does not exist
yet is a dash, and the command that makes it stands below the table.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seediff.errors import SeediffError
from seediff.files import read_json, write_text
from seediff.names import nearest
from seediff.reporting.formats import Column, Grid, Note, best, html, latex, markdown, number, plain
from seediff.reporting.mask_quality import mask_quality_frame, mask_quality_grid
from seediff.reporting.specs import MaskQualitySpec, Metric, Row, TableSpec
from seediff.segmenter.metrics import miou

__all__ = ["MaskQualitySpec", "Row", "TableSpec", "print_tables", "write_table"]

METRIC_NAMES: dict[str, str] = {"miou": "all {0} classes", "miou_listed": "the {1} listed classes"}


def write_table(spec: TableSpec | MaskQualitySpec, results_folder: Path, out_stem: Path) -> None:
    """Write ``<out_stem>.csv``, ``.md``, ``.tex`` and ``.html``, each whole or not at all.

    ``results_folder`` is ``results/<study>``; the paths in the csv and in the commands are below it as given.
    """
    if isinstance(spec, MaskQualitySpec):
        frame = mask_quality_frame(spec, results_folder)
        grid = mask_quality_grid(spec, frame)
    else:
        frame = segmentation_frame(spec, results_folder)
        grid = _segmentation_grid(spec, frame, results_folder)
    for suffix, text in {
        "csv": frame.to_csv(index=False, lineterminator="\n"),
        "md": markdown(grid),
        "tex": latex(grid),
        "html": html(grid),
    }.items():
        write_text(out_stem.with_name(f"{out_stem.name}.{suffix}"), text)


def print_tables(paths: Iterable[Path], out: TextIO | None = None) -> None:
    """Print Markdown tables as plain, aligned text with a blank line between them."""
    for path in paths:
        if not path.is_file():
            raise SeediffError(f"There is no table {path}.\nMake it: snakemake --cores all {shlex.quote(str(path))}")
        print(plain(path.read_text(encoding="utf-8")), file=out or sys.stdout)


# --- numbers -------------------------------------------------------------------------------------------------------


def metrics_paths(spec: TableSpec, row: Row, results_folder: Path) -> list[Path]:
    """Where the row's runs leave their confusion matrices, one path a repeat, whether they exist or not."""
    folder = results_folder / "metrics" / row.recipe / row.segmenter
    return [folder / str(repeat) / f"{row.benchmark}.json" for repeat in range(spec.repeats)]


def read_confusion(path: Path) -> tuple[list[str], NDArray[np.int64]]:
    """The classes and the (C, C) confusion matrix, rows truth, of one metrics file."""
    content = read_json(path, "Metrics file")
    try:
        classes, confusion = list(content["classes"]), np.asarray(content["confusion"], dtype=np.int64)
    except (KeyError, TypeError, ValueError):
        classes, confusion = [], np.empty(0, dtype=np.int64)
    if not classes or confusion.shape != (len(classes), len(classes)) or confusion.min() < 0:
        raise SeediffError(
            f"Metrics file {path} holds no confusion matrix of its classes.\nDelete it and run the workflow again."
        )
    return classes, confusion


def score(path: Path, metric: str, listed_classes: Sequence[str]) -> float:
    """The run's mean IoU in percent, over all its classes or over the listed ones."""
    classes, confusion = read_confusion(path)
    if metric == "miou":
        return 100 * miou(confusion)
    if unknown := [name for name in listed_classes if name not in classes]:
        raise SeediffError(f"Metrics file {path} knows no class {unknown[0]!r}.\n{nearest(unknown[0], classes)}")
    return 100 * miou(confusion, [classes.index(name) for name in listed_classes])


def segmentation_frame(spec: TableSpec, results_folder: Path) -> pd.DataFrame:
    """One line a row, in percent to one decimal; ``std`` is the sample deviation over the runs that exist.

    With listed classes the mean that is not the table's metric stands beside it, in a column ``miou`` or
    ``miou_listed``: the paper's own tables mix the two.
    """
    return pd.DataFrame([_segmentation_line(spec, row, results_folder) for row in spec.rows])


def _segmentation_line(spec: TableSpec, row: Row, results_folder: Path) -> dict[str, Any]:
    found = [path for path in metrics_paths(spec, row, results_folder) if path.is_file()]
    scores = {metric: [score(path, metric, spec.listed_classes) for path in found] for metric in _metrics(spec)}
    main = scores.pop(spec.metric)
    reproduced = _mean(main)
    reported = math.nan if row.paper is None else float(row.paper)
    return {
        "label": row.label,
        "reported_from": _reported_from(spec),
        "reported": reported,
        "reproduced_in": _reproduced_in(spec),
        "reproduced": reproduced,
        "std": round(float(np.std(main, ddof=1)), 1) if len(main) > 1 else math.nan,
        "difference": math.nan if spec.embedded else round(reproduced - reported, 1),
        "runs": len(found),
        **{metric: _mean(values) for metric, values in scores.items()},
        "source": ";".join(map(str, found)),
    }


def _metrics(spec: TableSpec) -> list[str]:
    return list(get_args(Metric)) if spec.listed_classes else [spec.metric]


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 1) if values else math.nan


def _reported_from(spec: TableSpec) -> str:
    return f"paper: {spec.reported_on}" if spec.reported_on else "paper"


def _reproduced_in(spec: TableSpec) -> str:
    return f"{spec.study}: embedded pictogram world" if spec.embedded else spec.study


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


# --- cells ---------------------------------------------------------------------------------------------------------


def _segmentation_grid(spec: TableSpec, frame: pd.DataFrame, results_folder: Path) -> Grid:
    counts = (_number_of_classes(spec, results_folder), len(spec.listed_classes))
    others = [metric for metric in _metrics(spec) if metric != spec.metric]
    detail = {metric: METRIC_NAMES[metric].format(*counts) for metric in _metrics(spec)}
    columns = (
        Column("", numeric=False),
        Column("reported", _reported_from(spec)),
        Column("reproduced", _reproduced_in(spec)),
        Column("std"),
        Column("difference"),
        Column("runs"),
        *(Column("reproduced", f"over {detail[metric]}") for metric in others),
    )
    rows = tuple(
        (
            line["label"],
            number(line["reported"]),
            number(line["reproduced"]),
            number(line["std"]),
            number(line["difference"], "+.1f"),
            str(line["runs"]) if line["runs"] == spec.repeats else f"{line['runs']} of {spec.repeats}",
            *(number(line[metric]) for metric in others),
        )
        for line in frame.to_dict("records")
    )
    bold = best(frame["reported"], 1) | best(frame["reproduced"], 2)
    caption = " ".join(f"{spec.caption} Mean IoU in percent, over {detail[spec.metric]}.".split())
    notes = (*_world_notes(spec), *_order_notes(frame), *_missing_notes(spec, results_folder))
    return Grid(spec.name, spec.title, caption, columns, rows, bold, notes)


def _number_of_classes(spec: TableSpec, results_folder: Path) -> int | str:
    """How many classes the mean is over, read from the first run; left out of the words while there is none."""
    paths = (path for row in spec.rows for path in metrics_paths(spec, row, results_folder))
    first = next((path for path in paths if path.is_file()), None)
    return len(read_confusion(first)[0]) if first else ""


def _world_notes(spec: TableSpec) -> list[Note]:
    if not spec.embedded:
        return []
    return [
        Note(
            "The two columns of numbers come from different worlds, photographs and embedded pictograms: "
            "their values are not to be compared, so no difference is given. What can be compared is the order of rows."
        ),
        Note(
            "The coarse cross-attention of the embedded diffusion model was partly supervised in its training "
            "(docs/embedded-model.md)."
        ),
    ]


def _order_notes(frame: pd.DataFrame) -> list[Note]:
    both = frame.dropna(subset=["reported", "reproduced"])
    if len(both) < 3 or both["reported"].nunique() < 2:
        return []
    found = rank_agreement(both["reported"].tolist(), both["reproduced"].tolist())
    answer = "yes" if found.same_order else "no"
    return [
        Note(
            f"Order of rows as in the paper: {answer}. Rank agreement over {len(both)} rows: "
            f"Kendall τ {_rank(found.tau)}, Spearman ρ {_rank(found.rho)}."
        )
    ]


def _rank(value: float) -> str:
    return "undefined (all equal)" if math.isnan(value) else number(value, "+.2f")


def _missing_notes(spec: TableSpec, results_folder: Path) -> list[Note]:
    notes = []
    for row in spec.rows:
        absent = [path for path in metrics_paths(spec, row, results_folder) if not path.is_file()]
        if absent:
            count = f"{len(absent)} of {spec.repeats} runs" if spec.repeats > 1 else "run"
            paths = " ".join(shlex.quote(str(path)) for path in absent)
            notes.append(Note(f"{row.label}: {count} missing. Make it:", f"snakemake --cores all {paths}"))
    return notes
