"""What a data set tells of how its images were made: ``seediff generate`` notes prompts, classes and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from seediff.datasets.images import read_file
from seediff.errors import SeediffError
from seediff.files.sealed import read_json

SETTINGS = "settings.json"
METADATA = "train/metadata.jsonl"
"""A line for each pair, in the form of Hugging Face's imagefolder: file_name, mask_file_name, class, label, text."""


@dataclass(frozen=True)
class Origin:
    """``captions``: name of an image -> the prompt it was drawn from; ``categories``: -> the class that was drawn.

    ``settings``: those of ``seediff generate``, its model among them. Whatever the data set does not tell is empty.
    """

    captions: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_origin(folder: Path, split: str) -> Origin:
    """What the data set in ``folder`` tells of a split; ``SeediffError`` if its metadata or settings are broken.

    Other splits may have images of the same names. Settings are those of the split that ``seediff generate`` wrote.
    """
    path = folder / split / "metadata.jsonl"
    rows = [*_rows(path)] if path.is_file() else []
    generated = path == folder / METADATA and path.is_file() and (folder / SETTINGS).is_file()
    return Origin(
        captions=_column(rows, "text"),
        categories=_column(rows, "class"),
        settings=read_json(folder / SETTINGS, "The file of settings") if generated else {},
    )


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    lines = read_file(path).decode("utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            usable = isinstance(row["file_name"], str)
            json.dumps(row, ensure_ascii=False).encode()  # JSON may escape half a character, which cannot be written
        except (ValueError, KeyError, TypeError, RecursionError):
            usable = False
        if not usable:
            problem = "not a JSON object with a file_name, in Unicode"
            raise SeediffError(f"{path}, line {number}: {problem}.\nCorrect that line, or remove the file.")
        yield row


def _column(rows: list[Mapping[str, Any]], column: str) -> dict[str, str]:
    """Name of an image -> what the column says of it, where it is a text."""
    named = ((PurePosixPath(row["file_name"]).stem, row.get(column)) for row in rows)
    return {name: text for name, text in named if isinstance(text, str)}
