"""Stage: the report's strips, which show every step of SeeDiff on one image of each class."""

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

VERSION = 1
JOB, STATE, TIMED, GPUS = "", "", True, 1


class Spec(synthesize.Spec):
    prompts: prompts.Spec
    refinement: Refinement


def spec(study: Study) -> Spec:
    image_set = next(iter(study.image_sets))
    shown = prompts.spec(study, study.image_sets[image_set].prompt_set).model_copy(update={"per_class": 1})
    drawn = synthesize.denoising(study, image_set, ["seediff"])
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
    """Draw one image of each class and show every mask step."""
    from seediff.datasets.images import encode_picture
    from seediff.diffusion.synthesis import draw
    from seediff.files.sealed import partial
    from seediff.prompts.prompt_sets import make_prompts
    from seediff.workflow.reporting.strips import step_strip

    pipe, sampling = spec.pipeline()
    (steps,) = spec.variants.values()
    for drawn in draw(pipe, make_prompts(**spec.prompts.model_dump(mode="json")), sampling):
        picture = encode_picture(step_strip(drawn, steps, spec.refinement))
        with partial(output / f"{slug(drawn.prompt.class_name)}.png") as unfinished:
            unfinished.write_bytes(picture)
