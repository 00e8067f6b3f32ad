"""What is reported of a failed job, from the log that it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from seediff.workflow.status import UNEXPLAINED, failed_job, last_error

SLURM = "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'."


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "train.log"


def write(log: Path, text: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)


def test_a_log_that_ends_in_an_error_is_shown_and_left_alone(log: Path) -> None:
    write(log, "GPU: 0\n" * 9 + "error: There is no model folder x.\nGive a folder.\n")
    before = log.read_bytes()
    shown = ["  GPU: 0", "  error: There is no model folder x.", "  Give a folder."]
    assert failed_job("train", log).split("\n") == [f"failed: train ({log})", *shown]
    assert log.read_bytes() == before


@pytest.mark.parametrize(
    "text", ["", "GPU: 0\n", "train: iteration 3 of 9", "\r 50%|██   | 1/2 [00:05<00:05,  5.0s/image]"]
)
def test_a_log_without_an_error_is_made_to_tell(log: Path, text: str) -> None:
    write(log, text)
    assert f"  error: {UNEXPLAINED}" in failed_job("train", log).split("\n")
    assert log.read_bytes().startswith(text.encode())
    assert last_error(log)[-1] == f"error: {UNEXPLAINED}"


def test_what_the_scheduler_knows_is_said_instead(log: Path) -> None:
    write(log, "train: iteration 3 of 9\n")
    said = failed_job("train", log, f"{SLURM}\nFor further details see the log.")
    assert said.count("OUT_OF_MEMORY") == 2 and UNEXPLAINED not in said
    assert last_error(log)[-1] == f"error: {SLURM}"


def test_what_the_scheduler_knows_stands_beside_what_the_job_said(log: Path) -> None:
    write(log, "error: The disk is full.\n")
    assert failed_job("train", log, SLURM).split("\n")[1:] == [f"  {SLURM}", "  error: The disk is full."]


def test_a_job_that_never_ran_has_a_log_too(log: Path) -> None:
    assert "OUT_OF_MEMORY" in failed_job("train", log, SLURM)
    assert last_error(log) == (f"error: {SLURM}",)


def test_a_log_that_cannot_be_written_is_no_error(log: Path) -> None:
    log.mkdir(parents=True)
    assert failed_job("train", log).split("\n") == [f"failed: train ({log})", f"  {UNEXPLAINED}"]


def test_nothing_in_a_log_steers_the_terminal(log: Path) -> None:
    write(log, "error: \x1b]0;title\x07\x9b2J no \x1b[31mmodel\n")
    shown = failed_job("train", log, "\x1b[2J gone")
    assert not {character for character in shown if not character.isprintable()} - {"\n"}
    assert "\\x1b]0;title" in shown and "\\x1b[2J gone" in shown
