"""Stage: the report's strips: every step of SeeDiff and the masks of every variant, on one image of each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seediff.masks.refinement import Refinement
from seediff.names import slug
from seediff.workflow import layout, plan
from seediff.workflow.layout import fill
from seediff.workflow.stage import Files, Work
from seediff.workflow.stages import prompts, synthesize
from seediff.workflow.study import Study

VERSION = 2
JOB, STATE, TIMED, GPUS = "", "", True, 1


STEPWISE = "seediff"
"""The variant whose steps are shown one by one."""


class Spec(synthesize.Spec):
    prompts: prompts.Spec
    refinement: Refinement


def spec(study: Study) -> Spec:
    image_set = next(iter(study.image_sets))
    shown = prompts.spec(study, study.image_sets[image_set].prompt_set).model_copy(update={"per_class": 1})
    drawn = synthesize.denoising(study, image_set, [*dict.fromkeys([STEPWISE, *study.image_sets[image_set].variants])])
    return Spec(**dict(drawn), prompts=shown, refinement=study.refinement(next(iter(study.refinements))))


def inputs(study: Study) -> Files:
    adapter = plan.adapter_files(study, next(iter(study.image_sets)))
    return {"adapter": adapter, "diffusion": plan.diffusion_files(study)}


def files(study: Study) -> list[str]:
    names = map(slug, spec(study).prompts.classes)
    return [fill(layout.STRIP, study=study.name, class_slug=name) for name in names]


def outputs(study: Study) -> Files:
    return {"strips": files(study)}


def work(study: Study) -> Iterator[Work]:
    yield Work()


def run(spec: Spec, output: Path) -> None:
    """Draw one image of each class and show every mask step, and the masks of every variant."""
    from seediff.datasets.images import encode_picture
    from seediff.diffusion.synthesis import draw
    from seediff.files.sealed import partial
    from seediff.masks.variants import recordings_of
    from seediff.prompts.prompt_sets import make_prompts
    from seediff.workflow.reporting.strips import stacked, step_strip, variant_strips

    pipe, sampling = spec.pipeline()
    prompts = make_prompts(**spec.prompts.model_dump(mode="json"))
    for drawn in draw(pipe, prompts, sampling, recordings_of(spec.variants)):
        rows = [step_strip(drawn, spec.variants[STEPWISE], spec.refinement)]
        rows += variant_strips(drawn, spec.variants, spec.refinement)
        picture = encode_picture(stacked(rows))
        with partial(output / f"{slug(drawn.prompt.class_name)}.png") as unfinished:
            unfinished.write_bytes(picture)
