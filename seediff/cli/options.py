"""Values that several commands take as options: files, folders, and many shards as a range."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from typer import BadParameter

from seediff.errors import SeediffError


def file(text: str | Path) -> Path:
    """A path; ``BadParameter`` if no file can have that name."""
    name = os.fspath(text)
    if not name or "\0" in name:
        raise BadParameter(f"{name!r} cannot be the name of a file")
    return Path(name)


def folder(text: str | Path) -> Path:
    """A folder for results, existing or not; ``BadParameter`` if it cannot be written to, before hours of work."""
    path = file(text)
    try:
        existing = _nearest_existing(path)
    except OSError as error:
        raise BadParameter(f"{str(path)!r} cannot be a folder: {error.strerror}") from None
    if not existing.is_dir():
        kind = "a file" if existing.is_file() else "not a folder"
        raise BadParameter(f"{str(existing)!r} is {kind}; name a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BadParameter(f"{str(path)!r} cannot be written to: permission denied in {str(existing)!r}")
    return path


Output = Annotated[Path, typer.Option(parser=folder, help="folder to write to")]


def _nearest_existing(path: Path) -> Path:
    """The path itself, even if it is a broken link, or else its nearest parent that exists."""
    for candidate in (path, *path.absolute().parents):
        try:
            candidate.lstat()
        except FileNotFoundError:
            continue
        return candidate
    return path


def files(text: str) -> list[Path]:
    """A file by its path, or many as a range such as ``images/{0000..0199}.tar``."""
    from seediff.workflow.layout import range_files

    file(text)
    try:
        return range_files(text)
    except SeediffError as error:
        raise BadParameter(str(error).replace("\n", " ")) from None
