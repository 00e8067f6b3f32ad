"""How a command and its options are declared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from seediff.errors import SeediffError
from seediff.ranges import named

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
    """A folder that results go to, there or not: that it is a file is said before hours of work, not after."""
    if file(text).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is a file; name a folder")
    return Path(text)


def number_of_processes(text: str) -> int:
    """A whole number; as many processes are started where there is no GPU, too."""
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes from 1 to {MOST_PROCESSES}")
    return int(text)


def path(option: str) -> Option:
    return option, {"type": file, "required": True}


def paths(option: str) -> Option:
    """Any number of files, each by its path or many as a range."""
    return option, {"type": files, "nargs": "*", "default": [], "action": Flattened}


def files(text: str) -> list[Path]:
    file(text)
    try:
        return named(text)
    except SeediffError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Flattened(argparse.Action):
    """Keeps the lists that an option's values are as one list."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, list(chain.from_iterable(values)))
