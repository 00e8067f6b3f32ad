"""What a table is to show: plain JSON of the study, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from seediff.errors import SeediffError
from seediff.names import check_name, nearest
from seediff.workflow.reporting.columns import Column


@dataclass(frozen=True)
class Row:
    """One line: the run it stands for, and the numbers the paper reports for it, by column (percent).

    A row without a run (None) is quoted from the paper.
    """

    label: str
    recipe: str | None
    segmenter: str | None
    benchmark: str | None
    paper: Mapping[str, float] = field(default_factory=dict)

    @property
    def run(self) -> tuple[str, str, str] | None:
        """Recipe, segmenter and benchmark, if there is a run."""
        if self.recipe is None or self.segmenter is None or self.benchmark is None:
            return None
        return self.recipe, self.segmenter, self.benchmark


@dataclass(frozen=True)
class TableSpec:
    """What a table shows: ``repeats`` runs a row, and of each the numbers that ``columns`` say.

    ``embedded``: the study's images come from the embedded world, so that its numbers and the paper's must not be
    subtracted. ``reported_on``: the benchmark of the reported numbers.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    study: str
    repeats: int = 1
    embedded: bool = False
    reported_on: str = ""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TableSpec:
        """Read plain JSON; unknown and absent keys, unknown kinds and unusable names are a ``SeediffError``."""
        _check_keys(cls, content, "The table")
        for kind, entries in ((Column, content["columns"]), (Row, content["rows"])):
            for entry in entries:
                _check_keys(kind, entry, f"A {kind.__name__.lower()} of table {content['name']!r}")
        columns = tuple(Column(**{**column, "of": tuple(column.get("of", ()))}) for column in content["columns"])
        spec = cls(**{**content, "columns": columns, "rows": tuple(Row(**row) for row in content["rows"])})
        for row in spec.rows:
            for name in row.run or ():
                check_name("run", name)
        return spec

    @property
    def reported_name(self) -> str:
        return f"paper: {self.reported_on}" if self.reported_on else "paper"

    @property
    def reproduced_name(self) -> str:
        return f"{self.study}: embedded pictogram world" if self.embedded else self.study

    @property
    def main(self) -> Column:
        """The column whose order of rows counts: the first mean, or else the first."""
        means = [column for column in self.columns if column.kind in ("mean", "harmonic")]
        return (means or list(self.columns))[0]


@dataclass(frozen=True)
class MaskQualitySpec:
    """A table of ``mask_quality/<benchmark>.json``: masks against exact annotation, no segmenter in between."""

    name: str
    title: str
    caption: str
    benchmark: str
    study: str

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> MaskQualitySpec:
        _check_keys(cls, content, "The mask quality table")
        check_name("benchmark", content["benchmark"])
        return cls(**content)


def _check_keys(kind: type, content: Mapping[str, Any], where: str) -> None:
    known = {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(kind)}
    if unknown := [key for key in content if key not in known]:
        raise SeediffError(f"{where} has the unknown key {unknown[0]!r}.\n{nearest(unknown[0], known)}")
    if absent := [key for key, required in known.items() if required and key not in content]:
        raise SeediffError(f"{where} lacks the key {absent[0]!r}.")
