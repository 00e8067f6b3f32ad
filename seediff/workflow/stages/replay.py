"""Stage: a finished shard's images, drawn again from the same seeds for the scores of variants added since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seediff.workflow import layout, plan
from seediff.workflow.layout import manifest
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


def inputs(study: Study, pass_name: str) -> Files:
    return synthesize.inputs(study, study.passes[pass_name].image_set)


def outputs(study: Study) -> Files:
    return {"scores": layout.REPLAYED_SCORES, "manifest": manifest(layout.REPLAYED_SCORES)}


def work(study: Study) -> Iterator[Work]:
    for name, section in study.passes.items():
        for shard in plan.shards(study, section.image_set):
            yield Work({"pass_name": name, **shard.wildcards}, kind=name, amount=shard.count)


def run(spec: Spec, prompts: Path, class_name: str, first: int, count: int, scores: Path) -> None:
    """Draw a finished shard's images again to score further variants."""
    from seediff.prompts.prompt_sets import class_prompts, read_prompts

    replay_shard(spec, class_prompts(read_prompts(prompts), class_name, first, count), scores)


def replay_shard(spec: Spec, prompts: Sequence[Prompt], scores: Path) -> None:
    """Draw the prompts again from the same seeds, for the scores of further variants."""
    from seediff.diffusion.shards import draw_shard, write_scores

    write_scores(scores, draw_shard(*spec.pipeline(), prompts, spec.variants, spec.checksums))
