"""The smoke study, run from nothing: every stage leaves what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from seediff.workflow.layout import TABLE_SUFFIXES
from seediff.workflow.reporting.findings import read_findings
from tests.conftest import Workspace


@pytest.fixture
def results(finished: Workspace) -> Path:
    return finished.folder / "results" / "smoke"


def test_tables_stand_in_seven_forms(results: Path) -> None:
    names = {path.name for path in (results / "tables").glob("[!.]*")}
    stems = ("table2", "domains", "scenes", "drawn")
    assert names == {f"{stem}.{suffix}" for stem in stems for suffix in TABLE_SUFFIXES}
    assert len(names) == 4 * 7


def test_every_reproduced_number_follows_from_its_metrics_files(results: Path, finished: Workspace) -> None:
    table = pd.read_csv(results / "tables" / "table2.csv")
    assert len(table) == 2 * 3
    for _, row in table.iterrows():
        metrics = json.loads((finished.folder / row["source"]).read_text())
        confusion = pd.DataFrame(metrics["confusion"])
        hits = pd.Series([confusion.iloc[k, k] for k in range(len(confusion))])
        iou = hits / (confusion.sum(axis=0) + confusion.sum(axis=1) - hits)
        mean = iou[1:].mean() if row["column"] == "foreground mIoU" else iou.mean()
        assert row["reproduced"] == pytest.approx(100 * mean, abs=0.06)


def test_every_table_says_what_it_shows(results: Path) -> None:
    for path in (results / "tables").glob("*.md"):
        found = read_findings(path.with_suffix(".verdicts.json"))
        assert f"**Shows:** By {found.column}, " in path.read_text().replace("\\", "")
    said = read_findings(results / "tables" / "table2.verdicts.json")
    assert [pair.verdict for pair in said.pairs] == ["undecided", "undecided"] and "trained once" in said.shows


def test_the_report_needs_no_other_file(results: Path) -> None:
    page = (results / "report.html").read_text()
    assert "<table" in page and "data:image/png" in page
    assert 'src="http' not in page and "<script" not in page


def test_nothing_half_written_is_left(results: Path) -> None:
    assert not list(results.rglob("*.partial"))
    assert not list((results / "checkpoints").rglob("*.safetensors"))


def test_tables_are_printed_at_the_end(copy_of_finished: Workspace) -> None:
    again = copy_of_finished.snakemake("--forcerun", "report")
    assert again.returncode == 0
    assert "Two variants" in again.stdout + again.stderr
    assert "results/smoke/report.html" in again.stdout + again.stderr
