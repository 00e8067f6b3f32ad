"""How a command and its options are declared."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from seediff.errors import SeediffError

Option = tuple[str, dict[str, Any]]
MOST_PROCESSES = 64


def add_command(among: Any, name: str, run: Callable[[argparse.Namespace], int | None], *options: Option) -> None:
    one = among.add_parser(name, help=run.__doc__, description=run.__doc__)
    one.set_defaults(run=run)
    for option, settings in options:
        one.add_argument(option, **settings)


def file(text: str) -> Path:
    """A path from the command line; what no file can be called is refused."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no path")
    return Path(text)


def folder(text: str) -> Path:
    """A folder that results go to, there or not: that it cannot be one is said before hours of work, not after."""
    path = file(text)
    try:
        there = _nearest_there(path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be a folder: {error.strerror}") from None
    if not there.is_dir():
        kind = "a file" if there.is_file() else "no folder"
        raise argparse.ArgumentTypeError(f"{str(there)!r} is {kind}; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written to: permission denied in {str(there)!r}")
    return path


def _nearest_there(path: Path) -> Path:
    """The path itself, be it a link that leads nowhere, or the nearest above it that is there."""
    for candidate in (path, *path.absolute().parents):
        try:
            candidate.lstat()
        except FileNotFoundError:
            continue
        return candidate
    return path


def number_of_processes(text: str) -> int:
    """A whole number; as many processes are started where there is no GPU, too."""
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes from 1 to {MOST_PROCESSES}")
    return int(text)


def files(text: str) -> list[Path]:
    """A file by its path, or many as a range."""
    file(text)
    try:
        from seediff.workflow.ranges import named

        return named(text)
    except SeediffError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Flattened(argparse.Action):
    """Keeps the lists that an option's values are as one list."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, list(chain.from_iterable(values)))
