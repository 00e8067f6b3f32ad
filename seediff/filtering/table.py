"""The table of a filter: every pair's measures, whether it is kept, and why not; a sealed CSV, one line a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from seediff.errors import SeediffError
from seediff.files.sealed import read_csv, write_csv
from seediff.filtering.selection import Measured
from seediff.filtering.settings import MEASURES

WHAT = "The filter's table"


def write_selection(path: Path, pairs: Sequence[Measured], reasons: Mapping[str, str]) -> None:
    """Write the pairs in their order; a measure that was not taken is empty."""
    write_csv(path, [_row(pair, reasons[pair.key]) for pair in pairs])


def _row(pair: Measured, reason: str) -> dict[str, str]:
    taken = {name: f"{pair.measures[name]:.6f}" if name in pair.measures else "" for name in MEASURES}
    return {"key": pair.key, "class_name": pair.class_name, **taken, "kept": "no" if reason else "yes", "why": reason}


def read_kept(path: Path) -> dict[str, bool]:
    """Key -> whether the pair is kept; ``SeediffError`` if the table is missing or not as it was written."""
    rows = read_csv(path, WHAT)
    if not {"key", "kept"} <= rows[0].keys():
        raise SeediffError(f"{path} is not the table of a filter.\nDelete it and run again to make it anew.")
    return {row["key"]: row["kept"] == "yes" for row in rows}
