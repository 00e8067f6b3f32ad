"""The record of its files says whether a job is done, whatever their times or Snakemake's own records say."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from seediff.workflow import graph
from seediff.workflow.records import digests, is_made, record_file
from seediff.workflow.sources import pinned, read_sources
from seediff.workflow.status import State, study_status
from seediff.workflow.study import load_study
from tests.conftest import Workspace, make_workspace

SMOKE = "config/studies/smoke.yaml"
MASKS = "results/smoke/masks/basic/seediff-pamr/0000.tar"
SEEDIFF = {"refine": 1, "assemble": 1, "train": 1, "evaluate": 1, "judge": 1, "tabulate": 2, "report": 1, "all": 1}


def unfinished(workspace: Workspace) -> dict[str, int]:
    """Jobs by rule that are not done, by `seediff status`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.folder)
        status = study_status(load_study(Path(SMOKE)), Path("results/smoke"), time.time())
    return Counter(row.job.stage for row in status.jobs if row.state is not State.DONE)


def sharper(workspace: Workspace) -> None:
    workspace.edit(SMOKE, "pamr: {pamr: {iterations: 2,", "pamr: {pamr: {iterations: 3,")


def test_without_snakemake_s_notes_nothing_is_to_be_done_until_an_edit(copy_of_finished: Workspace) -> None:
    shutil.rmtree(copy_of_finished.folder / ".snakemake")
    for file in (copy_of_finished.folder / "results").rglob("*.*"):
        os.utime(file)
    assert copy_of_finished.planned() == unfinished(copy_of_finished) == {}
    sharper(copy_of_finished)
    planned = copy_of_finished.planned()
    assert {**unfinished(copy_of_finished), "all": 1} == planned
    assert planned.pop("strips") and planned.pop("figures")
    assert planned == SEEDIFF


@pytest.mark.parametrize("change", ["gone", "of other settings", "unreadable"])
def test_files_without_their_record_are_made_again(copy_of_finished: Workspace, change: str) -> None:
    record = record_file(copy_of_finished.folder / MASKS)
    before, file = record.read_text(), (copy_of_finished.folder / MASKS).read_bytes()
    if change == "gone":
        record.unlink()
    else:
        record.write_text(before.replace(before[12:16], "0000") if change == "of other settings" else "{")
    assert copy_of_finished.planned() == {}  # nothing that is still to be made reads them
    run = copy_of_finished.snakemake(MASKS)
    assert run.returncode == 0, run.stdout + run.stderr
    assert record.read_text() == before and (copy_of_finished.folder / MASKS).read_bytes() == file
    assert copy_of_finished.planned(MASKS) == {}


def test_an_altered_file_is_made_again(copy_of_finished: Workspace) -> None:
    path = copy_of_finished.folder / MASKS
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert copy_of_finished.planned(MASKS) == {"refine": 1}


@pytest.mark.slow
def test_an_edit_during_a_run_is_for_the_next(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    command = ["snakemake", "--cores", "2", MASKS, "--config", "study=smoke"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        wait_for(tmp_path / "results/smoke/prompts/basic.csv")
        sharper(workspace)
        assert run.wait(timeout=600) == 0
    assert not made_as_the_study_says(workspace, MASKS)
    assert workspace.planned(MASKS) == {"refine": 1}
    workspace.edit(SMOKE, "pamr: {pamr: {iterations: 3,", "pamr: {pamr: {iterations: 2,")
    assert made_as_the_study_says(workspace, MASKS)
    assert workspace.planned(MASKS) == {}


@pytest.mark.slow
def test_what_outlives_a_killed_workflow_is_recorded_as_what_it_is(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    shard = "results/smoke/images/basic/cat/0000.tar"
    command = ["snakemake", "--cores", "1", shard, "--config", "study=smoke"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as run:
        wait_for(tmp_path / "results/smoke/logs/synthesize/basic/cat/0000.log")
        os.kill(run.pid, signal.SIGKILL)
    wait_for(record_file(tmp_path / shard))
    workspace.edit(SMOKE, "guidance_scale: 2.0", "guidance_scale: 3.0")
    assert workspace.snakemake("--unlock").returncode == 0
    assert workspace.planned(shard)["synthesize"] == 1


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.2)
    raise TimeoutError(path)


def made_as_the_study_says(workspace: Workspace, output: str) -> bool:
    study = pinned(load_study(workspace.folder / SMOKE), read_sources(workspace.folder / "results/smoke"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.folder)
        jobs = graph.every_job(study)
        (job,) = (job for job in jobs if output in job.outputs)
        return is_made(job, digests(jobs, read_sources(workspace.folder / "results/smoke"))[job.title])
