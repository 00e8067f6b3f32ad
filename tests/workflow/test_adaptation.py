"""The workflow with an adaptation: which jobs there are, what they read, and what an edit runs again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seediff.errors import SeediffError
from seediff.workflow.graph import study_jobs
from seediff.workflow.study import load_study
from tests.conftest import ROOT, Workspace, make_workspace
from tests.robustness.jobs import planned_jobs
from tests.stages import read_spec, spec_of
from tests.workflow.test_declared_inputs import run_alone

SMOKE = "config/studies/smoke.yaml"
SETTINGS = "prompts: [a photo of city], iterations: 4, batch_size: 2, target_modules: [to_v], checkpoint_every: 2"
ADAPTER = "results/smoke/adapters/street/pytorch_lora_weights.safetensors"
DRAWN = "results/smoke/images/far/car/0000.tar"


def adapted(folder: Path, target: str = "benchmark: street") -> Workspace:
    """The smoke study with one more image set, drawn by the adapted model, and everything made from it."""
    workspace = make_workspace(folder)
    for section, more in {
        "prompt_sets": "  far: {per_class: 1, classes: [car]}",
        "image_sets": "  far: {prompt_set: far, adaptation: street, variants: [caa], shard_size: 1}",
        "passes": "  far_later: {image_set: far, variants: [ire]}",
        "recipes": "  far: {image_set: far, variant: caa, refinement: raw}\n"
        "  far_later: {image_set: far, variant: ire, refinement: raw}",
    }.items():
        workspace.edit(SMOKE, f"\n{section}:\n", f"\n{section}:\n{more}\n")
    workspace.edit(SMOKE, "\npasses:\n", f"\nadaptations:\n  street: {{{target}, {SETTINGS}}}\n\npasses:\n")
    row = "      - {label: SeeDiff, recipe: seediff, segmenter: swin, benchmark: voc, paper: 79.6}\n"
    new = "      - {label: %s, recipe: %s, segmenter: swin, benchmark: voc}\n"
    workspace.edit(SMOKE, row, row + new % ("adapted", "far") + new % ("later", "far_later"))
    return workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return adapted(tmp_path / "workspace")


def test_what_the_adapted_model_draws_needs_its_adapter(workspace: Workspace) -> None:
    jobs = study_jobs(load_study(workspace.folder / SMOKE))
    readers = {job.title for job in jobs if ADAPTER in job.inputs}
    assert readers >= {"synthesize far/car/0000", "replay far_later/car/0000"}
    assert not any("basic/" in title for title in readers)


def test_strips_are_of_the_classes_that_the_first_image_set_shows(workspace: Workspace) -> None:
    study = load_study(workspace.folder / SMOKE)
    (job,) = (job for job in study_jobs(study) if job.stage == "strips")
    assert list(study.classes) == ["cat", "car"] and spec_of("strips", study)["prompts"]["classes"] == ["car"]
    assert job.outputs == ("results/smoke/strips/car.png",) and spec_of("report", study)["strips"] == ["car"]


@pytest.mark.slow
def test_an_adapted_image_set_is_drawn_with_its_own_adapter_alone(workspace: Workspace, tmp_path: Path) -> None:
    run = workspace.snakemake(DRAWN)
    assert run.returncode == 0, run.stdout + run.stderr
    log = (workspace.folder / "results/smoke/logs/adapter/street.log").read_text()
    assert "adapt: iteration 4 of 4" in log and "rror" not in log
    assert workspace.planned(DRAWN) == {}
    for job in planned_jobs(adapted(tmp_path / "planned"), DRAWN):
        if job.rule in ("adapter", "synthesize"):
            run_alone(job, workspace, tmp_path / "alone" / job.rule)
    workspace.edit(SMOKE, "iterations: 4, batch_size: 2, target", "iterations: 3, batch_size: 2, target")
    assert workspace.planned(DRAWN) == {"adapter": 1, "synthesize": 1}
    workspace.edit(SMOKE, "iterations: 3, batch_size: 2, target", "iterations: 4, batch_size: 2, target")
    path = workspace.folder / ADAPTER
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert workspace.planned(ADAPTER) == {"adapter": 1}


def test_images_of_a_folder_need_no_job(tmp_path: Path) -> None:
    study = load_study(adapted(tmp_path, "folder: my/images").folder / SMOKE)
    spec = spec_of("adapter", study, "street")
    assert spec["images"] == {"folder": "my/images", "format": None, "split": None}
    assert read_spec("adapter", json.dumps(spec)) == json.loads(json.dumps(spec))
    (job,) = (job for job in study_jobs(study) if job.stage == "adapter")
    assert all(path.startswith("assets/pictograms/") for path in job.inputs)


@pytest.mark.parametrize("name", ["smoke", "mini", "paper"])
def test_a_study_without_adaptations_does_not_speak_of_them(name: str) -> None:
    study = load_study(ROOT / f"config/studies/{name}.yaml")
    if not study.adaptations:
        assert "adapt" not in json.dumps([spec_of("report", study), spec_of("synthesize", study, "basic")])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("adaptation: street", "adaptation: streets", "Did you mean 'street'?"),
        ("{benchmark: street, prompts", "{benchmark: stret, prompts", "Did you mean 'street'?"),
        ("{benchmark: street, prompts", "{prompts", "either 'benchmark'"),
        ("{benchmark: street, prompts", "{benchmark: street, split: test, prompts", "no split 'test'"),
        ("[to_v]", "[to_w]", "no module 'to_w'"),
        ("iterations: 4, batch_size: 2, target", "iteration: 4, batch_size: 2, target", "Did you mean 'iterations'?"),
    ],
)
def test_a_slip_in_an_adaptation_is_said(workspace: Workspace, old: str, new: str, message: str) -> None:
    workspace.edit(SMOKE, old, new)
    with pytest.raises(SeediffError) as error:
        load_study(workspace.folder / SMOKE)
    assert message in str(error.value)
