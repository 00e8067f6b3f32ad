"""How a command and its options are declared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Option = tuple[str, dict[str, Any]]


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


def path(option: str) -> Option:
    return option, {"type": file, "required": True}


def paths(option: str) -> Option:
    return option, {"type": file, "nargs": "*", "default": []}
