"""On a full disk every stage says so and leaves nothing half-written; once there is space, it succeeds."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robustness.conftest import Reference
from tests.robustness.jobs import Job, differences, finish, results, start

pytestmark = pytest.mark.robustness


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"a small disk cannot be mounted here, which takes root: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path, left: int) -> Path:
    """A file that leaves the given number of bytes of the disk free, up to a block."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - left)
    return ballast


def failed(job: Job, folder: Path, said: Path) -> str:
    """The output of the job, which must fail."""
    said.unlink(missing_ok=True)
    process = start(job, folder, said)
    process.join(300)
    assert process.exitcode == 1, said.read_text()
    return said.read_text()


def first_of_each_rule(jobs: list[Job]) -> list[Job]:
    return list({job.rule: job for job in reversed(jobs)}.values())


def remove_outputs(job: Job, folder: Path) -> None:
    for name in job.outputs:
        (folder / name).unlink()
    if job.rule == "domain":
        shutil.rmtree((folder / job.outputs[0]).parent)


def test_every_stage_on_a_full_disk(reference: Reference, disk: Path, tmp_path: Path) -> None:
    """Once without any space, and once with less than the outputs need."""
    rng, said = random.Random(5), tmp_path / "said"
    folder = shutil.copytree(reference.folder, disk / "workspace", symlinks=True)
    tried = first_of_each_rule(reference.jobs)
    assert len(tried) == 15
    for job in tried:
        takes = sum((folder / name).stat().st_size for name in job.outputs)
        remove_outputs(job, folder)
        for left in (0, rng.randrange(takes) // 4096 * 4096):
            ballast = fill(disk, left)
            text = failed(job, folder, said)
            message = text[text.rindex("error: ") :]
            assert message.startswith("error: The disk is full: ") and len(message.splitlines()) == 2
            assert "Traceback" not in text
            assert not list(folder.rglob("*.partial*"))
            assert differences(folder, reference.files) == []
            ballast.unlink()
        finish(job, folder, said)
    assert results(folder) == reference.files
