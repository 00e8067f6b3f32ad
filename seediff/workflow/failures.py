"""What is said about a failed job: at once on the terminal, and by ``seediff status`` as long as its log exists."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from seediff.names import visible
from seediff.workflow.progress import last_error

UNTOLD = "The job ended, and its log does not say why. It may have been killed, for lack of memory for example."


def failed_job(stage: str, log: Path, reason: str = "") -> str:
    """The stage, where the job's log is, and what it ends in, for the terminal.

    ``reason``: what a scheduler says about it, if anything. If the log does not say why the job ended, because it was
    killed, a line that does is added to the log.
    """
    reason = reason.partition("\n")[0].strip()
    if not last_error(log):
        _write_error(log, reason or UNTOLD)
    said = [*([reason] if reason else []), *last_error(log)] or [UNTOLD]
    return "\n".join([f"failed: {stage} ({log})", *(f"  {visible(line)}" for line in dict.fromkeys(said))])


def _write_error(log: Path, reason: str) -> None:
    with suppress(OSError):  # the disk may be full
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"\nerror: {visible(reason)}\n")
