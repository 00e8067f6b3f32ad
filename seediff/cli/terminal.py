"""What commands print: tables, and the progress of a study."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seediff.errors import SeediffError
from seediff.extras import require_extra
from seediff.names import one_line, visible, visible_lines

if TYPE_CHECKING:
    from seediff.workflow.status import Progress, Status
    from seediff.workflow.study import Study

WIDTH = 150
"""Least width of tables, in characters; a narrower terminal wraps their lines."""
LISTED = 10
"""How many jobs and files of a kind are listed."""
NONE = "–"


def say(text: str) -> None:
    """Print the text with control characters written out, so that no title, path or log can control the terminal."""
    print(visible_lines(text))


def aligned(rows: Sequence[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """The rows as a table, the first as its heading; columns in ``words`` are left-aligned, others right-aligned."""
    from rich.console import Console
    from rich.table import Table

    heading, *body = rows
    table = Table(box=None, pad_edge=False, header_style=None)
    for place, title in enumerate(heading):
        table.add_column(title, justify="left" if place in words else "right", no_wrap=True)
    for row in body:
        table.add_row(*row)
    console = Console(width=1000, markup=False, emoji=False, highlight=False, color_system=None)
    with console.capture() as printed:
        console.print(table)
    return "\n".join(line.rstrip() for line in printed.get().splitlines())


def show_tables(paths: Iterable[Path]) -> None:
    """Print tables as `seediff stage tabulate` writes them in Markdown."""
    require_extra("workflow")
    from rich.console import Console
    from rich.markdown import Markdown

    from seediff.files.sealed import read_page

    console = Console(emoji=False)
    console.width = max(console.width, WIDTH)
    for path in paths:
        if path.suffix != ".md":
            raise SeediffError(f"{path} is not Markdown.\nShow the table of that name that ends in .md.")
        if not path.is_file():
            raise SeediffError(f"There is no table {path}.\nMake it: snakemake --cores all {shlex.quote(str(path))}")
        with console.capture() as printed:
            console.print(Markdown(visible_lines(read_page(path, "The table"))))
        print("\n".join(line.rstrip() for line in printed.get().splitlines()), end="\n\n")


def status_text(study: Study, folder: Path, now: float | None = None) -> str:
    """A table of the stages, the jobs that run or have failed, leftovers, and the time left."""
    from seediff.workflow.status import State, study_status

    now = time.time() if now is None else now
    status = study_status(study, folder, now)
    clock = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    running, failed = status.in_state(State.RUNNING), status.in_state(State.FAILED)
    blocks = [
        f"{one_line(study.title)}: {visible(str(folder))}, {clock}",
        _stages(status),
        _listing("running", [[_running(progress, status)] for progress in running]),
        _listing("failed", [_failed(progress, status) for progress in failed]),
        _listing("no longer part of the study; may be deleted", [[str(file)] for file in status.leftovers]),
        _time_left(status, len(running)),
    ]
    return "\n\n".join(block for block in blocks if block)


def _stages(status: Status) -> str:
    from seediff.workflow.status import State

    rows = [("stage", "jobs", *(state.value for state in State), "left")]
    stages: dict[str, list[Progress]] = {}
    for progress in status.jobs:
        stages.setdefault(progress.job.stage, []).append(progress)
    for stage, jobs in stages.items():
        numbers = [sum(progress.state is state for progress in jobs) for state in State]
        seconds, unknown = _work_left(jobs, status)
        left = "?" if unknown else duration(seconds) if seconds else NONE
        rows.append((stage, str(len(jobs)), *(str(number) if number else NONE for number in numbers), left))
    return aligned(rows)


def _work_left(jobs: Sequence[Progress], status: Status) -> tuple[float, int]:
    """Seconds of work left in the jobs that are not done, and the number of jobs whose time is unknown."""
    expected = [(status.pace.seconds(progress.job), 1 - progress.share) for progress in jobs]
    known = [seconds * rest for seconds, rest in expected if seconds is not None]
    return sum(known), sum(seconds is None and rest > 0 for seconds, rest in expected)


def _time_left(status: Status, running: int) -> str:
    seconds, unknown = _work_left(status.jobs, status)
    left = sum(progress.share < 1 for progress in status.jobs)
    if not left:
        return "Nothing is left to do."
    at_once = f"with {running} at a time, as now" if running > 1 else "one at a time"
    about = f"about {duration(max(seconds / max(running, 1), 1))}, jobs {at_once}" if left > unknown else ""
    more = f"{unknown} jobs take unknown time, as none of their stage has finished yet" if unknown else ""
    return f"Left: {'; '.join(filter(None, [about, more]))}."


def _running(progress: Progress, status: Status) -> str:
    expected = status.pace.seconds(progress.job)
    left = f", about {duration(expected * (1 - progress.share))} left" if expected else ""
    return f"{progress.job.title}: {progress.share:.0%}{left}, last sign of life {duration(progress.silent)} ago"


def _failed(progress: Progress, status: Status) -> list[str]:
    why = f" no sign of life for {duration(progress.silent)}" if progress.silent else ""
    log = status.results.path(progress.job.log)
    return [f"{progress.job.title}:{why} ({log})", *(f"  {line}" for line in progress.said)]


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
