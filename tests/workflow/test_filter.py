"""The quality filter in the workflow: what a filtered recipe runs, and what an edited filter runs again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Sharing, Workspace, make_workspace
from tests.robustness.jobs import planned_jobs
from tests.workflow.test_declared_inputs import run_alone

SMOKE = "config/studies/smoke.yaml"
CAA = "      - {label: CAA, recipe: caa, segmenter: swin, benchmark: voc, paper: 68.8}"
TABLE = "results/smoke/filters/basic/caa-raw/good.csv"
FILTERED, UNFILTERED = (f"results/smoke/training_sets/{recipe}.json" for recipe in ("filtered", "caa"))
MODEL = "results/smoke/models/filtered/swin/0/model.safetensors"


@pytest.fixture(scope="session")
def trained(finished: Workspace, shared: Sharing) -> Workspace:
    """A finished smoke study with a model of the filtered recipe. Do not change it: use ``copied``."""

    def train(folder: Path) -> None:
        shutil.copytree(finished.folder, folder, symlinks=True, dirs_exist_ok=True)
        run = Workspace(folder).snakemake(MODEL)
        assert run.returncode == 0, run.stdout + run.stderr

    return Workspace(shared("trained", train))


@pytest.fixture
def copied(trained: Workspace, tmp_path: Path) -> Workspace:
    folder = tmp_path / "copy"
    shutil.copytree(trained.folder, folder, symlinks=True)
    return Workspace(folder)


def kept(workspace: Workspace) -> list[str]:
    with (workspace.folder / TABLE).open(newline="") as file:
        return sorted(row["key"] for row in csv.DictReader(file) if row["kept"] == "yes")


def listed(workspace: Workspace, training_set: str) -> list[str]:
    entries = json.loads((workspace.folder / training_set).read_text())["entries"]
    return sorted(key for entry in entries for key in entry["keys"])


def test_masks_to_compare_with_are_made_for_the_filter_alone(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    row = "      - {label: filtered, recipe: filtered, segmenter: swin, benchmark: voc}"
    workspace.edit(SMOKE, CAA, f"{CAA}\n{row}")
    workspace.edit(SMOKE, "agreement_with: [ire, caa]", "agreement_with: [seediff, ire]")
    planned = workspace.planned()
    assert (planned["filter"], planned["refine"]) == (1, 5)


@pytest.mark.slow
def test_a_training_set_lists_what_its_filter_keeps(trained: Workspace) -> None:
    assert len(kept(trained)) == 6  # 0.7 of three images a class, rounded up
    assert listed(trained, FILTERED) == kept(trained)
    assert trained.planned(MODEL, UNFILTERED) == {}


@pytest.mark.slow
@pytest.mark.parametrize("output", [TABLE, FILTERED])
def test_its_jobs_need_their_declared_inputs_alone(
    workspace: Workspace, trained: Workspace, tmp_path: Path, output: str
) -> None:
    (job,) = (job for job in planned_jobs(workspace, output) if output in job.outputs)
    run_alone(job, trained, tmp_path)


@pytest.mark.slow
def test_an_edited_filter_reruns_what_learns_from_it_alone(copied: Workspace) -> None:
    copied.edit(SMOKE, "good: {keep: 0.7", "good: {keep: 0.3")
    assert copied.planned(MODEL, UNFILTERED) == {"filter": 1, "assemble": 1, "train": 1}
    run = copied.snakemake(FILTERED)
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(kept(copied)) == 2 and listed(copied, FILTERED) == kept(copied)
    assert len(listed(copied, UNFILTERED)) == 6


@pytest.mark.slow
def test_a_filter_that_keeps_nothing_ends_in_a_few_lines(copied: Workspace) -> None:
    copied.edit(SMOKE, "area: [0, 1]", "area: [0, 0]")
    run = copied.snakemake(TABLE)
    log = (copied.folder / "results/smoke/logs/filter/basic/caa-raw/good.log").read_text()
    assert run.returncode == 1 and not (copied.folder / TABLE).exists()
    assert "error: The filter keeps none of the 3 images of 'car': area leaves out 3.\nLoosen its limits." in log
