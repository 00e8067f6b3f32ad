"""Jobs that are killed, terminals that are closed: what a run shows then, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import Workspace, make_workspace
from tests.slurm.cluster import wait_for

pytestmark = pytest.mark.slow

LOG = "results/smoke/logs/mask_quality/voc.log"


def job_in(folder: Path) -> psutil.Process | None:
    """The job itself, once it has said a word."""
    said = (folder / LOG).exists() and (folder / LOG).read_text()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        if said and process.info["cwd"] == str(folder) and "mask-quality" in command:
            return process
    return None


def broken_run(folder: Path, harm: Callable[[psutil.Process, int], None]) -> tuple[int, str]:
    """Exit code and output of a run to which ``harm``, given its job and its process group, is done."""
    command = ["snakemake", "--cores", "2", "--until", "mask_quality", "--config", "study=smoke"]
    run = subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        harm(wait_for(lambda: job_in(folder), "the job"), run.pid)
        said, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    return run.returncode, said


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "study")


def status(workspace: Workspace) -> str:
    command = ["seediff", "status", "--study", "smoke"]
    return subprocess.run(command, cwd=workspace.folder, text=True, capture_output=True, check=True).stdout


def test_a_killed_job_has_failed_at_once(workspace: Workspace) -> None:
    """As the kernel kills what takes too much memory."""
    code, said = broken_run(workspace.folder, lambda job, _: job.kill())
    assert code == 1
    shown = said[said.index(f"failed: mask_quality ({LOG})") :].splitlines()[1:3]
    assert shown[-1].startswith("  error: The job ended, and its log does not say why. It may have been killed")
    for text in (said, status(workspace)):
        failed = text[text.index("\nfailed:\n") :]
        assert f"  mask_quality voc: ({LOG})\n" in failed and "for want of memory" in failed
        assert "\nrunning:\n" not in text


def test_a_closed_terminal_leaves_no_lock(workspace: Workspace) -> None:
    """It sends SIGHUP to all that was started in it."""
    code, _ = broken_run(workspace.folder, lambda _, group: os.killpg(group, signal.SIGHUP))
    assert code == 1
    assert not any((workspace.folder / ".snakemake").rglob("*.lock"))
    assert "\nfailed:\n" in status(workspace)
    assert workspace.planned("--until", "mask_quality")["mask_quality"] == 1
