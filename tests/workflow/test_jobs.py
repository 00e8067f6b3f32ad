"""The jobs that ``seediff status`` knows of are those that Snakemake would run."""

from __future__ import annotations

import re
import subprocess

import pytest

from seediff.workflow.graph import Job, study_jobs
from seediff.workflow.study import load_study
from tests.conftest import ROOT, Workspace

JOB = re.compile(r"^rule (\w+):\n((?:    .*\n)+)", re.MULTILINE)
FIELD = re.compile(r"^    (input|output|log|benchmark): (.*)$", re.MULTILINE)
Files = tuple[str, frozenset[str], frozenset[str], str, str]


def declared(workspace: Workspace, study: str) -> set[Files]:
    """Stage, inputs, outputs, log and benchmark of every job, as Snakemake lists them."""
    command = ["snakemake", "--workflow-profile", "none", "--cores", "1", "--dry-run", "--forceall"]
    dry = subprocess.run(
        [*command, "--config", f"study={study}"], cwd=workspace.folder, text=True, capture_output=True, timeout=300
    )
    assert dry.returncode == 0, dry.stderr
    found = set()
    for rule, body in JOB.findall(dry.stdout + dry.stderr):
        fields = dict(FIELD.findall(body))
        inputs, outputs = (frozenset(fields.get(name, "").split(", ")) - {""} for name in ("input", "output"))
        found.add((rule, inputs - {".snakemake/outdated"}, outputs, fields.get("log", ""), fields.get("benchmark", "")))
    return {files for files in found if files[0] != "all"}


def files(job: Job) -> Files:
    return job.stage, frozenset(job.inputs), frozenset(job.outputs), job.log, job.benchmark


def test_jobs_are_those_of_the_rules(workspace: Workspace) -> None:
    known = {files(job) for job in study_jobs(load_study(ROOT / "config/studies/smoke.yaml"))}
    assert len(known) > 40
    assert known == declared(workspace, "smoke")


@pytest.mark.parametrize("study", ["smoke", "mini", "paper", "deviations", "one-gpu"])
def test_a_job_comes_after_those_whose_files_it_reads(study: str) -> None:
    made: set[str] = set()
    for job in study_jobs(load_study(ROOT / f"config/studies/{study}.yaml")):
        assert made >= {path for path in job.inputs if not path.startswith("assets/")}, job.title
        made.update(job.outputs)
