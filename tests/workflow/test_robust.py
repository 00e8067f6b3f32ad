"""A robust recipe in the workflow: its own masks, two networks in one model, and no finished job run again."""

from __future__ import annotations

import json

import pytest

from seediff.segmenter.cotraining import CoTrained
from seediff.segmenter.evaluate import load_segmenter
from tests.conftest import Workspace

SMOKE = "config/studies/smoke.yaml"
RECIPE = "  careful: {image_set: basic, variant: mixed, refinement: raw, per_class: 2, robust: {share: 0.4}}"
ROW = "      - {label: careful, recipe: careful, segmenter: resnet, benchmark: voc}"
METRICS = "results/smoke/metrics/careful/resnet/0/voc.json"
STREET = '      - {label: "exact masks, street"'


def with_robust_recipe(workspace: Workspace) -> Workspace:
    workspace.edit(SMOKE, "recipes:\n", f"recipes:\n{RECIPE}\n")
    workspace.edit(SMOKE, STREET, f"{ROW}\n{STREET}")
    return workspace


@pytest.mark.slow
def test_a_robust_recipe_runs_its_own_chain_alone(copy_of_finished: Workspace) -> None:
    workspace = with_robust_recipe(copy_of_finished)
    jobs = dict.fromkeys(["refine", "assemble", "train", "evaluate", "tabulate", "predictions", "report", "all"], 1)
    assert workspace.planned() == jobs
    run = workspace.snakemake(METRICS)
    assert run.returncode == 0, run.stdout + run.stderr
    results = workspace.folder / "results/smoke"
    assert isinstance(load_segmenter(results / "models/careful/resnet/0").model, CoTrained)
    metrics = json.loads((workspace.folder / METRICS).read_text())
    assert len(metrics["confusion"]) == 3
    assert workspace.planned() == dict.fromkeys(["tabulate", "predictions", "report", "all"], 1)
