"""What ``seediff status`` tells from a results folder that is built file by file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from seediff.cli.terminal import duration, status_text
from seediff.training import checkpoint
from seediff.workflow.graph import Job, study_jobs
from seediff.workflow.layout import Results
from seediff.workflow.records import digests, record_file, recorded
from seediff.workflow.sources import Sources
from seediff.workflow.status import Progress, State, study_status
from seediff.workflow.study import Study, load_study
from tests.conftest import ROOT

NOW = 1_800_000_000.0
STUDY = load_study(ROOT / "config/studies/smoke.yaml")
JOBS = {job.title: job for job in study_jobs(STUDY)}
DIGESTS = digests([*JOBS.values()], Sources())
TRAIN, DRAW = "train seediff/swin/0", "synthesize basic/cat/0000"


@dataclass(frozen=True)
class Folder:
    """A results folder whose files have the given ages in seconds."""

    results: Results

    @property
    def study(self) -> Study:
        return STUDY

    def write(self, file: str, text: str = "", age: float = 3600.0) -> None:
        path = self.results.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (NOW - age, NOW - age))

    def finish(self, job: Job, seconds: float | None = None, age: float = 3600.0) -> None:
        outputs = [self.results.path(output) for output in job.outputs]
        outputs[0].parent.mkdir(parents=True, exist_ok=True)
        with recorded(DIGESTS[job.title], outputs):
            for output in job.outputs:
                self.write(output, age=age)
        os.utime(record_file(outputs[0]), (NOW - age, NOW - age))
        self.write(job.log, age=age)
        if seconds is not None:
            self.write(job.benchmark, f"s\th:m:s\n{seconds}\t0:00:00\n", age=age)

    def undo(self, title: str) -> Job:
        """As if neither the job nor any that reads its files had ever run."""
        job, gone = JOBS[title], set(JOBS[title].outputs)
        for follower in JOBS.values():
            if follower is job or not gone.isdisjoint(follower.inputs):
                gone.update(follower.outputs)
                for file in filter(None, (*follower.outputs, follower.log, follower.benchmark)):
                    self.results.path(file).unlink()
                record_file(self.results.path(follower.outputs[0])).unlink()
        return job

    def progress(self) -> dict[str, Progress]:
        return {row.job.title: row for row in study_status(STUDY, self.results.folder, NOW).jobs}

    def text(self) -> str:
        return status_text(STUDY, self.results.folder, NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A finished study; every job that is measured took ten seconds."""
    made = Folder(Results("smoke", tmp_path / "results" / "smoke"))
    for job in JOBS.values():
        made.finish(job, 10.0 if job.benchmark else None)
    return made


def test_a_finished_study_has_nothing_left(folder: Folder) -> None:
    assert {row.state for row in folder.progress().values()} == {State.DONE}
    assert folder.text().endswith("Nothing is left to do.")


def test_what_an_edit_puts_out_of_date_is_missing(folder: Folder) -> None:
    edited = STUDY.model_copy(update={"classes": ("cat", "car"), "rng_seed": 1})
    assert {row.state for row in study_status(edited, folder.results.folder, NOW).jobs} == {State.MISSING}
    assert "Nothing is left" not in status_text(edited, folder.results.folder, NOW)


def test_an_empty_folder_misses_every_job(tmp_path: Path) -> None:
    assert {row.state for row in study_status(STUDY, tmp_path, NOW).jobs} == {State.MISSING}
    assert "; 32 jobs take unknown time" in status_text(STUDY, tmp_path, NOW)  # those that Snakemake would measure


def test_a_table_line_counts_a_stage(folder: Folder) -> None:
    folder.undo(TRAIN)
    line = next(line.split() for line in folder.text().splitlines() if line.startswith("train"))
    assert line == ["train", "7", "6", "–", "–", "1", "10", "s"]


def test_files_of_what_was_removed_from_the_study_are_named(folder: Folder) -> None:
    assert "may be deleted" not in folder.text()
    job = JOBS[TRAIN]
    for own in (job.log, job.state, job.outputs[0] + ".partial", "results/smoke/.gitignore"):
        folder.write(own)
    assert "may be deleted" not in folder.text()
    gone = ["models/old/swin/0/model.safetensors", "tables/table3.csv", "tables/table3.md"]
    for file in gone:
        folder.write(f"results/smoke/{file}")
    listed = "".join(f"  {folder.results.folder / file}\n" for file in gone)
    assert f"no longer part of the study; may be deleted:\n{listed}" in folder.text()


def test_weights_that_nothing_waits_for_are_not_missed(folder: Folder) -> None:
    folder.results.path(JOBS[TRAIN].outputs[0]).unlink()
    assert folder.progress()[TRAIN].state is State.DONE
    folder.undo("evaluate seediff/swin/0/voc")
    assert folder.progress()[TRAIN].state is State.MISSING


@pytest.mark.parametrize(
    "log",
    [
        "error: The disk is full: a.tar could not be written.\nMake space and run again.\n",
        "\r 22%|██▏       | 11/50 [00:23<01:13,  1.88s/image]error: The disk is full: a.tar.\nMake space.\n",
        "error: The disk is full: a.tar.\n\r 22%|██▏       | 11/50 [00:23<01:13,  1.88s/image]\n",
        'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: The disk is full\n',
    ],
)
def test_a_log_that_ends_in_an_error_is_a_failure_at_once(folder: Folder, log: str) -> None:
    folder.write(folder.undo(DRAW).log, log, age=0)
    found = folder.progress()[DRAW]
    assert found.state is State.FAILED
    assert any("The disk is full" in line and "%|" not in line for line in found.said)
    assert f"  {DRAW}: ({folder.results.path(JOBS[DRAW].log)})\n" in folder.text()
    assert "The disk is full" in folder.text()


@pytest.mark.parametrize(
    "log",
    [
        "interrupted\n",
        "\r 22%|██▏       | 11/50 [00:23<01:13,  1.88s/image]interrupted\n",
        "\r 22%|██▏  | 11/50 [00:23<01:13,  1.88s/image]\ninterrupted\n\r 22%|██   | 11/50 [00:23<01:13,  1.9s/it]",
        'Traceback (most recent call last):\n  File "a.py", line 1\n    a\n  File "b.py", line 2\nKeyboardInterrupt\n',
        'Traceback (most recent call last):\n  File "a.py", line 1\n    a\n  File "b.py", line 2\n    b\nMemoryError\n',
        "    a\n    b\ntorch.OutOfMemoryError: CUDA out of memory\n",
    ],
)
def test_a_job_that_was_interrupted_does_not_run(folder: Folder, log: str) -> None:
    folder.write(folder.undo(DRAW).log, log, age=0)
    assert folder.progress()[DRAW].state is State.FAILED
    assert "running:" not in folder.text()


def test_words_about_errors_are_no_errors(folder: Folder) -> None:
    folder.write(folder.undo(DRAW).log, "FutureWarning: error handling will change\nLoading: no error so far\n", age=0)
    assert folder.progress()[DRAW].state is State.RUNNING


def test_a_recent_log_means_running_and_an_old_one_killed(folder: Folder) -> None:
    job = folder.undo(TRAIN)
    folder.write(job.log, "train: iteration 0 of 4\n", age=299)
    assert folder.progress()[TRAIN].state is State.RUNNING
    folder.write(job.log, "train: iteration 0 of 4\n", age=301)
    assert folder.progress()[TRAIN].state is State.FAILED
    assert "no sign of life for 5 min" in folder.text()


@pytest.mark.parametrize(
    "file", [JOBS[TRAIN].state, JOBS[TRAIN].state + ".partial", JOBS[TRAIN].outputs[0] + ".partial"]
)
def test_what_a_job_writes_is_a_sign_of_life(folder: Folder, file: str) -> None:
    folder.write(folder.undo(TRAIN).log, "train: iteration 0 of 4\n", age=4000)
    assert folder.progress()[TRAIN].state is State.FAILED
    folder.write(file, age=20)
    assert folder.progress()[TRAIN].state is State.RUNNING


@pytest.mark.parametrize(("slowest", "dead_after"), [(10, 300), (900, 900), (90_000, 1800), (None, 1800)])
def test_patience_follows_the_slowest_job_of_the_stage(folder: Folder, slowest: float | None, dead_after: int) -> None:
    for title, job in JOBS.items():
        if title.startswith("train"):
            folder.finish(job, slowest) if slowest else folder.results.path(job.benchmark).unlink()
    for file in JOBS[TRAIN].outputs:
        folder.results.path(file).unlink()
    folder.results.path(JOBS[TRAIN].benchmark).unlink(missing_ok=True)
    states = []
    for age in (dead_after - 1, dead_after + 1):
        folder.write(JOBS[TRAIN].log, age=age)
        states.append(folder.progress()[TRAIN].state)
    assert states == [State.RUNNING, State.FAILED]


def test_files_deleted_after_their_job_had_finished_are_missing_not_failed(folder: Folder) -> None:
    folder.results.path("results/smoke/strips/cat.png").unlink()
    assert folder.progress()["strips"].state is State.DONE  # the report that shows it is there
    folder.results.path("results/smoke/report.html").unlink()
    assert folder.progress()["strips"].state is State.MISSING


def test_what_follows_from_a_job_that_runs_again_is_missing(folder: Folder) -> None:
    for output in JOBS[TRAIN].outputs:
        folder.results.path(output).unlink()
    folder.write(JOBS[TRAIN].log, "train: iteration 1 of 4\n", age=1)
    states = {title: row.state for title, row in folder.progress().items() if row.state is not State.DONE}
    chain = ("evaluate seediff/swin/0/voc", "tabulate table2", "report")
    assert states == {TRAIN: State.RUNNING} | dict.fromkeys(chain, State.MISSING)


def test_a_running_job_tells_how_far_it_is(folder: Folder) -> None:
    log = "Loading weights: 100%|████| 4/4 [00:00<00:00]\r 50%|█████     | 1/2 [00:05<00:05,  5.0s/image]"
    folder.write(folder.undo(DRAW).log, log, age=2)
    assert folder.progress()[DRAW].share == 0.5
    # The other shards took 30 s for four images, this one has two, one of which is drawn.
    assert "synthesize basic/cat/0000: 50%, about 8 s left, last sign of life 2 s ago" in folder.text()


def test_a_silent_running_job_is_judged_by_its_time(folder: Folder) -> None:
    folder.write(folder.undo("evaluate seediff/swin/0/voc").log, age=4)
    assert folder.progress()["evaluate seediff/swin/0/voc"].share == pytest.approx(0.4)


def test_a_training_state_says_how_many_iterations_are_done(folder: Folder) -> None:
    job = folder.undo(TRAIN)
    folder.write(job.log, "train: iteration 1 of 4\n", age=1)
    assert folder.progress()[TRAIN].share == 0.25
    state = folder.results.path(job.state)
    folder.write(job.state)
    model = torch.nn.Linear(1, 1)
    checkpoint.save_state(state, "r", checkpoint.History(3, []), model, torch.optim.AdamW(model.parameters()))
    assert folder.progress()[TRAIN].share == 0.75
    state.write_bytes(b"\xff" * 30)
    assert folder.progress()[TRAIN].share == 0.25


def test_time_left_follows_from_images_and_jobs_at_once(folder: Folder) -> None:
    """A shard of two images took 10 s, so one of one image takes 5 s; two jobs run at once."""
    shards = [f"synthesize basic/{name}" for name in ("cat/0000", "cat/0001", "car/0001")]
    for title in shards:
        for file in (*JOBS[title].outputs, JOBS[title].benchmark, JOBS[title].log):
            folder.results.path(file).unlink()
    for title in shards[:2]:
        folder.write(JOBS[title].log, " 0%|   | 0/2 [00:00<?, ?image/s]", age=1)
    text = folder.text()
    line = next(line.split() for line in text.splitlines() if line.startswith("synthesize"))
    assert line == ["synthesize", "4", "1", "2", "–", "1", "20", "s"]  # two images, one, and one
    assert "with 2 at a time, as now" in text


def test_no_time_is_made_up(folder: Folder) -> None:
    """If no job of the stages that are left has finished, or only very short jobs are left."""
    folder.results.path("results/smoke/report.html").unlink()
    assert folder.text().endswith("Left: about 1 s, jobs one at a time.")
    folder.write("results/smoke/report.html")
    folder.undo(TRAIN)
    for job in JOBS.values():
        if job.stage in ("train", "evaluate"):
            folder.results.path(job.benchmark).unlink(missing_ok=True)
    assert "; 2 jobs take unknown time" in folder.text() and "about 0 s" not in folder.text()


def test_a_changed_model_is_seen(folder: Folder, tmp_path: Path) -> None:
    """Every job that depends on its files is missing, because none was recorded with its present content."""
    shutil.copytree(ROOT / "assets/pictograms", tmp_path / "model")
    study = STUDY.model_copy(
        update={"diffusion": STUDY.diffusion.model_copy(update={"model": str(tmp_path / "model")})}
    )
    states = {row.job.stage: row.state for row in study_status(study, folder.results.folder, NOW).jobs}
    assert states["synthesize"] is states["report"] is State.MISSING and states["prompts"] is State.DONE


def test_a_damaged_benchmark_says_nothing(folder: Folder) -> None:
    for title, job in JOBS.items():
        if title.startswith("train"):
            folder.write(job.benchmark, "s\n")
    (history,) = (path for path in JOBS[TRAIN].outputs if path.endswith("history.csv"))
    folder.results.path(history).unlink()
    folder.results.path("results/smoke/report.html").unlink()
    assert "1 jobs take unknown time" in folder.text()


def test_the_command_reads_any_results_folder(folder: Folder, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "seediff.cli", "status", "--study", str(ROOT / "config/studies/smoke.yaml")]
        return subprocess.run([*command, *arguments], cwd=tmp_path, text=True, capture_output=True)

    elsewhere = run()
    assert elsewhere.returncode == 1 and "depends on assets/pictograms, which does not exist" in elsewhere.stderr
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    there = run()
    assert there.returncode == 0 and "Smoke test: results/smoke" in there.stdout
    assert there.stdout.endswith("Nothing is left to do.\n")
    shutil.rmtree(folder.results.folder)
    absent = run("--results", "elsewhere/smoke")
    assert absent.returncode == 1
    assert absent.stderr.startswith("error: There are no results in elsewhere/smoke.\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3599, "1 h 0 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
