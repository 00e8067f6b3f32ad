"""The cluster that these tests share, and the head: Snakemake with the project's own profile."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import make_workspace
from tests.slurm.cluster import Cluster, Job, missing_programs, wait_for

SETTINGS = ("--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5")
"""The profile, except that it asks for job states more often than a cluster's administrators would like."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if missing := missing_programs():
        pytest.skip(f"no {', '.join(missing)} here: apt-get install slurm-wlm munge")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("no snakemake-executor-plugin-slurm here: pip install 'seediff[slurm]'")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@dataclass(frozen=True)
class Head:
    """Snakemake on the login node, in a folder with the workflow."""

    folder: Path
    cluster: Cluster
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = ["snakemake", *SETTINGS, *arguments, "--config", "study=smoke"]
        environment = {**os.environ, **self.cluster.environment, **environment}
        with (self.folder / "head.log").open("a") as log:
            run = subprocess.Popen(command, cwd=self.folder, env=environment, text=True, stdout=log, stderr=log)
        self.started.append(run)
        return run

    def kill(self) -> None:
        """Stop everything that a failed test left running."""
        for run in self.started:
            run.kill()
            run.wait()

    def finish(self, head: subprocess.Popen[str], seconds: float = 240) -> None:
        """Wait until it has succeeded."""
        try:
            assert head.wait(timeout=seconds) == 0, self.log
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s:\n{self.log}") from None

    def run(self, *arguments: str, seconds: float = 240) -> None:
        self.finish(self.start(*arguments), seconds)

    @property
    def log(self) -> str:
        return (self.folder / "head.log").read_text()

    def jobs(self, states: str = "all") -> list[Job]:
        """This folder's jobs."""
        return [job for job in self.cluster.jobs(states) if job.folder == str(self.folder)]

    def running(self, rule: str) -> Job:
        """A job of the rule, as soon as its command has begun."""
        return wait_for(lambda: next(iter(self._begun(rule)), None), f"a running job of {rule}", 200)

    def _begun(self, rule: str) -> list[Job]:
        logs = self.folder.glob(f"results/smoke/logs/{rule}/**/*.log")
        return [job for job in self.jobs("RUNNING") if job.rule == rule] if any(logs) else []


@pytest.fixture
def head(cluster: Cluster, tmp_path: Path) -> Iterator[Head]:
    head = Head(make_workspace(tmp_path / "study").folder, cluster)
    yield head
    head.kill()
