"""Stage: a finished shard's images for the scores of variants added since.

Variants that only look again are given the finished images. For others, the images are drawn again from the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seediff.attention.calls import LookAgain
from seediff.masks.variants import calls_of
from seediff.workflow import layout, plan
from seediff.workflow.layout import fill, manifest
from seediff.workflow.stage import Files, Work
from seediff.workflow.stages import synthesize
from seediff.workflow.stages.synthesize import Spec, denoising
from seediff.workflow.study import Study

if TYPE_CHECKING:
    from seediff.prompts.prompt_sets import Prompt

VERSION = synthesize.VERSION
JOB, STATE, TIMED, GPUS = layout.REPLAYED_SHARD, "", True, 1


def spec(study: Study, pass_name: str) -> Spec:
    section = study.passes[pass_name]
    return denoising(study, section.image_set, section.variants)


def inputs(study: Study, pass_name: str, class_slug: str, block: str) -> Files:
    section = study.passes[pass_name]
    looks_only = all(isinstance(calls_of(study.steps(variant)), LookAgain) for variant in section.variants)
    shard = {"image_set": section.image_set, "class_slug": class_slug, "block": block}
    images = [fill(layout.IMAGES, study=study.name, **shard)] if looks_only else []
    return {**synthesize.inputs(study, section.image_set), "images": images}


def outputs(study: Study) -> Files:
    return {"scores": layout.REPLAYED_SCORES, "manifest": manifest(layout.REPLAYED_SCORES)}


def work(study: Study) -> Iterator[Work]:
    for name, section in study.passes.items():
        for shard in plan.shards(study, section.image_set):
            yield Work({"pass_name": name, **shard.wildcards}, kind=name, amount=shard.count)


def run(spec: Spec, prompts: Path, class_name: str, first: int, count: int, images: Path | None, scores: Path) -> None:
    """Score further variants of a finished shard's images."""
    from seediff.prompts.prompt_sets import class_prompts, read_prompts

    replay_shard(spec, class_prompts(read_prompts(prompts), class_name, first, count), images, scores)


def replay_shard(spec: Spec, prompts: Sequence[Prompt], images: Path | None, scores: Path) -> None:
    """Draw the prompts again from the same seeds, or look again at their ``images``, and score further variants."""
    from seediff.diffusion.shards import draw_shard, redraw_shard, write_scores

    pipe, sampling = spec.pipeline()
    if images is None:
        drawn = draw_shard(pipe, sampling, prompts, spec.variants, spec.checksums)
    else:
        drawn = redraw_shard(pipe, sampling, prompts, images, spec.variants, spec.checksums)
    write_scores(scores, drawn)
