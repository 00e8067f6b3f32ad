"""Tables: the numbers of a study beside those the paper reports, row by row, as csv, md, tex, html, and json for
programs that compare runs; and what they show (``findings``) and their cells, as json, for the report.

Every number is derived from the files under ``results/<study>``. A run that does not exist yet is a dash, and the
command that makes it stands below the table.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from seediff.files.sealed import write_json, write_page, write_text
from seediff.files.spreadsheets import escaped
from seediff.names import visible
from seediff.workflow.layout import JUDGED, below
from seediff.workflow.reporting.comparisons import compare_rows
from seediff.workflow.reporting.findings import as_content
from seediff.workflow.reporting.formats import html, latex, markdown
from seediff.workflow.reporting.judged import (
    accuracy,
    by_label,
    judged_findings,
    judged_frame,
    judged_grid,
    judged_rows,
)
from seediff.workflow.reporting.layouts import segmentation_grid
from seediff.workflow.reporting.measurements import measure_rows, segmentation_frame
from seediff.workflow.reporting.specs import JudgedTable, SegmenterTable
from seediff.workflow.reporting.stored import as_json
from seediff.workflow.reporting.verdicts import find


def write_table(spec: SegmenterTable | JudgedTable, results_folder: Path, out_stem: Path) -> None:
    """Write ``<out_stem>.csv``, ``.md``, ``.tex``, ``.html``, ``.json``, ``.verdicts.json`` and
    ``.grid.json``, each whole or not at all.

    ``results_folder`` is ``results/<study>``; paths in the csv and in commands begin with it, as it is given.
    """
    if isinstance(spec, JudgedTable):
        judged = judged_rows(spec, results_folder)
        frame = judged_frame(spec, judged, below(results_folder, JUDGED, judge=spec.judge))
        findings = judged_findings(spec, judged)
        grid = judged_grid(spec, frame, judged, findings, accuracy(spec, results_folder))
        numbers = {label: dict(zip(rows["stratum"], rows["iou"], strict=True)) for label, rows in by_label(frame)}
    else:
        rows = measure_rows(spec, results_folder)
        comparisons = compare_rows(spec, rows)
        findings = find(spec, rows, comparisons)
        frame, grid = segmentation_frame(spec, rows), segmentation_grid(spec, rows, comparisons, findings)
        numbers = _reproduced(frame)
    texts = {
        "csv": _csv(frame),
        "tex": latex(grid),
        "json": json.dumps(numbers, indent=1) + "\n",
    }
    for suffix, text in texts.items():
        write_text(out_stem.with_name(f"{out_stem.name}.{suffix}"), text)
    for suffix, text in {"md": markdown(grid), "html": html(grid)}.items():
        write_page(out_stem.with_name(f"{out_stem.name}.{suffix}"), text)
    write_json(out_stem.with_name(f"{out_stem.name}.verdicts.json"), as_content(findings))
    write_json(out_stem.with_name(f"{out_stem.name}.grid.json"), as_json(grid))


def _csv(frame: pd.DataFrame) -> str:
    """Safe to open in a terminal or a spreadsheet: text can control neither. Numbers are unchanged."""
    texts = frame.map(lambda cell: escaped(visible(cell)) if isinstance(cell, str) else cell)
    return texts.to_csv(index=False, lineterminator="\n")


def _reproduced(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Row label -> column -> the reproduced number, without those that are missing."""
    known = frame.dropna(subset=["reproduced"]).groupby("label", sort=False)
    return {label: dict(zip(rows["column"], rows["reproduced"], strict=True)) for label, rows in known}
