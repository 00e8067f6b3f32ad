"""The names in a study's tables and judges must be defined in it, and fit each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from seediff.datasets.formats import Format
from seediff.errors import SeediffError
from seediff.masks.variants import VARIANTS
from seediff.names import nearest, repeated
from seediff.segmenter.settings import ROBUST_ARCHITECTURES
from seediff.workflow.study.data_formats import data_format
from seediff.workflow.study.outputs import Column, Judge, MaskTable, ReferenceJudge, Row, SceneJudge, Table
from seediff.workflow.study.sections import Study


def check_judge(study: Study, name: str, judge: Judge) -> None:
    where = f"judges.{name}"
    check_defined("benchmark", judge.benchmark, study.benchmarks, where)
    if isinstance(judge, SceneJudge):
        check_tested(study, judge.benchmark, study.classes, where)
        return
    check_defined("image set", judge.image_set, study.image_sets, where)
    check_defined("recipe", judge.recipe, study.recipes, where)
    check_defined("segmenter", judge.segmenter, study.segmenters, where)
    if unknown := sorted({*study.image_set_classes(judge.image_set)} - {*study.recipe_classes(judge.recipe)}):
        raise SeediffError(f"{where}: recipe {judge.recipe!r} does not teach {unknown[0]!r}, which is drawn.")
    check_tested(study, judge.benchmark, study.recipe_classes(judge.recipe), where)


def check_mask_table(study: Study, name: str, table: MaskTable) -> None:
    where = f"tables.{name}"
    no_row_twice(where, table)
    check_defined("judge", table.judge, study.judges, where)
    for row in table.rows:
        check_defined("refinement", row.refinement, study.refinements, f"{where}, row {row.label!r}")
        check_defined("variant", row.variant, {**VARIANTS, **study.variants}, f"{where}, row {row.label!r}")
        _check_scored(study, study.judges[table.judge], row.variant, f"{where}, row {row.label!r}")


def _check_scored(study: Study, judge: Judge, variant: str, where: str) -> None:
    """A judge of drawn images needs the scores that were recorded with them."""
    if isinstance(judge, ReferenceJudge) and variant not in study.image_sets[judge.image_set].variants:
        raise SeediffError(
            f"{where}: image set {judge.image_set!r} does not score the variant {variant!r}.\n"
            f"Add it to image_sets.{judge.image_set}.variants."
        )


def no_row_twice(where: str, table: Table | MaskTable) -> None:
    labels = [row.label for row in table.rows]
    if twice := repeated(labels):
        raise SeediffError(f"{where} has two rows {twice[0]!r}.\nGive each its own label.")


def check_repeats(study: Study, table: Table, where: str) -> None:
    if (table.repeats or 0) > study.repeats:
        raise SeediffError(
            f"{where}: {table.repeats} repeats are more than the study's {study.repeats}.\n"
            "Raise 'repeats' of the study, or leave them out here."
        )


def check_row(study: Study, table: Table, row: Row, where: str) -> None:
    if isinstance(row.paper, dict):
        for heading in row.paper:
            check_defined("column", heading, table.columns, where)
    if row.recipe is None or row.segmenter is None or row.benchmark is None:
        return
    check_defined("recipe", row.recipe, study.recipes, where)
    check_defined("segmenter", row.segmenter, study.segmenters, where)
    check_defined("benchmark", row.benchmark, study.benchmarks, where)
    recipe, segmenter = row.recipe, row.segmenter
    if study.is_robust(recipe) and not study.segmenters[segmenter].trains_robustly:
        raise SeediffError(
            f"{where}: recipe {recipe!r} is robust, but segmenter {segmenter!r} cannot be trained robustly.\n"
            f"Use one with engine 'seediff' and architecture {' or '.join(map(repr, ROBUST_ARCHITECTURES))}."
        )
    while start := study.recipes[recipe].start:
        ours, theirs = study.segmenters[segmenter], study.segmenters[start.segmenter]
        if (ours.backbone, ours.architecture) != (theirs.backbone, theirs.architecture):
            part = "backbone" if ours.backbone != theirs.backbone else "architecture"
            raise SeediffError(
                f"{where}: segmenter {segmenter!r} cannot start from {start.segmenter!r}, which has another {part}."
            )
        recipe, segmenter = start.recipe, start.segmenter
    for heading, column in table.columns.items():
        kind, known = "class", list(study.recipe_classes(row.recipe))
        if column.kind == "harmonic":
            kind, known = "column", [other for other, settings in table.columns.items() if settings.kind != "harmonic"]
        for name in column.of:
            if name not in known:
                problem = f"{where}, column {heading!r}: recipe {row.recipe!r} has no {kind} {name!r}."
                raise SeediffError(f"{problem}\n{nearest(name, known)}")
    _check_label_spaces(study, table, row.recipe, row.benchmark, where)
    if row.longer_than is not None:
        _check_longer(study, table, row, where)


def _check_longer(study: Study, table: Table, row: Row, where: str) -> None:
    """It may differ from the shorter row in iterations alone."""
    by_label = {other.label: other for other in table.rows if other.segmenter}
    check_defined("row", str(row.longer_than), by_label, f"{where}, longer_than,")
    shorter = by_label[str(row.longer_than)]
    ours, theirs = study.segmenters[str(row.segmenter)], study.segmenters[str(shorter.segmenter)]
    same = (row.recipe, row.benchmark) == (shorter.recipe, shorter.benchmark)
    if not same or replace(ours, iterations=theirs.iterations) != theirs or ours.iterations <= theirs.iterations:
        raise SeediffError(
            f"{where}: it is not the training of {shorter.label!r} with more iterations.\n"
            "Give it the same recipe and benchmark, and a segmenter that differs in its higher 'iterations' alone."
        )


def _check_label_spaces(study: Study, table: Table, recipe: str, benchmark: str, where: str) -> None:
    """The benchmark must have each of the recipe's classes, or name it in ``lacks``.

    It must have all classes of a mean, and at least one of those that are merged.
    """
    if (format := check_tested(study, benchmark, study.recipe_classes(recipe), where)) is None:
        return
    known = format.class_names
    columns = table.columns or {"mIoU": Column(mean="all")}
    for heading, column in columns.items():
        of = column.of if column.kind != "harmonic" else ()
        of = study.recipe_classes(recipe) if isinstance(column.mean, str) else of
        foreign = [name for name in of if known.isdisjoint(format.own_names(name))]
        if foreign and (column.kind != "merged" or len(foreign) == len(of)):
            problem = f"{where}, column {heading!r}: {format.name} has no class {foreign[0]!r}."
            raise SeediffError(f"{problem}\n{nearest(foreign[0], known)}")


def check_tested(study: Study, benchmark: str, classes: Sequence[str], where: str) -> Format | None:
    """A benchmark must have the classes, or be known or declared to lack them; its format, if it is known."""
    settings = study.benchmarks[benchmark]
    try:
        if format := data_format(settings, settings.split):
            format.label_by_name(classes, settings.lacks)
        return format
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None


def check_defined(kind: str, name: str, known: Iterable[str], where: str) -> None:
    if name not in (names := list(known)):
        raise SeediffError(f"{where} names the {kind} {name!r}, which is not defined.\n{nearest(name, names)}")
