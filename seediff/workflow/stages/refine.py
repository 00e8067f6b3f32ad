"""Stage: masks from scores, with a variant for each class; a part holds several shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seediff.masks.refinement import Refinement
from seediff.versions import VERSIONS
from seediff.workflow import layout, plan
from seediff.workflow.layout import manifest
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.mask_sets import mask_sets
from seediff.workflow.study.values import Name, Names

VERSION = VERSIONS["refine"]
JOB, STATE, TIMED, GPUS = layout.MASK_PART, "", True, 0


class Spec(BaseSpec):
    """``variants``: the variant of each class. ``reliability``: whether to write it beside each mask."""

    classes: Names
    variants: dict[Name, Name]
    refinement: Refinement
    reliability: Annotated[bool, Field(exclude_if=lambda value: not value)] = False


def spec(study: Study, image_set: str, variant: str, refinement: str, reliability: str) -> Spec:
    return Spec(
        classes=study.image_set_classes(image_set),
        variants=plan.variants_by_class(study, image_set, variant),
        refinement=study.refinement(refinement),
        reliability=bool(reliability),
    )


def inputs(study: Study, image_set: str, variant: str, part: str) -> Files:
    shards = plan.part(study, image_set, int(part))
    images = plan.image_files(study, image_set, shards)
    scores = plan.score_files(study, image_set, variant, shards)
    return {"images": images, "scores": scores, "manifests": [*map(manifest, [*images, *scores])]}


def outputs(study: Study) -> Files:
    return {"masks": layout.MASKS, "manifest": manifest(layout.MASKS)}


def work(study: Study) -> Iterator[Work]:
    for masks in mask_sets(study):
        for part, shards in enumerate(plan.parts(study, masks.image_set)):
            images, kind = sum(shard.count for shard in shards), f"{masks.image_set}/{masks.refinement}"
            yield Work({**masks.wildcards, "part": f"{part:04d}"}, kind, images)


def run(spec: Spec, images: Sequence[Path], scores: Sequence[Path], output: Path) -> None:
    """Turn scores into masks."""
    from seediff.masks.shards import refine_shards

    refine_shards(images, scores, spec.classes, spec.variants, spec.refinement, spec.reliability, output)
