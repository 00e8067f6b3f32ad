"""The quality filter in the workflow: what a filtered recipe runs, and what an edited filter runs again."""

from __future__ import annotations

import csv
import json

import pytest

from seediff.jobs import study_jobs
from seediff.study import load_study
from tests.conftest import Workspace, make_workspace
from tests.workflow.test_jobs import declared, files

SMOKE = "config/studies/smoke.yaml"
CAA = "      - {label: CAA, recipe: caa, segmenter: swin, benchmark: voc, paper: 68.8}"
TABLE = "results/smoke/filters/basic/caa-raw/good.csv"
SETS = "results/smoke/training_sets"


def ask_for_the_filter(workspace: Workspace) -> None:
    """A table row of the recipe that is filtered."""
    row = "      - {label: filtered, recipe: filtered, segmenter: swin, benchmark: voc}"
    workspace.edit(SMOKE, CAA, f"{CAA}\n{row}")


def test_jobs_are_those_of_the_rules(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Also where the masks to compare with are made for the filter alone."""
    workspace = make_workspace(tmp_path_factory.mktemp("filtered"))
    ask_for_the_filter(workspace)
    workspace.edit(SMOKE, "agreement_with: [ire, caa]", "agreement_with: [seediff, ire]")
    known = {files(job) for job in study_jobs(load_study(workspace.folder / SMOKE))}
    assert len([one for one in known if one[0] == "filter"]) == 1
    assert known == declared(workspace, "smoke")
    assert workspace.planned()["refine"] == 5


@pytest.mark.slow
def test_a_filtered_recipe(copy_of_finished: Workspace) -> None:
    ask_for_the_filter(copy_of_finished)
    new = {"filter": 1, "assemble": 1, "train": 1, "evaluate": 1, "tabulate": 1, "report": 1, "all": 1}
    assert copy_of_finished.planned() == new
    run = copy_of_finished.snakemake(f"{SETS}/filtered.json")
    assert run.returncode == 0, run.stdout + run.stderr
    with (copy_of_finished.folder / TABLE).open(newline="") as file:
        kept = sorted(row["key"] for row in csv.DictReader(file) if row["kept"] == "yes")
    listed = json.loads((copy_of_finished.folder / SETS / "filtered.json").read_text())["entries"]
    assert sorted(key for entry in listed for key in entry["keys"]) == kept
    assert len(kept) == 6  # 0.7 of three images a class, rounded up
    copy_of_finished.edit(SMOKE, "good: {keep: 0.7", "good: {keep: 0.3")
    assert copy_of_finished.planned() == new
    again = copy_of_finished.snakemake(f"{SETS}/filtered.json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads((copy_of_finished.folder / SETS / "filtered.json").read_text())["number"] == 2


@pytest.mark.slow
def test_a_filter_that_keeps_nothing_ends_in_a_few_lines(copy_of_finished: Workspace) -> None:
    copy_of_finished.edit(SMOKE, "area: [0, 1]", "area: [0, 0]")
    run = copy_of_finished.snakemake(TABLE)
    log = (copy_of_finished.folder / "results/smoke/logs/filter/basic/caa-raw/good.log").read_text()
    assert run.returncode == 1 and not (copy_of_finished.folder / TABLE).exists()
    said = [line for line in log.splitlines() if "error: " in line]
    assert said and "keeps none of the 3 images of 'car': area leaves out 3" in said[0]
