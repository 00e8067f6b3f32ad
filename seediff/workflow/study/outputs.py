"""The sections of a study that say what it shows: tables, mask quality and figures."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from seediff.bounds import MOST_TIMESTEPS
from seediff.workflow.study.values import AtOnce, Count, Name, Names, Section, Text, each_once

Kind = Literal["iou", "mean", "merged", "harmonic"]


class Column(Section):
    """One number of a table row, in percent; exactly one of four kinds.

    ``iou``: of that class. ``mean``: mean IoU over those classes, or ``all``, background included. ``merged``: IoU of
    those classes, made one before it is taken. ``harmonic``: the harmonic mean of two other columns.
    """

    iou: Name | None = None
    mean: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    merged: Names | None = None
    harmonic: tuple[str, str] | None = None

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Column:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("give one of 'iou', 'mean', 'merged' and 'harmonic'")
        each_once(self.of)
        return self

    @property
    def kind(self) -> Kind:
        return next(kind for kind in get_args(Kind) if getattr(self, kind) is not None)

    @property
    def of(self) -> tuple[str, ...]:
        """The classes or columns it is made of; nothing stands for all classes."""
        if self.mean == "all":
            return ()
        names = getattr(self, self.kind)
        return (names,) if isinstance(names, str) else names


class Row(Section):
    """One table row: the run it stands for, and what the paper reports (percent): of the first column, or by column.

    A row without a run is quoted from the paper alone.
    """

    label: str
    recipe: Name | None = None
    segmenter: Name | None = None
    benchmark: Name | None = None
    paper: float | dict[str, float] | None = None

    @model_validator(mode="after")
    def _has_a_whole_run_or_none(self) -> Row:
        if len({part is None for part in (self.recipe, self.segmenter, self.benchmark)}) > 1:
            raise ValueError("a run needs 'recipe', 'segmenter' and 'benchmark'; a quoted row has none of them")
        return self


class Table(Section):
    """``columns`` by heading; if none are given, the mean IoU over all classes and over the listed ones.

    ``reported_on``: the benchmark of the paper's numbers, where it is not the study's.
    """

    title: str
    caption: str
    reported_on: str | None = None
    columns: dict[str, Column] = {}
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]


Timesteps = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=MOST_TIMESTEPS)], ...], AfterValidator(each_once), Field(min_length=1)
]


class MaskQuality(Section):
    """Masks against exact annotation, no segmenter in between: annotated images noised to ``timesteps``."""

    title: str
    caption: str
    benchmark: Name
    images: Count
    timesteps: Timesteps
    variants: Names
    refinements: Names


class OpenPrompt(Section):
    """Any sentence, and the word in it whose mask is wanted.

    Every place where the sentence has the word counts, unless ``starts`` gives the characters at which it begins where
    it is meant (counted from 0).
    """

    prompt: Text
    word: Text
    starts: tuple[int, ...] = Field(default=(), exclude_if=lambda starts: not starts)


class Figures(Section):
    """The paper's figures: of one image for each of ``classes``, and of the ``open`` prompts.

    Figure 5 shows the worst of ``candidates`` images a class.
    """

    image_set: Name
    classes: Names
    candidates: AtOnce
    open: Annotated[tuple[OpenPrompt, ...], Field(min_length=1)]
