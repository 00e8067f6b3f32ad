"""What a table shows, as data: differences of neighbouring rows, what becomes of the paper's order, which row is ahead,
and a sentence that says so. ``verdicts`` finds it; it is kept beside the table, for the report and for programs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeVar

from seediff.workflow.reporting.paired import Difference
from seediff.workflow.reporting.stored import read_stored

Verdict = Literal["supported", "contradicted", "undecided"]
Row = TypeVar("Row")


@dataclass(frozen=True)
class Pair:
    """Two neighbouring rows of a block, ``second`` below ``first``, and how far the second is ahead of the first.

    ``reported``: the same difference of the paper's numbers; without it, or where it is 0, there is no ``verdict``.
    """

    first: str
    second: str
    difference: Difference
    reported: float | None = None

    @property
    def verdict(self) -> Verdict | None:
        """What becomes of the paper's order of the two."""
        if not self.reported:
            return None
        *_, ours = self.in_papers_order
        return "supported" if ours.ahead else "contradicted" if ours.behind else "undecided"

    @property
    def in_papers_order(self) -> tuple[str, str, Difference]:
        """Of a pair with a verdict: the row that the paper has ahead, the other, and how far the one is ahead here."""
        if (self.reported or 0) > 0:
            return self.second, self.first, self.difference
        return self.first, self.second, -self.difference


@dataclass(frozen=True)
class Standing:
    """Rows of one block that were tested on the same images, two or more: ``rows`` from the best to the worst.

    ``lead``: of the best over the second. ``level``: the rows that the best is not ahead of beyond the interval.
    ``told_apart``: whether any two of the rows differ beyond their interval.
    """

    block: str
    rows: tuple[str, ...]
    lead: Difference
    level: tuple[str, ...]
    told_apart: bool


def standing(
    block: str, rows: Sequence[Row], label: Callable[[Row], str], difference: Callable[[Row, Row], Difference | None]
) -> Standing:
    """Of two or more ``rows``, the best first, which can be compared with each other."""
    best, second, *_ = rows
    lead = difference(best, second)
    assert lead is not None
    behind = {label(other): difference(best, other) for other in rows[1:]}
    apart = (difference(*two) for two in combinations(rows, 2))
    return Standing(
        block=block,
        rows=tuple(map(label, rows)),
        lead=lead,
        level=tuple(name for name, found in behind.items() if not (found and found.ahead)),
        told_apart=any(found and (found.ahead or found.behind) for found in apart),
    )


@dataclass(frozen=True)
class Overtaking:
    """The best row of a later block is ahead of all rows of the first one; ``difference``: to the best of those."""

    block: str
    row: str
    overtaken: str
    difference: Difference


@dataclass(frozen=True)
class Convergence:
    """A row trained in the same way for more iterations: how that ``change``s the mean over repeats, and the standard
    ``deviation`` of repeats, as the root of the mean of both rows' variances."""

    row: str
    longer: str
    change: float
    deviation: float

    @property
    def reached(self) -> bool:
        return abs(self.change) < self.deviation


@dataclass(frozen=True)
class Findings:
    """What a table shows in its main ``column``.

    ``repeats``: trainings of each row, 0 where nothing is trained. ``blocks``: headings of its blocks in order; that of
    the first may be empty. ``incomplete``: rows left out, as they lack runs.
    ``shows``: a sentence that says all of this.
    """

    table: str
    title: str
    question: str
    column: str
    repeats: int
    blocks: tuple[str, ...] = ("",)
    pairs: tuple[Pair, ...] = ()
    standings: tuple[Standing, ...] = ()
    overtakings: tuple[Overtaking, ...] = ()
    convergences: tuple[Convergence, ...] = ()
    incomplete: tuple[str, ...] = ()
    shows: str = ""


def as_content(findings: Findings) -> dict[str, Any]:
    """Ready for JSON: the fields, and the verdict of every pair."""
    pairs = [asdict(pair) | {"verdict": pair.verdict} for pair in findings.pairs]
    return dict(_rounded(asdict(findings) | {"pairs": pairs}))


def _rounded(content: Any) -> Any:
    """Far below what is shown, and above what differs between machines."""
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [*map(_rounded, content)]
    return round(content, 4) if isinstance(content, float) else content


def read_findings(path: Path) -> Findings:
    """What ``tables/<table>.verdicts.json`` holds; ``SeediffError`` naming it if it is not as it was written."""
    return read_stored(path, "The file of verdicts", Findings)
