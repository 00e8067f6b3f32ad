"""The formats of a study's data sets, whose classes its own are compared with before anything runs."""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.formats import Format
from seediff.datasets.registry import FORMATS, find_format
from seediff.workflow.study.sections import Benchmark


def data_format(benchmark: Benchmark, split: str) -> Format | None:
    """The format of that split; None if its classes are in a folder that is not there, which ``check_paths`` reports.

    Raises ``SeediffError`` if the folder has no such split, or if its classes are unclear.
    """
    if benchmark.format in FORMATS:
        return FORMATS[benchmark.format]
    if benchmark.folder is None or not Path(benchmark.folder).is_dir():
        return None
    return find_format(benchmark.format).of(Path(benchmark.folder), split)


def number_of_images(benchmark: Benchmark) -> int:
    """How many images its split has: officially, or else in its folder; 0 if neither is known."""
    if (format := data_format(benchmark, benchmark.split)) is None:
        return 0
    official = format.splits.get(benchmark.split, 0)
    return len(format.find_items(format.place, benchmark.split)) if official is None else official
