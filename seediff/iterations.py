"""How a training shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def shown(what: str, batches: Iterable[T], done: int, total: int) -> Iterator[T]:
    """The batches of the iterations from ``done`` on: a bar on a terminal; in a log, a line every tenth of the way."""
    if sys.stderr.isatty():
        yield from tqdm(batches, what, total, initial=done, unit="it")
        return
    print(f"{what}: iteration {done} of {total}", file=sys.stderr, flush=True)
    for iteration, batch in enumerate(batches, done + 1):
        yield batch
        if iteration * 10 // total > (iteration - 1) * 10 // total:
            print(f"{what}: iteration {iteration} of {total}", file=sys.stderr, flush=True)
