"""Finds what a table of segmenters shows (``findings``), from the paired differences of its rows in its main column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from seediff.workflow.reporting.comparisons import Comparisons, by_benchmark, compare_rows
from seediff.workflow.reporting.findings import Convergence, Findings, Overtaking, Pair, Standing, standing
from seediff.workflow.reporting.measurements import MeasuredRow, measure_rows
from seediff.workflow.reporting.paired import Difference
from seediff.workflow.reporting.sentences import sentence
from seediff.workflow.reporting.specs import SegmenterTable


def table_findings(spec: SegmenterTable, results_folder: Path) -> Findings:
    """What the table of a study shows, from the study's results (``results/<study>``).

    Raises ``SeediffError`` for files that are not as they were written.
    """
    rows = measure_rows(spec, results_folder)
    return find(spec, rows, compare_rows(spec, rows))


def find(spec: SegmenterTable, rows: Sequence[MeasuredRow], comparisons: Comparisons) -> Findings:
    heading = spec.main.heading
    blocks = [[*of_block] for _, of_block in groupby(rows, lambda measured: measured.row.block)]
    findings = Findings(
        table=spec.name,
        title=spec.title,
        question=spec.question,
        column=heading,
        repeats=spec.repeats,
        blocks=tuple(block[0].row.block for block in blocks),
        pairs=tuple(pair for block in blocks for pair in _pairs(block, comparisons, heading)),
        standings=tuple(standing for block in blocks for standing in _standings(block, comparisons, heading)),
        overtakings=tuple(_overtakings(blocks, comparisons, heading)),
        convergences=tuple(_convergences(rows, heading)),
        incomplete=tuple(measured.row.label for measured in rows if measured.absent),
    )
    return replace(findings, shows=sentence(findings))


def _pairs(block: Sequence[MeasuredRow], comparisons: Comparisons, heading: str) -> Iterator[Pair]:
    """Of the block's rows that have runs; quoted rows stand in nobody's way."""
    for first, second in pairwise(measured for measured in block if measured.row.run):
        difference = comparisons.difference(second, first, heading)
        if difference is not None:
            reported = second.cells[heading].reported - first.cells[heading].reported
            known = None if math.isnan(reported) else round(reported, 6)
            yield Pair(first.row.label, second.row.label, difference, known)


def _standings(block: Sequence[MeasuredRow], comparisons: Comparisons, heading: str) -> Iterator[Standing]:
    def difference(first: MeasuredRow, second: MeasuredRow) -> Difference | None:
        return comparisons.difference(first, second, heading)

    for rows in _comparable(block, comparisons, heading):
        yield standing(rows[0].row.block, rows, lambda measured: measured.row.label, difference)


def _comparable(block: Sequence[MeasuredRow], comparisons: Comparisons, heading: str) -> Iterator[list[MeasuredRow]]:
    """The block's rows that can be compared with each other, the best first; two or more at a time."""
    for rows in by_benchmark(block):
        known = [measured for measured in rows if comparisons.difference(measured, measured, heading)]
        if len(known) > 1:
            yield sorted(known, key=lambda measured: -measured.cells[heading].mean)


def _overtakings(
    blocks: Sequence[Sequence[MeasuredRow]], comparisons: Comparisons, heading: str
) -> Iterator[Overtaking]:
    """For each later block and benchmark, if its best row is ahead of all rows of the first block."""
    numbered = [[row for row in block if not math.isnan(row.cells[heading].mean)] for block in blocks]
    for block in numbered[1:]:
        for rows in by_benchmark(block):
            best = max(rows, key=lambda measured: measured.cells[heading].mean)
            others = [measured for measured in numbered[0] if measured.row.benchmark == best.row.benchmark]
            leads = [comparisons.difference(best, other, heading) for other in others]
            ahead = [lead for lead in leads if lead and lead.ahead]
            if others and len(ahead) == len(others):
                least, overtaken = min(zip(ahead, others, strict=True), key=lambda found: found[0].value)
                yield Overtaking(best.row.block, best.row.label, overtaken.row.label, least)


def _convergences(rows: Sequence[MeasuredRow], heading: str) -> Iterator[Convergence]:
    """Of every row that another is longer than, if both have all of their runs, two at least."""
    by_label = {measured.row.label: measured for measured in rows}
    for longer in rows:
        shorter = by_label.get(longer.row.longer_than or "")
        if shorter and not shorter.absent and not longer.absent:
            ours, theirs = (np.array(measured.cells[heading].runs) for measured in (shorter, longer))
            if len(ours) > 1:
                deviation = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 2)
                change = theirs.mean() - ours.mean()
                yield Convergence(shorter.row.label, longer.row.label, float(change), float(deviation))
