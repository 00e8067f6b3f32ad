"""Stage: the training set of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from seediff.workflow import layout, plan
from seediff.workflow.layout import manifest
from seediff.workflow.sources import benchmark_data, fingerprint_of
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import RealRecipe, Study
from seediff.workflow.study.mask_sets import filtered, mask_set
from seediff.workflow.study.sections import Format
from seediff.workflow.study.values import Count, Fingerprint, Name, Names, Text

VERSION = 1
JOB, STATE, TIMED, GPUS = "{recipe}", "", False, 0


class Synthetic(BaseSpec):
    """``draw_size``: images of each class in a draw; None if there is only one draw. ``filter``: the table that says
    which pairs are kept."""

    recipe: Name
    kind: Literal["synthetic"] = "synthetic"
    per_class: Count | None
    draw_size: Annotated[Count | None, Field(exclude_if=lambda value: value is None)] = None
    filter: Annotated[Text | None, Field(exclude_if=lambda value: value is None)] = None


class Real(BaseSpec):
    recipe: Name
    kind: Literal["real"] = "real"
    number: Count | None
    classes: Names
    format: Format
    folder: Text
    split: Name
    data: Fingerprint = None


Spec = Annotated[Synthetic | Real, Field(discriminator="kind")]


def spec(study: Study, recipe: str) -> Synthetic | Real:
    section = study.recipes[recipe]
    if not isinstance(section, RealRecipe):
        table = filtered(section)
        kept = plan.filter_table(study, table) if table else None
        draw_size = study.prompt_set_of(section.image_set).draw_size
        return Synthetic(recipe=recipe, per_class=section.per_class, draw_size=draw_size, filter=kept)
    return Real(
        recipe=recipe,
        number=section.number,
        classes=study.recipe_classes(recipe),
        format=study.benchmarks[section.benchmark].format,
        folder=plan.benchmark_folder(study, section.benchmark),
        split=section.split,
        data=fingerprint_of(study, benchmark_data(study, section.benchmark, section.split)),
    )


def inputs(study: Study, recipe: str) -> Files:
    """``filter`` is named in the spec."""
    section = study.recipes[recipe]
    table = None if isinstance(section, RealRecipe) else filtered(section)
    return {**pairs(study, recipe), "filter": [plan.filter_table(study, table)] if table else []}


def pairs(study: Study, recipe: str) -> Files:
    """The images and masks of a recipe; for a stand-in, its list of files."""
    section = study.recipes[recipe]
    if isinstance(section, RealRecipe):
        return {"images": plan.domain_files(study, section.benchmark), "masks": [], "manifests": []}
    images = plan.image_files(study, section.image_set, plan.shards(study, section.image_set))
    masks = plan.mask_files(study, mask_set(section))
    return {"images": images, "masks": masks, "manifests": [*map(manifest, [*images, *masks])]}


def outputs(study: Study) -> Files:
    return {"training_set": layout.TRAINING_SET}


def work(study: Study) -> Iterator[Work]:
    yield from (Work({"recipe": name}) for name in study.recipes)


def run(spec: Spec, images: Sequence[Path], masks: Sequence[Path], output: Path) -> None:
    """List the image-mask pairs a recipe trains on."""
    from seediff.datasets.training_sets import assemble, assemble_real
    from seediff.filtering.selection import read_kept

    if isinstance(spec, Real):
        source = spec.format, Path(spec.folder), spec.split
        assemble_real(*source, spec.classes, spec.number, output, spec.data)
    else:
        kept = read_kept(Path(spec.filter)) if spec.filter else None
        assemble(images, masks, spec.per_class, output, kept, spec.draw_size)
