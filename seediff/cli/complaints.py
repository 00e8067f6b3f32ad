"""How a command says that it failed: a few lines, whatever was given to it."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import NoReturn

from seediff.names import visible


def failed(reason: object) -> int:
    """Say the reason; returns the exit code."""
    _complain(str(reason))
    return 1


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the options without repeating all that there are."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{visible(message)}\nSee `{self.prog} --help`.")
        sys.exit(2)


def _complain(message: str) -> None:
    """Say what is wrong in three lines at most, whatever names of files have come into it."""
    first, second, *more = [*map(visible, message.split("\n")), ""]
    lines = [f"error: {first}", second, " ".join(more)]
    with suppress(OSError):  # the log may be on the disk that is full
        print("\n".join(line for line in lines if line), file=sys.stderr, flush=True)
