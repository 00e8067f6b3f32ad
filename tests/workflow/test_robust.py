"""A robust recipe in the workflow: masks of its own, two networks in one model, and no finished job run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seediff.segmenter.evaluate import load_segmenter
from seediff.segmenter.robust.networks import CoTrained
from seediff.workflow.jobs import study_jobs
from seediff.workflow.study import load_study
from tests.conftest import Workspace, make_workspace
from tests.workflow.test_jobs import declared, files

SMOKE = "config/studies/smoke.yaml"
RECIPE = "  careful: {image_set: basic, variant: mixed, refinement: raw, per_class: 2, robust: {share: 0.4}}"
ROW = "      - {label: careful, recipe: careful, segmenter: resnet, benchmark: voc}"
STREET = '      - {label: "exact masks, street"'


def with_robust_recipe(workspace: Workspace) -> Workspace:
    workspace.edit(SMOKE, "recipes:\n", f"recipes:\n{RECIPE}\n")
    workspace.edit(SMOKE, STREET, f"{ROW}\n{STREET}")
    return workspace


def test_jobs_are_those_of_the_rules(tmp_path: Path) -> None:
    workspace = with_robust_recipe(make_workspace(tmp_path))
    known = {files(job) for job in study_jobs(load_study(workspace.folder / SMOKE))}
    assert known == declared(workspace, "smoke")
    assert any("masks/basic/mixed-raw-rated/0000.tar" in output for one in known for output in one[2])


@pytest.mark.slow
def test_a_robust_recipe_runs_its_own_chain_alone(copy_of_finished: Workspace) -> None:
    workspace = with_robust_recipe(copy_of_finished)
    jobs = dict.fromkeys(["refine", "assemble", "train", "evaluate", "tabulate", "report", "all"], 1)
    assert workspace.planned() == jobs
    run = workspace.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    results = workspace.folder / "results/smoke"
    assert isinstance(load_segmenter(results / "models/careful/resnet/0").model, CoTrained)
    metrics = json.loads((results / "metrics/careful/resnet/0/voc.json").read_text())
    assert len(metrics["confusion"]) == 3
    assert workspace.planned() == {}
