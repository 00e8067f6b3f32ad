"""What a table shows: its columns and its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, get_args

from pydantic import Field

from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.workflow.stage import Spec
from seediff.workflow.study.outputs import Kind
from seediff.workflow.study.values import Name, Repeats, Seed


@dataclass(frozen=True)
class TableColumn:
    """The ``iou`` of a class, the ``mean`` IoU over classes (all if ``of`` is empty) or over the ``foreground``, the
    IoU of ``merged`` classes, or the ``harmonic`` mean of two columns. ``of`` names the classes or columns."""

    heading: str
    kind: Kind
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise SeediffError(
                f"Column {self.heading!r}: unknown kind {self.kind!r}.\n{nearest(self.kind, get_args(Kind))}"
            )

    @property
    def meaning(self) -> str:
        """What the number is, in words; nothing where the heading says it already."""
        if self.kind == "merged" and len(self.of) > 1:
            return f"{self.heading}: {' + '.join(self.of)} as one class"
        if self.kind == "mean":
            return f"{self.heading}: mean IoU over {', '.join(self.of) or 'all classes, background included'}"
        if self.kind == "foreground":
            return f"{self.heading}: mean IoU over all classes but the background"
        return f"{self.heading}: harmonic mean of {' and '.join(self.of)}" if self.kind == "harmonic" else ""


class TableRow(Spec):
    """One line: the run it stands for, and the numbers the paper reports for it, by column (percent).

    A row without a run (None) is quoted from the paper. ``block``: the heading of the rows it belongs to, if any.
    ``longer_than``: the label of the row that it trains longer than.
    """

    label: str
    block: str = ""
    recipe: Name | None
    segmenter: Name | None
    benchmark: Name | None
    longer_than: Annotated[str | None, Field(exclude_if=lambda label: label is None)] = None
    paper: dict[str, float] = Field(default_factory=dict)

    @property
    def run(self) -> tuple[str, str, str] | None:
        """Recipe, segmenter and benchmark, if there is a run."""
        if self.recipe is None or self.segmenter is None or self.benchmark is None:
            return None
        return self.recipe, self.segmenter, self.benchmark


class SegmenterTable(Spec):
    """What a table shows: ``repeats`` runs per row, and the numbers in ``columns`` of each run.

    ``embedded``: the study's images come from the embedded world, so the paper's numbers must not be subtracted from
    its own. ``reported_on``: the benchmark of the reported numbers. ``rng_seed``: of resampled images.
    """

    name: Name
    title: str
    question: str = ""
    caption: str
    columns: Annotated[tuple[TableColumn, ...], Field(min_length=1)]
    rows: Annotated[tuple[TableRow, ...], Field(min_length=1)]
    study: Name
    repeats: Repeats = 1
    rng_seed: Seed = 0
    embedded: bool = False
    reported_on: str = ""

    @property
    def reported_name(self) -> str:
        return f"paper: {self.reported_on}" if self.reported_on else "paper"

    @property
    def reproduced_name(self) -> str:
        return f"{self.study}: embedded pictogram world" if self.embedded else self.study

    @property
    def main(self) -> TableColumn:
        """The column by which rows are compared: the first mean, or else the first column."""
        means = [column for column in self.columns if column.kind in ("mean", "foreground", "harmonic")]
        return (means or list(self.columns))[0]


class JudgedRow(Spec):
    """One line: the variant and the refinement that its masks are made by."""

    label: str
    variant: Name
    refinement: Name


class JudgedTable(Spec):
    """A table of ``judged/<judge>.json``: masks compared with what a judge says, without a segmenter trained on them.

    ``reference``: the wildcards of the run that tests the judge, where that is a segmenter.
    """

    name: Name
    title: str
    question: str = ""
    caption: str
    judge: Name
    reference: dict[str, str] | None
    rows: Annotated[tuple[JudgedRow, ...], Field(min_length=1)]
    study: Name
    embedded: bool = False
