"""The state of each job of a study, from the study's files only, without a workflow or a scheduler.

A job whose files are there, or are no longer needed, is done. Of the others, a job whose log ends in an error has
failed. A job whose log, partial output or training state has changed recently is running; a job that has been silent
for longer has failed as well, perhaps because it was killed. A job without a log is missing. The jobs that depend on a
job that has begun count as missing too: after an edit, a run shows its whole chain as missing.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from seediff.errors import SeediffError
from seediff.names import visible
from seediff.workflow.graph import Job, needed, study_jobs, targets
from seediff.workflow.layout import OF_NO_JOB, SNAPSHOT, SOURCES, Results, fill
from seediff.workflow.records import digests, made, record_file
from seediff.workflow.sources import local_sources, pinned, read_sources, real_data
from seediff.workflow.study import Study
from seediff.workflow.study.paths import missing_models

SHORTEST_PATIENCE, LONGEST_PATIENCE = 5 * 60.0, 30 * 60.0
"""Seconds of silence after which a job counts as dead: the time of its stage's slowest job, within these bounds."""
TAIL_BYTES, ERROR_LINES = 8192, 3

UNEXPLAINED = "The job ended, and its log does not say why. It may have been killed, for lack of memory for example."

_LINE_END = re.compile(r"[\r\n]+")
_BAR = re.compile(r".*\d+%\|[^|]*\|[^\[]*\[[^\]]*\]")
_ERROR = re.compile(r"(?:[\w.]*(?:[eE]rror|Exception)(?::|$)|Traceback |(?:KeyboardInterrupt|interrupted)$)")
_COUNTS = re.compile(r"(\d+)/(\d+) \[[^\]]*(?:image|batch)|iteration (\d+) of (\d+)")


class State(Enum):
    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True)
class Progress:
    """A job's state, the share of it that is done, the end of its log, and the seconds since its last sign of life."""

    job: Job
    state: State
    share: float = 0.0
    said: tuple[str, ...] = ()
    silent: float = 0.0


@dataclass(frozen=True)
class Pace:
    """Seconds that finished jobs took, from the benchmark files: each stage's slowest job, and each unit of work."""

    slowest: dict[str, float]
    by_kind: dict[tuple[str, str], float]
    by_stage: dict[str, float]

    def patience(self, stage: str) -> float:
        return min(max(self.slowest.get(stage, LONGEST_PATIENCE), SHORTEST_PATIENCE), LONGEST_PATIENCE)

    def seconds(self, job: Job) -> float | None:
        """How long the whole job should take: 0 in stages that are not timed, ``None`` if unknown."""
        if not job.benchmark:
            return 0.0
        per_unit = self.by_kind.get((job.stage, job.kind), self.by_stage.get(job.stage))
        return None if per_unit is None else per_unit * job.amount


@dataclass(frozen=True)
class Status:
    """Every job of the study in order, how long jobs take, and files that no job makes, such as those of a removed
    table."""

    results: Results
    jobs: list[Progress]
    pace: Pace
    leftovers: list[Path]

    def in_state(self, state: State) -> list[Progress]:
        return [progress for progress in self.jobs if progress.state is state]


def study_status(study: Study, folder: Path, now: float) -> Status:
    """The state of the study's results in ``folder``; ``now`` in seconds since the epoch.

    Raises ``SeediffError`` if a local model is missing: which jobs are done depends on its files.
    """
    if not folder.is_dir():
        raise SeediffError(
            f"There are no results in {folder}.\nRun `snakemake --cores all --config study={study.name}`, or give "
            "--results."
        )
    if missing := missing_models(study):
        raise SeediffError(
            f"The state of {study.name} depends on {missing[0]}, which does not exist.\n"
            "Run this command in the folder from which the study's paths start."
        )
    results, sources = Results(study.name, folder), local_sources(study, read_sources(folder), real_data(study))
    jobs = study_jobs(pinned(study, sources))
    pace = measured_pace(jobs, results)
    present = made(jobs, digests(jobs, sources), results.path)
    unfinished = {
        job.title: _unfinished(job, results, pace, now) for job in jobs if not present.issuperset(job.outputs)
    }
    begun = [job for job in jobs if job.title in unfinished and unfinished[job.title].state is not State.MISSING]
    waiting = needed(jobs, targets(study), (present - _outdated(jobs, begun)).__contains__)
    found = {job.title: unfinished.get(job.title, Progress(job, State.MISSING)) for job in waiting}
    progress = [found.get(job.title, Progress(job, State.DONE, 1.0)) for job in jobs]
    return Status(results, progress, pace, _leftovers(jobs, results))


def _outdated(jobs: Sequence[Job], begun: Sequence[Job]) -> set[str]:
    """The files that the jobs that have begun will change, directly or through later jobs."""
    outdated = {output for job in begun for output in job.outputs}
    for job in jobs:
        if not outdated.isdisjoint(job.inputs):
            outdated.update(job.outputs)
    return outdated


def measured_pace(jobs: Sequence[Job], results: Results) -> Pace:
    """The times in the benchmark files; unreadable files are ignored."""
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
    if silent > pace.patience(job.stage):
        return Progress(job, State.FAILED, said=_without_bars(lines), silent=silent)
    share = _share(job, lines, results, pace, now - started)
    return Progress(job, State.RUNNING, share, _without_bars(lines), silent)


def _finished_since(record: Path, started: float) -> bool:
    """Whether the job finished after ``started``: its log is that of files that were deleted or are out of date."""
    written = _changed(record)
    return written is not None and written >= started


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _written(job: Job, results: Results) -> Iterator[Path]:
    """The files that a running job writes besides its log."""
    for file in (*job.outputs, *filter(None, [job.state])):
        path = results.path(file)
        yield path
        yield path.with_name(path.name + ".partial")


def _last_lines(log: Path) -> list[str]:
    """The last lines of a log, made safe for a terminal; each state of a progress bar counts as a line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [visible(line.rstrip()) for line in _LINE_END.split(text) if line.strip()]


def _without_bars(lines: Sequence[str]) -> tuple[str, ...]:
    """The last lines without progress bars; a message may follow a bar on its line."""
    words = (_BAR.sub("", line).rstrip() for line in lines)
    return tuple(line for line in words if line.strip())[-ERROR_LINES:]


def last_error(log: Path) -> tuple[str, ...]:
    """The lines of the error at the end of a log, for the terminal; none if it does not end in an error."""
    return _error(_last_lines(log))


def _error(lines: Sequence[str]) -> tuple[str, ...]:
    ending = _without_bars(lines)
    return ending if any(_ERROR.match(line) for line in ending) else ()


def _share(job: Job, lines: Sequence[str], results: Results, pace: Pace, elapsed: float) -> float:
    """How much of a running job is done: as its log or state says, or else by the time it has run."""
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


def _leftovers(jobs: Sequence[Job], results: Results) -> list[Path]:
    """Files in the results that no job makes, in order; without hidden files."""
    own = {os.fspath(results.path(output)) for job in jobs for output in job.outputs}
    own |= {os.fspath(results.path(fill(note, study=results.study))) for note in (SOURCES, SNAPSHOT)}
    return sorted(Path(file) for file in _files(results.folder) if file.removesuffix(".partial") not in own)


def _files(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in OF_NO_JOB]
        yield from (os.path.join(place, name) for name in names if not name.startswith("."))


def failed_job(stage: str, log: Path, reason: str = "") -> str:
    """The stage, its job's log, and the error at the end of the log, for the terminal.

    ``reason``: what a scheduler says about it, if anything. If the log does not say why the job ended (it may have been
    killed), a line that does is added to the log.
    """
    reason = reason.partition("\n")[0].strip()
    if not last_error(log):
        _write_error(log, reason or UNEXPLAINED)
    said = [*([reason] if reason else []), *last_error(log)] or [UNEXPLAINED]
    return "\n".join([f"failed: {stage} ({log})", *(f"  {visible(line)}" for line in dict.fromkeys(said))])


def _write_error(log: Path, reason: str) -> None:
    with suppress(OSError):  # the disk may be full
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"\nerror: {visible(reason)}\n")
