"""Only the very same job resumes from what a killed job left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from seediff.adaptation.settings import AdapterSettings
from seediff.datasets.training_sets import assemble_real
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.training.loop import Trainer
from seediff.versions import VERSIONS
from seediff.workflow.graph import study_jobs
from seediff.workflow.stages import STAGES
from seediff.workflow.study import load_study
from tests.conftest import ROOT
from tests.drawing import generate
from tests.stages import run_stage, spec_of

STUDY = load_study(ROOT / "config/studies/smoke.yaml")
MODEL = str(ROOT / "assets/pictograms")
ADAPTER = {"prompts": ["a photo of city"], "rank": 2, "iterations": 4, "batch_size": 1, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voc")
    write_domain("voc", folder, 4, 1, 0)
    return folder


def train(voc: Path, folder: Path) -> None:
    spec = spec_of("train", STUDY, "exact", "resnet", "0")
    assemble_real("voc", voc, "train", spec["classes"], 4, folder / "set.json")
    run_stage("train", spec, folder / "set.json", None, folder / "state", folder / "model")


def adapter(voc: Path, folder: Path) -> None:
    images = {"folder": str(voc), "format": "voc", "split": "train"}
    settings = {**asdict(AdapterSettings(**ADAPTER)), "target_modules": ["to_k"]}
    run_stage(
        "adapter", {"model": MODEL, "images": images, "settings": settings, "rng_seed": 0}, folder, folder / "out"
    )


RESUMABLE: dict[str, Callable[[Path, Path], None]] = {"train": train, "adapter": adapter}


def steps_until(monkeypatch: pytest.MonkeyPatch, last: int) -> list[int]:
    """The iterations that are computed from now on; a run ends before ``last``, like a killed job."""
    taken, step = [], Trainer.step

    def dying(self: Trainer, *batch: Any) -> None:
        if self.iteration == last:
            raise KeyboardInterrupt
        taken.append(self.iteration)
        step(self, *batch)

    monkeypatch.setattr(Trainer, "step", dying)
    return taken


@pytest.mark.parametrize(("raised", "first"), [(0, 2), (1, 0)])
@pytest.mark.parametrize("stage", RESUMABLE)
def test_a_stage_goes_on_from_the_state_of_its_own_version_alone(
    stage: str, raised: int, first: int, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RESUMABLE[stage]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        steps_until(patch, 3)
        run(voc, tmp_path)
    monkeypatch.setattr(STAGES[stage], "VERSION", STAGES[stage].VERSION + raised)
    steps = steps_until(monkeypatch, 99)
    run(voc, tmp_path)
    assert steps == list(range(first, 4))


def test_every_stage_with_a_state_is_tried() -> None:
    studies = [load_study(ROOT / f"config/studies/{name}.yaml") for name in ("smoke", "mini")]
    assert {job.stage for study in studies for job in study_jobs(study) if job.state} == {*RESUMABLE}


def test_a_folder_of_pairs_that_meant_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(MODEL, ["cat"], 1, tmp_path, num_inference_steps=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    for stage in ("prompts", "synthesize", "refine"):
        with monkeypatch.context() as patch:
            patch.setitem(VERSIONS, stage, 99)
            with pytest.raises(SeediffError, match=r"(?s)other settings: versions\.\w+ was .*Choose another folder"):
                generate(MODEL, ["cat"], 2, tmp_path, num_inference_steps=2)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
