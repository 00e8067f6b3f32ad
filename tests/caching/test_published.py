"""Everything that a run leaves is published, and exists; what README.md and the tables say is what was published."""

from __future__ import annotations

import hashlib
import json
from itertools import takewhile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from seediff.workflow.graph import study_jobs
from seediff.workflow.records import record_file
from seediff.workflow.study import load_study
from tests.conftest import ROOT

STORE = ROOT / "dvc-store" / "files" / "md5"
PLAIN = ROOT / "results/mini/published"


def published_folders() -> list[str]:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return [path.replace("${study}", "mini") for stage in stages.values() for out in stage["outs"] for path in out]


DERIVED = ("data/mini/", "results/mini/masks/", "results/mini/training_sets/", "results/mini/filters/")
"""What can be made again in minutes from published files."""


def test_every_file_of_a_job_lies_in_an_artifact_or_is_derived() -> None:
    folders = published_folders()
    jobs = study_jobs(load_study(ROOT / "config/studies/mini.yaml"))
    files = [file for job in jobs for file in (*job.outputs, str(record_file(Path(job.outputs[0]))))]
    held = [*DERIVED, *(f"{folder}/" for folder in folders)]
    assert [file for file in files if file not in folders and not file.startswith((*held,))] == []
    assert [folder for folder in folders if not any(f"{file}/".startswith(f"{folder}/") for file in files)] == []


def objects() -> list[str]:
    """The checksum of every file and folder in ``dvc.lock``."""
    if not (ROOT / "dvc.lock").exists():
        pytest.skip("nothing is published: make publish")
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"].values()
    outputs = [out["md5"] for stage in stages for out in stage["outs"]]
    members = [json.loads(stored(md5).read_bytes()) for md5 in outputs if md5.endswith(".dir")]
    return [*outputs, *(member["md5"] for folder in members for member in folder)]


def stored(md5: str) -> Path:
    return STORE / md5[:2] / md5[2:]


def test_the_store_holds_the_very_bytes() -> None:
    wrong = [
        md5
        for md5 in objects()
        if not stored(md5).exists() or hashlib.md5(stored(md5).read_bytes()).hexdigest() != md5.removesuffix(".dir")
    ]
    assert wrong == []


def test_the_store_is_no_larger_than_it_may_be() -> None:
    wanted = {stored(md5) for md5 in objects()}
    there = {path for path in STORE.rglob("*") if path.is_file()}
    assert there == wanted
    assert sum(path.stat().st_size for path in there) <= 20e6


def test_readers_without_dvc_find_the_same_tables_and_report() -> None:
    published = objects()
    tables = [path for path in PLAIN.iterdir() if path.suffix == ".csv"]
    assert {path.stem for path in tables} == {*load_study(ROOT / "config/studies/mini.yaml").tables}
    for path in (*tables, *PLAIN.glob("*.verdicts.json"), *PLAIN.glob("*.png"), PLAIN / "report.html"):
        assert hashlib.md5(path.read_bytes()).hexdigest() in published
    pages = [stored(md5).read_text() for md5 in published if not md5.endswith(".dir") and _is_page(stored(md5))]
    assert sorted((PLAIN / "README.md").read_text().split("### ")) == sorted("".join(pages).split("### "))


def _is_page(path: Path) -> bool:
    return path.read_bytes()[:4] == b"### "


# --- what is said ----------------------------------------------------------------------------------------------------


def plain(name: str) -> Path:
    if not (path := PLAIN / name).exists():
        pytest.skip("nothing is published: make publish")
    return path


def table_lines(page: str, heading: str) -> list[str]:
    """The lines of the first table below a heading that begins with these words."""
    below = page.partition(f"### {heading}")[2].splitlines()
    first = next(place for place, line in enumerate(below) if line.startswith("|"))
    return list(takewhile(lambda line: line.startswith("|"), below[first:]))


def test_readme_shows_a_published_table_and_picture() -> None:
    page, readme = plain("README.md").read_text(), (ROOT / "README.md").read_text()
    assert table_lines(readme, "Table 5") == table_lines(page, "Table 5")
    assert "](results/mini/published/table5.png)" in readme and plain("table5.png").exists()


def test_the_table_of_convergence_says_what_its_numbers_say() -> None:
    found = json.loads(plain("convergence.verdicts.json").read_text())
    numbers = pd.read_csv(plain("convergence.csv")).set_index(["label", "column"])
    for convergence in found["convergences"]:
        shorter, longer = (numbers.loc[convergence[key], found["column"]] for key in ("row", "longer"))
        deviation = ((shorter["std"] ** 2 + longer["std"] ** 2) / 2) ** 0.5
        assert convergence["change"] == pytest.approx(longer["reproduced"] - shorter["reproduced"], abs=0.11)
        assert convergence["deviation"] == pytest.approx(deviation, abs=0.06)
        reached = abs(convergence["change"]) < convergence["deviation"]
        assert (f"{convergence['row']} has not converged" in found["shows"]) != reached


def test_the_table_of_convergence_has_every_segmenter() -> None:
    study = load_study(ROOT / "config/studies/mini.yaml")
    rows = {row.label: row for row in study.segmenter_tables["convergence"].rows}
    longer = {row.segmenter: rows[row.longer_than].segmenter for row in rows.values() if row.longer_than}
    assert {*longer.values()} == {*study.segmenters} - {*longer}


def test_a_table_of_the_paper_has_a_verdict_for_each_pair_that_the_paper_orders() -> None:
    for name in ("table2", "table4", "table5", "tableS4"):
        verdicts = json.loads(plain(f"{name}.verdicts.json").read_text())
        assert not verdicts["incomplete"] and verdicts["repeats"] == 3
        assert any(pair["verdict"] for pair in verdicts["pairs"])
