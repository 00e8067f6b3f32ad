"""Stage: the measures of every pair of a mask set, and which pairs are good enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seediff.filtering.settings import Filter
from seediff.workflow import layout, plan
from seediff.workflow.layout import manifest
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.mask_sets import Filtered, MaskSet, all_filtered, compared
from seediff.workflow.study.values import Count, Name

VERSION = 1
JOB, STATE, TIMED, GPUS = layout.FILTERED, "", True, 0


class Spec(BaseSpec):
    """``variants``: by class, the variant whose scores made the masks. ``draw_size``: images of each class in a draw,
    of which each is filtered by itself; None if there is only one draw."""

    variants: Annotated[dict[Name, Name], Field(min_length=1)]
    filter: Filter
    draw_size: Annotated[Count | None, Field(exclude_if=lambda value: value is None)] = None


def spec(study: Study, image_set: str, variant: str, filter: str) -> Spec:
    """The variant is not compared with itself."""
    asked = replace(study.filters[filter], agreement_with=study.compared_variants(variant, filter))
    variants, draw_size = plan.variants_by_class(study, image_set, variant), study.prompt_set_of(image_set).draw_size
    return Spec(variants=variants, filter=asked, draw_size=draw_size)


def inputs(study: Study, image_set: str, variant: str, refinement: str, filter: str) -> Files:
    filtered = Filtered(MaskSet(image_set, variant, refinement), filter)
    shards = plan.shards(study, image_set)
    found = {
        "images": plan.image_files(study, image_set, shards),
        "scores": plan.score_files(study, image_set, variant, shards),
        "masks": plan.mask_files(study, filtered.masks),
        "other_masks": [path for masks in compared(study, filtered) for path in plan.mask_files(study, masks)],
    }
    model = study.filters[filter].clip_model
    clip = plan.network_inputs(model) if model else []
    return {**found, "manifests": [manifest(path) for paths in found.values() for path in paths], "clip": clip}


def outputs(study: Study) -> Files:
    return {"filter": layout.FILTER}


def work(study: Study) -> Iterator[Work]:
    for filtered in all_filtered(study):
        images = sum(shard.count for shard in plan.shards(study, filtered.masks.image_set))
        yield Work({**filtered.masks.wildcards, "filter": filtered.filter}, filtered.filter, images)


def run(
    spec: Spec,
    images: Sequence[Path],
    scores: Sequence[Path],
    masks: Sequence[Path],
    other_masks: Sequence[Path],
    output: Path,
) -> None:
    """Measure image-mask pairs and say which are good enough to learn from."""
    from seediff.devices import claimed
    from seediff.filtering.pairs import measure_pairs
    from seediff.filtering.selection import select, write_selection

    with claimed() if spec.filter.clip_model is not None else nullcontext():
        measured = measure_pairs(images, scores, masks, other_masks, spec.variants, spec.filter)
    write_selection(output, measured, select(measured, spec.filter, spec.draw_size))
