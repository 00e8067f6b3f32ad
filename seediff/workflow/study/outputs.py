"""The sections of a study that say what it shows: tables, their judges of masks, and figures."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Le
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from seediff.names import repeated
from seediff.settings import MOST_TIMESTEPS, AtOnce
from seediff.workflow.study.values import Name, Names, Repeats, Section, Text, each_once

Kind = Literal["iou", "mean", "foreground", "merged", "harmonic"]


def _any_image(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of images; ``ValueError`` if all are 0."""
    if not any(numbers):
        raise ValueError("asks for no image at all")
    return numbers


class Column(Section):
    """A column by its heading: a number in percent, of exactly one of four kinds."""

    iou: Name | None = None
    """The IoU of this class."""
    mean: Literal["all", "foreground"] | Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """The mean IoU over these classes; over ``all``, background included; or over the ``foreground``, all but that."""
    merged: Names | None = None
    """The IoU of these classes, merged into one."""
    harmonic: tuple[str, str] | None = None
    """The harmonic mean of two other columns."""

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Column:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("give one of 'iou', 'mean', 'merged' and 'harmonic'")
        each_once(self.of)
        return self

    @property
    def kind(self) -> Kind:
        if self.mean == "foreground":
            return "foreground"
        return next(kind for kind in get_args(Kind) if getattr(self, kind, None) is not None)

    @property
    def of(self) -> tuple[str, ...]:
        """The classes or columns it is made of; empty for all classes, and for the foreground."""
        if isinstance(self.mean, str):
            return ()
        names = getattr(self, self.kind)
        return (names,) if isinstance(names, str) else names


class Row(Section):
    """A row: a run, with the paper's numbers beside its own.

    A row without a run only quotes the paper ("reported only").
    """

    label: str
    """Its first cell."""
    block: Text | None = Field(default=None, exclude_if=lambda block: block is None)
    """The heading above the rows of a block, which follow each other. Neighbouring rows are compared within it."""
    recipe: Name | None = None
    """What is trained on, an entry of ``recipes``."""
    segmenter: Name | None = None
    """What is trained, an entry of ``segmenters``."""
    benchmark: Name | None = None
    """What it is tested on, an entry of ``benchmarks``."""
    longer_than: Text | None = Field(default=None, exclude_if=lambda label: label is None)
    """The label of a row that is trained in the same way for fewer iterations. The table then says whether that one has
    converged: whether the rest changes its mean over repeats by less than their standard deviation."""
    paper: float | dict[str, float] | None = None
    """What the paper reports, in percent: of the first column, or by the heading of the column."""

    @model_validator(mode="after")
    def _has_a_whole_run_or_none(self) -> Row:
        if len({part is None for part in (self.recipe, self.segmenter, self.benchmark)}) > 1:
            raise ValueError("a run needs 'recipe', 'segmenter' and 'benchmark'; a quoted row has none of them")
        return self


class Table(Section):
    """A table of the report.

    Without ``columns`` it has the mean IoU over the foreground classes, over all, and over ``listed_classes``.
    """

    title: str
    """Its heading."""
    question: Text | None = Field(default=None, exclude_if=lambda question: question is None)
    """What it is to answer, in one sentence."""
    caption: str
    """What it shows."""
    repeats: Repeats | None = Field(default=None, exclude_if=lambda repeats: repeats is None)
    """Trainings of each of its rows, if they are fewer than the study's."""
    reported_on: str | None = None
    """The benchmark of the paper's numbers, where it is not the study's."""
    columns: dict[str, Column] = {}
    predictions: Annotated[int, Ge(0), Le(20), Field(exclude_if=lambda number: number == 0)] = 0
    """Images of the first row's benchmark on which the report shows what each row's segmenter predicts."""
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_whole_blocks(self) -> Table:
        blocks = [block for block, _ in groupby(row.block for row in self.rows)]
        if twice := repeated([block for block in blocks if block]):
            raise ValueError(f"the rows of block {twice[0]!r} do not follow each other")
        if None in blocks[1:]:
            raise ValueError("rows without a 'block' come before those that have one")
        return self


Timesteps = Annotated[
    tuple[Annotated[int, Ge(0), Le(MOST_TIMESTEPS - 1)], ...], AfterValidator(each_once), Field(min_length=1)
]


class SceneJudge(Section):
    """Exact annotation: images of a benchmark, noised, recorded, and compared with it.

    Prompts name the classes that an image shows, by the words of the first image set's prompt set.
    """

    benchmark: Name
    """The annotated images, an entry of ``benchmarks``."""
    images: Annotated[
        tuple[Annotated[int, Ge(0), Le(1_000_000)], ...],
        Field(min_length=1, max_length=10),
        AfterValidator(_any_image),
    ]
    """How many images that show one class, two classes, and so on."""
    timesteps: Timesteps
    """The timesteps that stand for those of a denoising run: each image is noised to every one of them."""
    model: Text | None = None
    """Hub id or folder of the diffusion model, where it is not the study's."""


class ReferenceJudge(Section):
    """A segmenter trained long on exact masks: what it sees in drawn images is compared with their masks."""

    image_set: Name
    """The drawn images, an entry of ``image_sets``, which scores the variants."""
    recipe: Name
    """What the segmenter is trained on, an entry of ``recipes``."""
    segmenter: Name
    """An entry of ``segmenters``."""
    benchmark: Name
    """Where the judge itself is tested, an entry of ``benchmarks``."""


def _kind_of_judge(judge: Any) -> str:
    is_reference = "image_set" in judge if isinstance(judge, dict) else isinstance(judge, ReferenceJudge)
    return "ReferenceJudge" if is_reference else "SceneJudge"


Judge = Annotated[
    Annotated[SceneJudge, Tag("SceneJudge")] | Annotated[ReferenceJudge, Tag("ReferenceJudge")],
    Discriminator(_kind_of_judge),
]


class MaskRow(Section):
    """A row of a table of masks."""

    label: str
    """Its first cell."""
    variant: Name
    """The variant that scores the image."""
    refinement: Name
    """From the score to the mask, an entry of ``refinements``."""


class MaskTable(Section):
    """A table of the report that compares masks, without a segmenter between them and the numbers."""

    title: str
    """Its heading."""
    question: Text | None = Field(default=None, exclude_if=lambda question: question is None)
    """What it is to answer, in one sentence."""
    caption: str
    """What it shows."""
    judge: Name
    """What says where the object is, an entry of ``judges``."""
    rows: Annotated[tuple[MaskRow, ...], Field(min_length=1)]


def _kind_of_table(table: Any) -> str:
    is_of_masks = "judge" in table if isinstance(table, dict) else isinstance(table, MaskTable)
    return "MaskTable" if is_of_masks else "Table"


AnyTable = Annotated[
    Annotated[Table, Tag("Table")] | Annotated[MaskTable, Tag("MaskTable")], Discriminator(_kind_of_table)
]


class OpenPrompt(Section):
    """Any sentence, and the word in it whose mask is wanted."""

    prompt: Text
    """The sentence."""
    word: Text
    """The word."""
    starts: tuple[int, ...] = Field(default=(), exclude_if=lambda starts: not starts)
    """Where the word begins, in characters counted from 0, if not every occurrence is meant."""


class Figures(Section):
    """The paper's figures: of one image of each class, and of any other prompts."""

    image_set: Name
    """The images to show, an entry of ``image_sets``."""
    classes: Names
    """The classes to show."""
    candidates: AtOnce
    """Images drawn of each class; Figure 5 shows the worst of them."""
    open: Annotated[tuple[OpenPrompt, ...], Field(min_length=1)]
