"""Each stage reads what its rule declares and nothing else: jobs run again in folders that hold only their inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import Workspace
from tests.robustness.jobs import Job, finish, planned_jobs

JOBS = (
    "prompts/basic.csv",
    "data/smoke/street/domain.json",
    "images/basic/cat/0000.tar",
    "replays/later/car/0001.tar",
    "masks/basic/seediff-pamr/0000.tar",
    "masks/basic/ire-raw/0000.tar",
    "training_sets/mixed.json",
    "training_sets/exact.json",
    "models/caa/swin/0/model.safetensors",
    "models/tuned/resnet/0/model.safetensors",
    "metrics/caa/swin/0/voc.json",
    "metrics/exact/resnet/0/indoor.json",
    "judged/scenes.json",
    "judged/drawn.json",
    "tables/domains.md",
    "tables/drawn.md",
    "predictions/domains.png",
    "strips/cat.png",
    "figures/figure1.png",
    "report.html",
)
"""One output of each kind of job, by the end of its path."""


@pytest.fixture(scope="module")
def jobs(workspace: Workspace) -> list[Job]:
    return planned_jobs(workspace)


def test_every_rule_is_tried(jobs: list[Job]) -> None:
    tried = {job.rule for job in jobs for wanted in JOBS if any(path.endswith(wanted) for path in job.outputs)}
    assert tried == {job.rule for job in jobs}


@pytest.mark.slow
@pytest.mark.parametrize("wanted", JOBS)
def test_a_job_needs_its_declared_inputs_alone(
    jobs: list[Job], finished: Workspace, tmp_path: Path, wanted: str
) -> None:
    (job,) = (job for job in jobs if any(path.endswith(wanted) for path in job.outputs))
    run_alone(job, finished, tmp_path)


def run_alone(job: Job, workspace: Workspace, folder: Path) -> None:
    """Run the job in an empty ``folder`` with copies of its inputs only: it must leave what it left before."""
    for path in with_stand_ins(job.inputs, workspace):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workspace.folder / path, folder / path)
    finish(job, folder, folder / "said")
    for path in job.outputs:
        assert content(folder / path) == content(workspace.folder / path), path


def content(path: Path) -> bytes:
    """What the file holds; training histories say how long things took."""
    return b"" if path.name == "history.csv" else path.read_bytes()


def with_stand_ins(inputs: Iterable[str], workspace: Workspace) -> Iterable[str]:
    """The inputs and, for those that have the checksum of every file of a data set, that data set."""
    for path in inputs:
        yield path
        if path.endswith("/domain.json"):
            files = (workspace.folder / path).parent.rglob("*")
            yield from (os.path.relpath(file, workspace.folder) for file in files if file.is_file())
