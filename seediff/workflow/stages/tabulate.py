"""Stage: one table, as csv, md, tex, html and json, what it shows, and its cells for the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from seediff.workflow import layout, plan
from seediff.workflow.layout import TABLE_SUFFIXES, fill
from seediff.workflow.reporting.specs import JudgedRow, JudgedTable, SegmenterTable, TableColumn, TableRow
from seediff.workflow.stage import Files, Work
from seediff.workflow.study import Study

VERSION = 8
JOB, STATE, TIMED, GPUS = "{table}", "", False, 0


def _kind(content: Any) -> str:
    is_judged = "judge" in content if isinstance(content, dict) else isinstance(content, JudgedTable)
    return "JudgedTable" if is_judged else "SegmenterTable"


_SegmenterTable = Annotated[SegmenterTable, Tag("SegmenterTable")]
_JudgedTable = Annotated[JudgedTable, Tag("JudgedTable")]
Spec = Annotated[_JudgedTable | _SegmenterTable, Discriminator(_kind)]


def spec(study: Study, table: str) -> JudgedTable | SegmenterTable:
    if table in study.mask_tables:
        return _judged(study, table)
    section, columns = study.segmenter_tables[table], plan.table_columns(study, table)
    first = next(iter(columns))
    return SegmenterTable(
        name=table,
        study=study.name,
        title=section.title,
        question=section.question or "",
        caption=section.caption,
        embedded=study.embedded,
        reported_on=section.reported_on or study.reported_on,
        repeats=plan.repeats_of(study, section),
        rng_seed=study.rng_seed,
        columns=tuple(TableColumn(heading, column.kind, column.of) for heading, column in columns.items()),
        rows=tuple(
            TableRow(**{**dict(row), "block": row.block or "", "paper": plan.paper_numbers(row, first)})
            for row in section.rows
        ),
    )


def _judged(study: Study, table: str) -> JudgedTable:
    section = study.mask_tables[table]
    judge = study.references.get(section.judge)
    return JudgedTable(
        name=table,
        study=study.name,
        title=section.title,
        question=section.question or "",
        caption=section.caption,
        embedded=study.embedded,
        judge=section.judge,
        reference=plan.run_of_reference(judge).wildcards if judge else None,
        rows=tuple(JudgedRow(**dict(row)) for row in section.rows),
    )


def inputs(study: Study, table: str) -> Files:
    """The measurements that a table is made from."""
    if table in study.mask_tables:
        judge = study.mask_tables[table].judge
        tested = [plan.run_of_reference(study.references[judge])] if judge in study.references else []
        metrics = [fill(layout.METRICS, study=study.name, **run.wildcards) for run in tested]
        return {"measurements": [fill(layout.JUDGED, study=study.name, judge=judge), *metrics]}
    section = study.segmenter_tables[table]
    runs = (run for row in section.rows for run in plan.runs_of(study, section, row))
    read = (layout.METRICS, layout.IMAGE_METRICS)
    return {"measurements": [fill(file, study=study.name, **run.wildcards) for run in runs for file in read]}


def files(study: Study, table: str) -> list[str]:
    return [fill(layout.TABLE, study=study.name, table=table, suffix=suffix) for suffix in TABLE_SUFFIXES]


def outputs(study: Study) -> Files:
    return {"table": files(study, "{table}")}


def work(study: Study) -> Iterator[Work]:
    yield from (Work({"table": name}) for name in study.tables)


def run(spec: Spec, results: Path, output: Path) -> None:
    """Write one table as csv, md, tex, html and json, and what it shows and its cells as json."""
    from seediff.workflow.reporting.tables import write_table

    write_table(spec, results, output)
