"""Tables of masks that a judge has compared: how much of the object each variant has, misses and spills over."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from seediff.errors import SeediffError
from seediff.files.sealed import read_json
from seediff.segmenter.metrics import miou
from seediff.workflow.layout import JUDGED, METRICS, below
from seediff.workflow.reporting.findings import Findings, standing
from seediff.workflow.reporting.formats import Heading, Note, TextGrid, number
from seediff.workflow.reporting.measurements import read_metrics
from seediff.workflow.reporting.paired import Difference, difference_of_items, leader
from seediff.workflow.reporting.sentences import sentence
from seediff.workflow.reporting.specs import JudgedRow, JudgedTable

Share = Annotated[float, Field(ge=0, le=1)]


class _Stratum(BaseModel):
    iou: Annotated[list[Share], Field(min_length=1)]
    missed: Share
    spilled: Annotated[float, Field(ge=0)]
    best_threshold: Share
    best_iou: Annotated[list[Share], Field(min_length=1)]


Strata = Annotated[dict[str, _Stratum], Field(min_length=1)]


class _Judged(BaseModel):
    rows: Annotated[dict[str, Strata], Field(min_length=1)]


def read_judged(path: Path) -> dict[str, Strata]:
    """Row -> stratum -> numbers of ``judged/<judge>.json``; ``SeediffError`` naming it unless it is whole."""
    if not path.is_file():
        raise SeediffError(f"There is no {path}.\nMake it: snakemake --cores all {shlex.quote(str(path))}")
    try:
        return _Judged.model_validate(read_json(path, "The judge's file"), strict=True).rows
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise SeediffError(
            f"The judge's file {path} is broken (at {where!r}).\nDelete it and run the workflow again."
        ) from None


def judged_rows(spec: JudgedTable, results_folder: Path) -> dict[str, Strata]:
    """The strata of every row of the table, by its label; all rows were judged by the same masks' objects.

    Raises ``SeediffError`` naming the file that lacks a row, or is broken.
    """
    path = below(results_folder, JUDGED, judge=spec.judge)
    judged = read_judged(path)
    for row in spec.rows:
        if (key := _key(row)) not in judged:
            raise SeediffError(f"{path} has no masks of {key!r}.\nDelete it and run the workflow again.")
    if (
        len({tuple((name, len(of.iou), len(of.best_iou)) for name, of in strata.items()) for strata in judged.values()})
        > 1
    ):
        raise SeediffError(f"The rows of {path} are of other objects.\nDelete it and run the workflow again.")
    return {row.label: judged[_key(row)] for row in spec.rows}


def _key(row: JudgedRow) -> str:
    return f"{row.variant}-{row.refinement}"


def judged_frame(spec: JudgedTable, rows: Mapping[str, Strata], source: Path) -> pd.DataFrame:
    """A line for each row and stratum: percent, with standard errors over objects."""
    return pd.DataFrame(line for row in spec.rows for line in _lines(row, rows[row.label])).assign(source=str(source))


def _lines(row: JudgedRow, strata: Strata) -> Iterator[dict[str, Any]]:
    for name, stratum in strata.items():
        yield {
            "label": row.label,
            "variant": row.variant,
            "refinement": row.refinement,
            "stratum": name,
            "iou": _percent(stratum.iou),
            "standard_error": _error(stratum.iou),
            "missed": round(100 * stratum.missed, 1),
            "spilled": round(100 * stratum.spilled, 1),
            "best_iou": _percent(stratum.best_iou),
            "best_standard_error": _error(stratum.best_iou),
            "best_threshold": stratum.best_threshold,
            "n": len(stratum.iou),
        }


def _percent(shares: list[float]) -> float:
    return round(100 * float(np.mean(shares)), 1)


def _error(shares: list[float]) -> float:
    return round(100 * float(np.std(shares, ddof=1)) / math.sqrt(len(shares)), 1) if len(shares) > 1 else 0.0


def by_label(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    return frame.groupby("label", sort=False)


def accuracy(spec: JudgedTable, results_folder: Path) -> float | None:
    """The mean IoU in percent of a judge that is a segmenter; none for exact annotation."""
    if spec.reference is None:
        return None
    return 100 * miou(read_metrics(below(results_folder, METRICS, **spec.reference)).matrix)


def judged_findings(spec: JudgedTable, rows: Mapping[str, Strata]) -> Findings:
    """Which row is ahead in the first stratum."""
    stratum = next(iter(rows[spec.rows[0].label]))
    mean, difference = _measure(rows, "iou", stratum)
    ordered = sorted(rows, key=mean, reverse=True)
    standings = (standing("", ordered, str, difference),) if difference(ordered[0], ordered[-1]) and ordered[1:] else ()
    findings = Findings(spec.name, spec.title, spec.question, f"IoU ({stratum})", repeats=0, standings=standings)
    return replace(findings, shows=sentence(findings))


def _measure(
    rows: Mapping[str, Strata], key: str, stratum: str
) -> tuple[Callable[[str], float], Callable[[str, str], Difference | None]]:
    """The mean of a row in percent, and the paired difference of two, over the objects of a stratum."""
    shares = {label: [100 * share for share in getattr(strata[stratum], key)] for label, strata in rows.items()}
    return (
        lambda label: float(np.mean(shares[label])),
        lambda first, second: difference_of_items(shares[first], shares[second]),
    )


def judged_grid(
    spec: JudgedTable, frame: pd.DataFrame, rows: Mapping[str, Strata], findings: Findings, judge_iou: float | None
) -> TextGrid:
    """IoU in every stratum; what is missed, spilled, and reached at the best threshold, in the first.

    An IoU is bold that is ahead of all others beyond the interval of their paired difference, over objects.
    """
    strata = list(dict.fromkeys(frame["stratum"]))
    headings = [Heading("", numeric=False), *(Heading("IoU", f"{name}, at β") for name in strata)]
    headings += [Heading("missed", strata[0]), Heading("spilled", strata[0]), Heading("IoU", "at its best threshold")]
    columns = [*(("iou", name) for name in strata), *((key, strata[0]) for key in ("missed", "spilled", "best_iou"))]
    lines = {label: rows.set_index("stratum") for label, rows in by_label(frame)}
    cells = [(label, *(_cell(rows.loc[name], key) for key, name in columns)) for label, rows in lines.items()]
    bold = set()
    for place, (key, name) in enumerate(columns, start=1):
        if key in ("iou", "best_iou") and (ahead := leader([*rows], *_measure(rows, key, name))):
            bold.add(([*rows].index(ahead), place))
    caption, notes = _caption(spec, frame, strata), _notes(judge_iou)
    return TextGrid(
        spec.name, spec.title, caption, tuple(headings), tuple(cells), frozenset(bold), notes, shows=findings.shows
    )


def _cell(line: pd.Series[Any], key: str) -> str:
    if key == "iou":
        return f"{number(line['iou'])} ({number(line['standard_error'])})"
    if key == "best_iou":
        found = f"{number(line['best_iou'])} ({number(line['best_standard_error'])})"
        return f"{found} at {number(line['best_threshold'], '.2f')}"
    return number(line[key])


def _caption(spec: JudgedTable, frame: pd.DataFrame, strata: list[str]) -> str:
    counts = ", ".join(f"{frame[frame['stratum'] == name]['n'].iloc[0]} masks ({name})" for name in strata)
    return f"{spec.question} {spec.caption} In percent, with standard errors over {counts}.".strip()


def _notes(judge_iou: float | None) -> tuple[Note, ...]:
    texts = (
        "Missed: the part of the object outside its mask. Spilled: what a mask covers beside it, by its area.",
        "The best threshold is chosen on the first half of the images; its IoU is that of the second half.",
    )
    notes = [Note(text, shared=True) for text in texts]
    if judge_iou is not None:
        notes.append(Note(f"The judge is a segmenter with a mean IoU of {number(judge_iou)} on annotated images."))
    return tuple(notes)
