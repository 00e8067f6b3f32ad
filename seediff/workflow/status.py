"""How far a study is, for the terminal (``seediff status``)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from seediff.errors import SeediffError
from seediff.names import one_line, visible
from seediff.workflow.leftovers import leftovers
from seediff.workflow.progress import Pace, Progress, Results, State, study_progress
from seediff.workflow.study import Study

LISTED = 10
"""Jobs that run or have failed, and leftovers, are named one by one up to here."""


def status_text(study: Study, folder: Path, now: float | None = None) -> str:
    """A table of the stages, the jobs that run or have failed, leftovers, and the time left, for the terminal."""
    if not folder.is_dir():
        raise SeediffError(
            f"There are no results in {folder}.\nRun `snakemake --cores all --config study={study.name}`, or give "
            "--results."
        )
    now = time.time() if now is None else now
    progress, pace = study_progress(study, folder, now)
    clock = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    blocks = [
        f"{one_line(study.title)}: {visible(str(folder))}, {clock}",
        "\n".join(_table(progress, pace)),
        _listing("running", [_running_line(one, pace) for one in progress if one.state is State.RUNNING]),
        _listing("failed", [_failed_lines(one, folder, study) for one in progress if one.state is State.FAILED]),
        _listing("no longer part of the study; may be deleted", [[str(file)] for file in leftovers(study, folder)]),
        _time_left(progress, pace),
    ]
    return "\n\n".join(block for block in blocks if block)


def _table(progress: Sequence[Progress], pace: Pace) -> list[str]:
    rows = [("stage", "jobs", *(state.value for state in State), "left")]
    for stage in dict.fromkeys(one.job.stage for one in progress):
        of_stage = [one for one in progress if one.job.stage == stage]
        numbers = [sum(one.state is state for one in of_stage) for state in State]
        rows.append((stage, str(len(of_stage)), *(str(n) if n else "–" for n in numbers), _left_cell(of_stage, pace)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in rows
    ]


def _left_cell(progress: Sequence[Progress], pace: Pace) -> str:
    """A dash where nothing is left, or nothing that takes time."""
    seconds, unknown = _left(progress, pace)
    return "?" if unknown else duration(seconds) if seconds else "–"


def _left(progress: Sequence[Progress], pace: Pace) -> tuple[float, int]:
    """Seconds of work left in the jobs that are not done, and the number of those nobody knows the time of."""
    expected = [(pace.seconds(one.job), 1 - one.share) for one in progress if one.state is not State.DONE]
    known = [seconds * rest for seconds, rest in expected if seconds is not None]
    return sum(known), len(expected) - len(known)


def _time_left(progress: Sequence[Progress], pace: Pace) -> str:
    running = sum(one.state is State.RUNNING for one in progress)
    if all(one.state is State.DONE for one in progress):
        return "Nothing is left to do."
    seconds, unknown = _left(progress, pace)
    at_once = f"with {running} at a time, as now" if running > 1 else "one at a time"
    said = f"Left: about {duration(seconds / max(running, 1))}, jobs {at_once}."
    if unknown:
        said += f" {unknown} jobs are not in this: none of their stage has finished yet."
    return said


def _running_line(one: Progress, pace: Pace) -> list[str]:
    expected = pace.seconds(one.job)
    left = "" if expected is None else f", about {duration(expected * (1 - one.share))} left"
    return [f"{one.job.title}: {one.share:.0%}{left}, last sign of life {duration(one.silent)} ago"]


def _failed_lines(one: Progress, folder: Path, study: Study) -> list[str]:
    why = f" no sign of life for {duration(one.silent)}" if one.silent else ""
    log = Results(study.name, folder).path(one.job.log)
    return [f"{one.job.title}:{why} ({log})", *(f"  {line}" for line in one.said)]


def _listing(heading: str, jobs: Sequence[Sequence[str]]) -> str:
    more = [f"  and {len(jobs) - LISTED} more"] if len(jobs) > LISTED else []
    lines = [f"  {line}" for lines in jobs[:LISTED] for line in lines]
    return "\n".join([f"{heading}:", *lines, *more]) if jobs else ""


def duration(seconds: float) -> str:
    """In the two largest units that matter: '40 s', '12 min', '3 h 20 min', '2 d 4 h'."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
