"""What a table is to show."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from seediff.workflow.reporting.columns import Column
from seediff.workflow.stage import Spec
from seediff.workflow.study.values import Name, Repeats


class Row(Spec):
    """One line: the run it stands for, and the numbers the paper reports for it, by column (percent).

    A row without a run (None) is quoted from the paper.
    """

    label: str
    recipe: Name | None
    segmenter: Name | None
    benchmark: Name | None
    paper: dict[str, float] = Field(default_factory=dict)

    @property
    def run(self) -> tuple[str, str, str] | None:
        """Recipe, segmenter and benchmark, if there is a run."""
        if self.recipe is None or self.segmenter is None or self.benchmark is None:
            return None
        return self.recipe, self.segmenter, self.benchmark


class TableSpec(Spec):
    """What a table shows: ``repeats`` runs a row, and of each the numbers that ``columns`` say.

    ``embedded``: the study's images come from the embedded world, so that its numbers and the paper's must not be
    subtracted. ``reported_on``: the benchmark of the reported numbers.
    """

    name: Name
    title: str
    caption: str
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    study: Name
    repeats: Repeats = 1
    embedded: bool = False
    reported_on: str = ""

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


class MaskQualitySpec(Spec):
    """A table of ``mask_quality/<benchmark>.json``: masks against exact annotation, no segmenter in between."""

    name: Literal["mask_quality"] = "mask_quality"
    title: str
    caption: str
    benchmark: Name
    study: Name
