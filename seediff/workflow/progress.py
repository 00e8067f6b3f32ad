"""How far each job of a study is, told from the study's files alone: no workflow and no scheduler is asked.

A job whose files are there, or are not wanted any more, is done. Of the others, one whose log ends in an error has
failed; one whose log, half-written output or training state has lately changed is running; one that has been silent
for longer has failed as well, killed perhaps; one without a log is still to come. What a job that has begun will
change is to be made again: a run after an edit shows its whole chain as missing.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from seediff.names import visible
from seediff.workflow.graph import Job, needed, study_jobs, targets
from seediff.workflow.records import digests, made, record_file
from seediff.workflow.sources import pinned, read_sources
from seediff.workflow.study import Study

SHORTEST_PATIENCE, LONGEST_PATIENCE = 5 * 60.0, 30 * 60.0
"""Seconds of silence after which a job is taken for dead: as long as its stage's slowest job took, within these."""
TAIL_BYTES, ERROR_LINES = 8192, 3

_LINE_END = re.compile(r"[\r\n]+")
_BAR = re.compile(r"\d+%\|[^|]*\|[^\[]*\[[^\]]*\]")
_ERROR = re.compile(r"(?:^|\])((?:\w+)?[eE]rror: .*)")
_COUNTS = re.compile(r"(\d+)/(\d+) \[[^\]]*(?:image|batch)|iteration (\d+) of (\d+)")


class State(Enum):
    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True)
class Progress:
    """A job's state, the share of it that is done, what its log said last, and seconds since it gave a sign of life."""

    job: Job
    state: State
    share: float = 0.0
    said: tuple[str, ...] = ()
    silent: float = 0.0


@dataclass(frozen=True)
class Pace:
    """Seconds that finished jobs took, from the benchmark files: of each job, and for each unit of work."""

    slowest: dict[str, float]
    by_kind: dict[tuple[str, str], float]
    by_stage: dict[str, float]

    def patience(self, stage: str) -> float:
        return min(max(self.slowest.get(stage, LONGEST_PATIENCE), SHORTEST_PATIENCE), LONGEST_PATIENCE)

    def seconds(self, job: Job) -> float | None:
        """How long the whole job should take: 0 for stages that take no time worth measuring, ``None`` if unknown."""
        if not job.benchmark:
            return 0.0
        per_unit = self.by_kind.get((job.stage, job.kind), self.by_stage.get(job.stage))
        return None if per_unit is None else per_unit * job.amount


@dataclass(frozen=True)
class Results:
    """Where a study's files are: ``folder`` is its ``results/<study>``, and ``data/`` lies two levels up."""

    study: str
    folder: Path

    def path(self, file: str) -> Path:
        below = f"results/{self.study}/"
        return self.folder / file.removeprefix(below) if file.startswith(below) else self.folder.parent.parent / file


def study_progress(study: Study, folder: Path, now: float) -> tuple[list[Progress], Pace]:
    """Every job of the study in order, and how long jobs take; ``now`` in seconds since the epoch."""
    results, jobs = Results(study.name, folder), study_jobs(pinned(study, read_sources(folder)))
    pace = measured_pace(jobs, results)
    present = made(jobs, digests(jobs, read_sources(folder)), results.path)
    unfinished = {
        job.title: _unfinished(job, results, pace, now) for job in jobs if not present.issuperset(job.outputs)
    }
    begun = [job for job in jobs if job.title in unfinished and unfinished[job.title].state is not State.MISSING]
    waiting = needed(jobs, targets(study), (present - _outdated(jobs, begun)).__contains__)
    found = {job.title: unfinished.get(job.title, Progress(job, State.MISSING)) for job in waiting}
    return [found.get(job.title, Progress(job, State.DONE, 1.0)) for job in jobs], pace


def _outdated(jobs: Sequence[Job], begun: Sequence[Job]) -> set[str]:
    """What the jobs that have begun will change, directly or in turn: it is made again after them."""
    outdated = {output for job in begun for output in job.outputs}
    for job in jobs:
        if not outdated.isdisjoint(job.inputs):
            outdated.update(job.outputs)
    return outdated


def measured_pace(jobs: Sequence[Job], results: Results) -> Pace:
    """What the benchmark files say; one that cannot be read says nothing."""
    slowest: dict[str, float] = {}
    sums: dict[tuple[str, ...], tuple[float, int]] = {}
    for job in jobs:
        if (seconds := _benchmark_seconds(results.path(job.benchmark))) is None:
            continue
        slowest[job.stage] = max(seconds, slowest.get(job.stage, 0.0))
        for group in ((job.stage, job.kind), (job.stage,)):
            total, work = sums.get(group, (0.0, 0))
            sums[group] = total + seconds, work + job.amount
    per_unit = {group: total / work for group, (total, work) in sums.items()}
    by_kind = {(group[0], group[1]): value for group, value in per_unit.items() if len(group) == 2}
    return Pace(slowest, by_kind, {group[0]: value for group, value in per_unit.items() if len(group) == 1})


def _benchmark_seconds(path: Path) -> float | None:
    try:
        with path.open(newline="") as file:
            return max(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _unfinished(job: Job, results: Results, pace: Pace, now: float) -> Progress:
    log = results.path(job.log)
    if (started := _changed(log)) is None or _finished_since(record_file(results.path(job.outputs[0])), started):
        return Progress(job, State.MISSING)
    lines = _last_lines(log)
    if error := _error(lines):
        return Progress(job, State.FAILED, said=error)
    silent = max(0.0, now - max(started, *(_changed(path) or 0.0 for path in _written(job, results))))
    said = tuple(line for line in lines if not _BAR.search(line))[-ERROR_LINES:]
    if silent > pace.patience(job.stage):
        return Progress(job, State.FAILED, said=said, silent=silent)
    return Progress(job, State.RUNNING, _share(job, lines, results, pace, now - started), said, silent)


def _finished_since(record: Path, started: float) -> bool:
    """Whether the job had finished, so that its log is that of files which were deleted or went out of date since."""
    written = _changed(record)
    return written is not None and written >= started


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _written(job: Job, results: Results) -> Iterator[Path]:
    """What a running job writes to besides its log."""
    for file in (*job.outputs, *filter(None, [job.state])):
        path = results.path(file)
        yield path
        yield path.with_name(path.name + ".partial")


def _last_lines(log: Path) -> list[str]:
    """The end of a log, line by line, made safe for a terminal; each state of a progress bar counts as a line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [visible(line.rstrip()) for line in _LINE_END.split(text) if line.strip()]


def last_error(log: Path) -> tuple[str, ...]:
    """The lines of the error that a log ends in, for the terminal; none where it does not end in one."""
    return _error(_last_lines(log))


def _error(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines of the error at the end of these, without what a progress bar left before it."""
    ending = [_BAR.sub("", line).strip() if _ERROR.search(line) else line for line in lines]
    ending = [line for line in ending if line and not _BAR.search(line)][-ERROR_LINES:]
    told = any(_ERROR.match(line) or line.startswith("Traceback ") or line == "interrupted" for line in ending)
    return tuple(ending) if told else ()


def _share(job: Job, lines: Sequence[str], results: Results, pace: Pace, elapsed: float) -> float:
    """How much of a running job is done: what it says itself, or else the time it has had of what it should take."""
    counts = [_COUNTS.search(line) for line in lines]
    said = [[int(number) for number in match.groups() if number] for match in counts if match]
    shares = [done / total for done, total in said[-1:] if total]
    if job.state and (iteration := _iteration(results.path(job.state))):
        shares.append(iteration / job.amount)
    expected = pace.seconds(job)
    if not shares and expected:
        shares.append(max(elapsed, 0) / expected)  # a job may have begun since we looked at the clock
    return min(max(shares, default=0.0), 1.0)


def _iteration(state: Path) -> int:
    """Iterations done by the training that left this state, from the header of its safetensors file; 0 if unknown."""
    try:
        with state.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return int(json.loads(header["__metadata__"]["seediff"])["about"]["iteration"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError, RecursionError):
        return 0
