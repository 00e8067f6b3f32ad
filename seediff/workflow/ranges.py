"""Many numbered files in few words, for command lines: 'images/cat/{0000..0199}.tar' is two hundred shards.

Linux takes 128 KiB in one argument of a shell, which is what a rule's whole command is: 2,500 shards by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from seediff.errors import SeediffError

MOST = 1_000_000
_NUMBERED = re.compile(r"(.*?)(\d{4,})(\.\w+)", re.DOTALL)
_RANGE = re.compile(r"(.*)\{(\d{4,9})\.\.(\d{4,9})\}(\.\w+)", re.DOTALL)


def shortened(paths: Iterable[str]) -> list[str]:
    """The paths in their order, those that count up by one as one range."""
    found: list[tuple[str, int, int, str]] = []
    for path in paths:
        head, number, tail = _parts(path)
        if found and number >= 0 and (head, number - 1, tail) == (found[-1][0], *found[-1][2:]):
            found[-1] = (head, found[-1][1], number, tail)
        else:
            found.append((head, number, number, tail))
    return [_written(*one) for one in found]


def _parts(path: str) -> tuple[str, int, str]:
    """What stands before the number, the number, and what follows; -1 where there is none as shards have it."""
    match = _NUMBERED.fullmatch(path)
    if match is None or match[2] != f"{int(match[2]):04d}":
        return path, -1, ""
    return match[1], int(match[2]), match[3]


def _written(head: str, first: int, last: int, tail: str) -> str:
    if first < 0:
        return head
    return f"{head}{first:04d}{tail}" if first == last else f"{head}{{{first:04d}..{last:04d}}}{tail}"


def named(text: str) -> list[Path]:
    """The files that a range, or a path, names; raises ``SeediffError`` for one that ends before it begins."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return [Path(text)]
    head, first, last, tail = match[1], int(match[2]), int(match[3]), match[4]
    if not 0 <= last - first < MOST:
        raise SeediffError(f"{text!r} names no files.\nGive the lower number first, and {MOST:,} files at most.")
    return [Path(f"{head}{number:04d}{tail}") for number in range(first, last + 1)]
