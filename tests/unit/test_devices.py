"""Jobs on a machine with several GPUs: each has its own, whatever happens to the others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from seediff.devices import claimed, visible_devices
from seediff.errors import SeediffError
from tests.fake_gpus import install_gpus

JOB = """
import os, sys
from seediff.devices import claimed
if len(sys.argv) > 2:
    os.setuid(int(sys.argv[2]))
with claimed(int(sys.argv[1])) as devices:
    print("has", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.read()
"""


NOBODY = 65534


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The UUIDs of a machine with three GPUs."""
    return install_gpus(tmp_path, 3, monkeypatch)


@contextmanager
def job(number: int = 1, *user: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that claims GPUs, as another user if given, and keeps them until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, str(number), *map(str, user)],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def devices_of(process: subprocess.Popen[str]) -> set[str]:
    """The GPUs that a job has claimed; it must not wait for another job."""
    assert process.stdout is not None
    for line in process.stdout:
        assert not line.startswith("Waiting"), line
        if line.startswith("has "):
            return set(line.split()[1].split(","))
    raise AssertionError("the job ended without a GPU")


def test_jobs_have_distinct_devices(machine: list[str]) -> None:
    with job() as first, job() as second, job() as third:
        devices = [devices_of(process) for process in (first, second, third)]
    assert set.union(*devices) == set(machine)
    assert all(len(device) == 1 for device in devices)


def test_jobs_of_other_temporary_folders_have_distinct_devices(machine: list[str], tmp_path: Path) -> None:
    with job(TMPDIR=str(tmp_path)) as first, job() as second:
        assert devices_of(first).isdisjoint(devices_of(second))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start jobs of other users")
def test_jobs_of_other_users_have_distinct_devices(machine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(machine))  # others may not call the program that lists them
    with ExitStack() as jobs:
        devices = [devices_of(jobs.enter_context(job(1, *user))) for user in ((), (NOBODY,), (NOBODY - 1,))]
        assert set.union(*devices) == set(machine)
        late = jobs.enter_context(job())
        assert late.stdout is not None
        assert late.stdout.readline() == "Waiting for 1 of 3 GPUs: too few are free.\n"


@pytest.mark.parametrize("name", ["index", "uuid", "start of the uuid"])
def test_a_device_is_the_same_by_whatever_name(machine: list[str], name: str) -> None:
    """CUDA takes indices, UUIDs, and shortened UUIDs; a job without the variable takes the first free UUID."""
    visible = [{"index": str(place), "uuid": uuid}.get(name, uuid[:12]) for place, uuid in enumerate(machine)]
    with job() as first:
        assert devices_of(first) == {machine[0]}
        with job(CUDA_VISIBLE_DEVICES=",".join(visible)) as other:
            assert devices_of(other) == {visible[1]}


def test_a_name_that_cannot_be_locked_is_refused(machine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{'7' * 5000},1")
    with pytest.raises(SeediffError, match="cannot be locked: AF_UNIX path too long"), claimed():
        pass


def test_a_job_waits_for_a_device_and_gets_that_of_a_job_that_was_killed(machine: list[str]) -> None:
    with ExitStack() as jobs:
        first, *others = [jobs.enter_context(job()) for _ in range(3)]
        freed = devices_of(first)
        for other in others:
            devices_of(other)
        late = jobs.enter_context(job())
        assert late.stdout is not None
        assert late.stdout.readline() == "Waiting for 1 of 3 GPUs: too few are free.\n"
        first.kill()
        assert devices_of(late) == freed


def test_a_training_claims_as_many_as_it_has_processes(machine: list[str]) -> None:
    with job(2) as training, job() as other:
        pair, single = devices_of(training), devices_of(other)
    assert len(pair) == 2 and len(single) == 1 and not pair & single


def test_a_scheduler_has_chosen_already(machine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where devices are renumbered, each job's own is called 0: no job may wait for another's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with job() as first, job() as second:
        assert devices_of(first) == devices_of(second) == {"0"}


def test_only_visible_devices_are_claimed(machine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    with job() as first, job() as second:
        assert devices_of(first) | devices_of(second) == {"1", "2"}


def test_the_variable_is_as_before_afterwards(machine: list[str]) -> None:
    with claimed() as devices:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == devices[0]
        assert visible_devices() == devices
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_machine_without_gpus_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with claimed() as devices:
        assert devices == ()
        assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_more_than_there_are_is_refused(machine: list[str]) -> None:
    with pytest.raises(SeediffError, match="This job needs 4 GPUs, but sees 3"), claimed(4):
        pass
