"""Killed jobs and closed terminals: what a run then shows, and what it leaves."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
from pathlib import Path

import psutil
import pytest

from tests.conftest import Workspace, make_workspace
from tests.slurm.cluster import wait_for

JUDGED = "results/smoke/judged/scenes.json"
LOG = "results/smoke/logs/judge/scenes.log"


def job_in(folder: Path) -> psutil.Process | None:
    """The job itself, once it has printed something."""
    said = (folder / LOG).exists() and (folder / LOG).read_text()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        if said and process.info["cwd"] == str(folder) and {"stage", "judge"} <= {*command}:
            return process
    return None


COMMAND = ["snakemake", "--cores", "2", JUDGED, "--config", "study=smoke"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "study")


def status(workspace: Workspace) -> str:
    command = ["seediff", "status", "--study", "smoke"]
    return subprocess.run(command, cwd=workspace.folder, text=True, capture_output=True, check=True).stdout


def test_a_killed_job_has_failed_at_once(workspace: Workspace) -> None:
    """As the kernel kills a process that takes too much memory."""
    run = subprocess.Popen(COMMAND, cwd=workspace.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: job_in(workspace.folder), "the job").kill()
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    shown = said[said.index(f"failed: judge ({LOG})") :].splitlines()[1:3]
    assert shown[-1].startswith("  error: The job ended, and its log does not say why. It may have been killed")
    for text in (said, status(workspace)):
        failed = text[text.index("\nfailed:\n") :]
        assert f"  judge scenes: ({LOG})\n" in failed and "for lack of memory" in failed
        assert "\nrunning:\n" not in text


@pytest.mark.slow
def test_a_closed_terminal_leaves_no_lock(workspace: Workspace) -> None:
    """Snakemake gets SIGHUP, and nothing can be printed any more; it waits for the running job."""
    terminal, inside = pty.openpty()
    own_terminal = lambda: fcntl.ioctl(inside, termios.TIOCSCTTY, 0)  # noqa: E731
    run = subprocess.Popen(
        COMMAND, cwd=workspace.folder, stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
        preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(inside)
    wait_for(lambda: job_in(workspace.folder), "the job")
    os.close(terminal)
    assert run.wait(timeout=60) in (0, 1)  # stopped, or done: the job that it waited for is the last
    assert not any((workspace.folder / ".snakemake").rglob("*.lock"))
    assert (workspace.folder / JUDGED).is_file()
    assert workspace.planned(JUDGED) == {}
