"""A study's jobs as the workflow would run them, each in a separate process that can be killed at any moment.

Processes come from a server that has imported everything already, so that a kill hits a stage at work and not while
Python starts. The command line is the same, and so is what SIGKILL leaves behind.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.conftest import Workspace

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.robustness.preload"])

TIMED = ("history.csv", "report.html")
"""Outputs that hold times, so that no two runs leave the same bytes."""
NOT_RESULTS = r"/(logs|benchmarks|checkpoints)/|\.(partial|outdated)\b"
"""In the paths of what an interrupted run may leave, and of its logs and times."""


@dataclass(frozen=True)
class Job:
    """One job of the workflow; ``arguments`` are those of the ``seediff`` command."""

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    arguments: tuple[str, ...]


def planned_jobs(workspace: Workspace, *targets: str) -> list[Job]:
    """Every job of the smoke study, or of the targets, in an order in which they can be run."""
    dry = workspace.snakemake("--workflow-profile", "none", "--dry-run", "--printshellcmds", *targets)
    assert dry.returncode == 0, dry.stdout + dry.stderr
    blocks = re.split(r"^(?:local)?rule ", dry.stdout + dry.stderr, flags=re.MULTILINE)[1:]
    return in_order([_job(block) for block in blocks if "Shell command: seediff " in block])


def in_order(jobs: list[Job]) -> list[Job]:
    """The same jobs, each behind those whose outputs it reads."""
    ordered: list[Job] = []
    while waiting := [job for job in jobs if job not in ordered]:
        still_to_come = {name for job in waiting for name in job.outputs}
        ordered += [job for job in waiting if not still_to_come & {*job.inputs}]
    return ordered


def _job(block: str) -> Job:
    files = dict(re.findall(r"^    (input|output): (.*)$", block, re.MULTILINE))
    command = re.findall(r"^Shell command: (.*)$", block, re.MULTILINE)[0]
    arguments = shlex.split(command)
    listed = (tuple(filter(None, files.get(kind, "").split(", "))) for kind in ("input", "output"))
    return Job(block.partition(":")[0], *listed, tuple(arguments[1 : arguments.index(">")]))


def start(job: Job, folder: Path, said: Path) -> ForkServerProcess:
    """Start the job in ``folder``; its output is appended to the file ``said``."""
    process = SERVER.Process(target=_run, args=(job.arguments, folder, said))
    process.start()
    return process


def _run(arguments: tuple[str, ...], folder: Path, said: Path) -> None:
    import torch

    from seediff.cli import main

    torch.set_num_threads(1)
    os.chdir(folder)
    log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    raise SystemExit(main(arguments))


def finish(job: Job, folder: Path, said: Path) -> float:
    """Run the job, which must succeed; returns its seconds."""
    began = time.monotonic()
    process = start(job, folder, said)
    process.join(300)
    assert process.exitcode == 0, f"{job.rule} ended with {process.exitcode}:\n{said.read_text()[-3000:]}"
    return time.monotonic() - began


def results(folder: Path) -> dict[str, bytes]:
    """Every file of the run that must be the same however often it was stopped, by its path."""
    found = [path for kind in ("data", "results") for path in (folder / kind).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if path.name not in TIMED and not re.search(NOT_RESULTS, str(path.relative_to(folder)))
    }


def differences(folder: Path, expected: dict[str, bytes]) -> list[str]:
    """Files under their final names whose content is not what it should be."""
    return [name for name, content in results(folder).items() if content != expected.get(name)]
