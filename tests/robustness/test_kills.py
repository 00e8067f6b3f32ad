"""A study that is killed at any point ends in the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import Workspace
from tests.robustness.conftest import ITERATIONS, Reference, robustness_workspace
from tests.robustness.jobs import Job, differences, finish, results, start

pytestmark = pytest.mark.robustness

KILLS_A_JOB = 2
TREES = 5
"""How often the whole workflow is killed."""


def killed(job: Job, folder: Path, said: Path, after: float) -> bool:
    """Whether the job was still running after that many seconds, when it was killed."""
    process = start(job, folder, said)
    process.join(after)
    process.kill()
    process.join()
    return process.exitcode == -9


def test_stages_killed_at_random_moments(reference: Reference, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEEDIFF_KILL_SEED", time.time_ns() % 10**6))
    print(f"seed {seed}")
    rng = random.Random(seed)
    folder, said = robustness_workspace(tmp_path / "killed").folder, tmp_path / "said"
    kills = 0
    for job, seconds in zip(reference.jobs, reference.seconds, strict=True):
        hits, window = 0, seconds
        while hits < KILLS_A_JOB:
            if killed(job, folder, said, rng.uniform(0, window)):
                hits += 1
            else:  # it was faster this time
                window /= 2
            assert differences(folder, reference.files) == [], f"{job.rule}, seed {seed}"
        kills += hits
        finish(job, folder, said)
    print(f"{kills} kills")
    assert results(folder) == reference.files
    assert not list(folder.rglob("*.partial*"))
    assert kills >= 50


def changed(path: Path) -> int:
    """When the file was written; 0 where there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0


def test_training_resumes_from_its_checkpoint(reference: Reference, tmp_path: Path) -> None:
    """Killed as soon as a checkpoint exists, again and again: each call continues from the previous one."""
    folder, said = robustness_workspace(tmp_path / "killed").folder, tmp_path / "said"
    for job in reference.jobs:
        if job.rule == "train":
            break
        finish(job, folder, said)
    said.write_text("")
    state = folder / job.arguments[job.arguments.index("--checkpoints") + 1] / "state.safetensors"
    for _ in range(3):
        before = changed(state)
        process = start(job, folder, said)
        while process.is_alive() and changed(state) == before:
            time.sleep(0.002)
        process.kill()
        process.join()
    finish(job, folder, said)
    passed = re.findall(rf"^train: iteration (\d+) of {ITERATIONS}$", said.read_text(), re.MULTILINE)
    assert passed.count("0") == 1, "only the first call starts from the beginning"
    assert passed[-1] == str(ITERATIONS)
    assert not state.exists()
    assert differences(folder, reference.files) == []


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the process and everything that it started."""
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in tree:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def begun_jobs(workspace: Workspace) -> int:
    return len(list((workspace.folder / "results").rglob("*.log")))


def test_the_whole_workflow_killed(reference: Reference, tmp_path: Path) -> None:
    """Killed when some more jobs have begun; `snakemake --unlock` and the same call continue."""
    seed = int(os.environ.get("SEEDIFF_KILL_SEED", time.time_ns() % 10**6))
    print(f"seed {seed}")
    rng = random.Random(seed)
    workspace = robustness_workspace(tmp_path / "killed")
    for _ in range(TREES):
        wanted = begun_jobs(workspace) + rng.randint(1, 6)
        command = ["snakemake", "--cores", "2", "--config", "study=smoke"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=workspace.folder, **quiet)
        while process.poll() is None and begun_jobs(workspace) < wanted:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 3))
        assert process.poll() is None, "the workflow ended before it was killed"
        kill_tree(process)
        assert differences(workspace.folder, reference.files) == []
        assert workspace.snakemake("--unlock").returncode == 0
    run = workspace.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    assert results(workspace.folder) == reference.files
    assert not list(workspace.folder.rglob("*.partial*"))
    assert workspace.planned() == {}
