"""Damage to a file between two stages is harmless, or the file is named before anything is computed from it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seediff.cli import main
from tests.robustness.conftest import Reference
from tests.robustness.jobs import Job, start

pytestmark = pytest.mark.robustness

CASES = {
    "adapter": 15,
    "synthesize": 20,
    "replay": 15,
    "refine": 70,
    "filter": 30,
    "assemble": 60,
    "train": 60,
    "evaluate": 70,
    "judge": 45,
    "tabulate": 90,
    "predictions": 15,
    "strips": 15,
    "report": 40,
}
"""Number of damages to the inputs of each stage."""
STATES = 24
"""Number of damages to the states that trainings resume from."""

Damage = dict[Path, bytes | None]
"""New content of files; None: the file is deleted."""


def flip(rng: random.Random, path: Path) -> Damage:
    """One bit."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return {path: bytes(content)}


def truncate(rng: random.Random, path: Path) -> Damage:
    content = path.read_bytes()
    return {path: content[: rng.randrange(len(content))]}


def zero(rng: random.Random, path: Path) -> Damage:
    """A block of the disk reads as zeros."""
    content = path.read_bytes()
    start = rng.randrange(len(content))
    length = len(content[start : start + 512])
    return {path: content[:start] + bytes(length) + content[start + length :]}


def delete(rng: random.Random, path: Path) -> Damage:
    return {path: None}


def swap(rng: random.Random, path: Path) -> Damage:
    """The file changes places with another complete file of the same kind."""
    others = sorted({*Path(*path.parts[:3]).rglob(f"*{path.suffix}")} - {path})
    if not others or path.suffix == ".png":  # a picture does not name what it shows
        return flip(rng, path)
    other = rng.choice(others)
    return {path: other.read_bytes(), other: path.read_bytes()}


def swap_pair(rng: random.Random, path: Path) -> Damage:
    """A shard and its manifest change places with another shard and its manifest."""
    damage = swap(rng, path)
    if path.suffix != ".tar":
        return damage
    first, second = (place.with_suffix(".json") for place in damage)
    return {**damage, first: second.read_bytes(), second: first.read_bytes()}


DAMAGES = (flip, flip, truncate, zero, delete, swap, swap_pair)


def readable(job: Job) -> list[Path]:
    """The files of other jobs that the job reads, in the current folder."""
    inputs = [Path(name) for name in job.inputs if not name.startswith("assets/")]
    manifests = [path.with_suffix(".json") for path in inputs if path.suffix == ".tar"]
    drawn = [path for record in inputs if record.name == "domain.json" for path in record.parent.rglob("*.*")]
    return sorted({*inputs, *manifests, *drawn})


class Tampering:
    """Runs jobs on damaged files, and restores everything."""

    def __init__(self, capsys: pytest.CaptureFixture[str], seed: int) -> None:
        self.capsys, self.rng = capsys, random.Random(seed)
        self.counts: Counter[str] = Counter()

    def try_damage(self, job: Job, files: list[Path]) -> None:
        damaging = self.rng.choice(DAMAGES)
        damage = damaging(self.rng, self.rng.choice(files))
        outputs = [Path(name) for name in job.outputs]
        kept = {path: path.read_bytes() for path in {*damage, *outputs}}
        for path in outputs:
            path.unlink()
        for path, content in damage.items():
            path.write_bytes(content) if content is not None else path.unlink()
        code = main(job.arguments)
        said = self.capsys.readouterr().err
        case = f"{job.rule}: {damaging.__name__} of {', '.join(map(str, damage))}: {said}"
        if code:
            message = said[said.rindex("error: ") :]
            assert len(message.splitlines()) <= 3, case
            assert any(names(message, path) for path in damage), case
            assert not any(path.exists() for path in outputs), case
        elif job.rule == "tabulate" and None in damage.values():  # a missing run is a dash in the table
            assert all(str(path) in said_in_table(outputs) for path in damage), case
        else:
            assert all(harmless(path, kept[path]) for path in outputs), case
        self.counts[f"{damaging.__name__} {'refused' if code else 'harmless'}"] += 1
        for path, content in kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @property
    def refused(self) -> int:
        return sum(count for kind, count in self.counts.items() if kind.endswith("refused"))


def names(message: str, path: Path) -> bool:
    """Whether the message names the file, its other half, or, if files are missing, their folder."""
    return any(str(named) in message for named in (path, path.with_suffix(".tar"), path.with_suffix(".json"))) or (
        path.parts[0] == "data" and str(Path(*path.parts[:3])) in message
    )


def said_in_table(outputs: list[Path]) -> str:
    return next(path for path in outputs if path.suffix == ".md").read_text()


def harmless(path: Path, expected: bytes) -> bool:
    """Whether an output is unchanged; a history also says how fast the training was."""
    return path.name == "history.csv" or path.read_bytes() == expected


@pytest.fixture
def in_reference(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reference]:
    """The finished run as the current folder, with the number of threads that it used."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(reference.folder)
    yield reference
    torch.set_num_threads(threads)


@pytest.mark.parametrize("rule", CASES)
def test_damaged_inputs(in_reference: Reference, rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [job for job in in_reference.jobs if job.rule == rule]
    tampering = Tampering(capsys, seed=list(CASES).index(rule))
    for number in range(CASES[rule]):
        job = jobs[number % len(jobs)]
        tampering.try_damage(job, readable(job))
    print(f"{rule}: {dict(sorted(tampering.counts.items()))}")
    assert tampering.refused >= CASES[rule] // 4


def test_damaged_training_states(in_reference: Reference, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The states that two trainings left when they were killed."""
    jobs = [job for job in in_reference.jobs if job.rule == "train"][:2]
    for job in jobs:
        process = start(job, in_reference.folder, tmp_path / "said")
        while process.is_alive() and not state_of(job).exists():
            time.sleep(0.002)
        process.kill()
        process.join()
    tampering = Tampering(capsys, seed=0)
    for number in range(STATES):
        tampering.try_damage(jobs[number % 2], [state_of(jobs[number % 2])])
    for job in jobs:
        state_of(job).unlink()
    print(f"states: {dict(sorted(tampering.counts.items()))}")
    assert tampering.refused >= STATES // 2


def state_of(job: Job) -> Path:
    return Path(job.arguments[job.arguments.index("--checkpoints") + 1]) / "state.safetensors"


def test_there_are_enough_cases() -> None:
    assert sum(CASES.values()) + STATES >= 300
