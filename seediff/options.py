"""Options of the command line that are paths: one, or as many as are given."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

Option = tuple[str, dict[str, Any]]


def file(text: str) -> Path:
    """A path from the command line; what no file can be called is refused."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no path")
    return Path(text)


def path(option: str) -> Option:
    return option, {"type": file, "required": True}


def paths(option: str) -> Option:
    return option, {"type": file, "nargs": "*", "default": []}
