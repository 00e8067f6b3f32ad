"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seediff.errors import SeediffError


@contextmanager
def partial(path: Path) -> Iterator[Path]:
    """A temporary neighbour of ``path`` to write to; renamed to it on success, removed on failure."""
    if not path.name or path.name == "..":
        raise SeediffError(f"{str(path)!r} is a folder, but has to be the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".partial")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise SeediffError(f"The disk is full: {path} could not be written.\nMake space and run again.") from None
        raise
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    with partial(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file that an earlier stage wrote; ``what`` names it in the error."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SeediffError(f"{what} {path} is missing. Run the workflow again to make it.") from None
    except (ValueError, OSError, RecursionError) as error:
        raise SeediffError(f"{what} {path} is broken ({error}).\nDelete it and run the workflow again.") from None
