"""What stands below a table of segmenters: how to read it, whether its order is the paper's, what is missing."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

import numpy as np

from seediff.datasets.flaws import counted
from seediff.workflow.reporting.formats import Note, number
from seediff.workflow.reporting.measurements import Measured
from seediff.workflow.reporting.ranking import rank_agreement
from seediff.workflow.reporting.specs import TableSpec


def notes(spec: TableSpec, rows: Sequence[Measured]) -> tuple[Note, ...]:
    read = (*_world_notes(spec), *_reading_notes(spec, rows), *_order_notes(spec, rows))
    return (*read, *_flaw_notes(rows), *_missing_notes(rows))


def _world_notes(spec: TableSpec) -> list[Note]:
    if not spec.embedded:
        return []
    return [
        Note(
            "The numbers of the paper and of this study come from different worlds, photographs and embedded "
            "pictograms: their values are not to be compared, so no difference is given. What can be compared is the "
            "order of rows."
        ),
        Note(
            "The coarse cross-attention of the embedded diffusion model was partly supervised in its training "
            "(docs/embedded-model.md)."
        ),
    ]


READINGS_AGREE_WITHIN = 1.0


def _reading_notes(spec: TableSpec, rows: Sequence[Measured]) -> list[Note]:
    """Which of its rows the paper averaged over the classes it lists, where it calls the number a mean over all."""
    listed = [column.heading for column in spec.columns if column.kind == "iou"]
    over_all = next((column.heading for column in spec.columns if column.kind == "mean" and not column.of), None)
    whole = [one.row for one in rows if {*listed, over_all} <= one.row.paper.keys()]
    if spec.embedded or len(listed) < 2 or not whole:
        return []
    found = []
    for row in whole:
        mean, printed = float(np.mean([row.paper[heading] for heading in listed])), row.paper[over_all or ""]
        matches = abs(mean - printed) <= READINGS_AGREE_WITHIN
        answer = "the mean over the listed classes" if matches else "not their mean, so one over all classes"
        found.append(
            Note(f"{row.label}: the paper prints {printed:.1f}; its listed classes average {mean:.1f}: {answer}.")
        )
    return found


def _order_notes(spec: TableSpec, rows: Sequence[Measured]) -> list[Note]:
    cells = [one.cells[spec.main.heading] for one in rows]
    both = [cell for cell in cells if not math.isnan(cell.reported) and not math.isnan(cell.reproduced)]
    if len(both) < 3 or len({cell.reported for cell in both}) < 2:
        return []
    found = rank_agreement([cell.reported for cell in both], [cell.reproduced for cell in both])
    answer = "yes" if found.same_order else "no"
    return [
        Note(
            f"Order of rows by {spec.main.heading} as in the paper: {answer}. Rank agreement over {len(both)} rows: "
            f"Kendall τ {_rank(found.tau)}, Spearman ρ {_rank(found.rho)}."
        )
    ]


def _rank(value: float) -> str:
    return "undefined (all equal)" if math.isnan(value) else number(value, "+.2f")


def _flaw_notes(rows: Sequence[Measured]) -> list[Note]:
    return [
        Note(f"{one.row.label}: the images it learnt from have flaws: {counted(one.flaws)}.")
        for one in rows
        if one.flaws
    ]


def _missing_notes(rows: Sequence[Measured]) -> list[Note]:
    found = []
    for one in rows:
        if one.absent:
            total = len(one.found) + len(one.absent)
            count = f"{len(one.absent)} of {total} runs" if total > 1 else "run"
            paths = " ".join(shlex.quote(str(path)) for path in one.absent)
            found.append(Note(f"{one.row.label}: {count} missing. Make it:", f"snakemake --cores all {paths}"))
    return found
