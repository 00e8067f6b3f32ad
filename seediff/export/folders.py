"""A folder that is written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seediff.errors import SeediffError

MARK = ".unfinished-seediff-export"
"""The file that tells a folder which an export was killed in from any other."""


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty neighbour of ``folder`` to fill, ``<folder>.partial``: renamed on success, deleted on failure.

    What a killed call has left there is deleted first. Raises ``SeediffError`` if ``folder`` holds anything, or if the
    neighbour was not made here.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SeediffError(f"{folder} is not an empty folder.\nChoose another, or delete it.")
    if not folder.name or folder.name == "..":
        folder = folder.resolve()
    unfinished = folder.with_name(folder.name + ".partial")
    if unfinished.exists() and not (unfinished / MARK).is_file():
        raise SeediffError(f"{unfinished} is in the way: the export is written there first.\nMove it away.")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        (unfinished / MARK).touch()
        yield unfinished
        (unfinished / MARK).unlink()
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def subfolder(folder: Path, *names: str) -> Path:
    """A folder below, made if it is not there."""
    inner = folder.joinpath(*names)
    inner.mkdir(parents=True, exist_ok=True)
    return inner
