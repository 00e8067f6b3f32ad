"""Where hostile input is tried: a folder to inspect afterwards, and the command line run inside it."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import stat
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from hypothesis import HealthCheck, settings

from seediff.cli import main

STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that no terminal may be given; progress bars, on the other stream, need some of them."""
LIMIT_SECONDS = 300
"""A case takes milliseconds; one that takes this long hangs, even on a busy machine."""


def cases(number: int) -> settings:
    """The same cases on every machine, even a slow one."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(max_examples=number, derandomize=True, deadline=None, database=None, suppress_health_check=slow)


@dataclass(frozen=True)
class Sandbox:
    """``folder`` is the working directory, some levels below ``top``; results belong in ``folder / 'out'``."""

    top: Path
    folder: Path

    def seediff(self, *arguments: str | Path) -> tuple[int, str]:
        """Run a command that may fail in three lines and write only to ``out``: its exit code, and its output."""
        before = self._contents()
        code, said = run([str(argument) for argument in arguments])
        assert self._contents() == before
        return code, said

    def _contents(self) -> dict[str, str]:
        """Every file outside ``out``, with its content."""
        out = self.folder / "out"
        found = {}
        for path in sorted(self.top.rglob("*")):
            if path != out and out not in path.parents:
                found[str(path)] = _content(path)
        return found


def _content(path: Path) -> str:
    mode = path.lstat().st_mode
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else str(stat.S_IFMT(mode))


def run(arguments: list[str]) -> tuple[int, str]:
    """The command line's exit code and error message, which must be short and, like all output, control nothing."""
    out, err = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), _limited_time():
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    text = err.buffer.getvalue().decode()
    message = text[text.index("error: ") :] if "error: " in text else ""
    assert code in (0, 1, 2), text
    assert not STEERING.search(out.buffer.getvalue().decode() + message)
    assert " object at 0x" not in text
    assert "Traceback" not in text
    assert bool(message) or code == 0 or arguments[:2] == ["data", "check"], text
    assert len(message.splitlines()) <= 3, message
    return code, message


@contextmanager
def _limited_time() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"nothing came of it in {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    with TemporaryDirectory() as name:
        top = Path(os.path.realpath(name))
        folder = top / "a" / "b" / "c"
        folder.mkdir(parents=True)
        with chdir(folder):
            yield Sandbox(top, folder)
