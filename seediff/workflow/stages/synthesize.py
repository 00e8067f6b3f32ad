"""Stage: prompts to a shard of images and a shard of scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from seediff.versions import VERSIONS
from seediff.workflow import layout, plan
from seediff.workflow.layout import fill, manifest
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.sections import Diffusion
from seediff.workflow.study.values import Text, VariantSteps

if TYPE_CHECKING:
    from seediff.diffusion.synthesis import Sampling
    from seediff.prompts.prompt_sets import Prompt

VERSION = VERSIONS["synthesize"]
JOB, STATE, TIMED, GPUS = layout.SHARD, "", True, 1


class Denoising(BaseSpec):
    """The model, its sampling settings, and its adapter, if any."""

    diffusion: Diffusion
    adapter: Annotated[Text | None, Field(exclude_if=lambda value: value is None)] = None

    def pipeline(self) -> tuple[Any, Sampling]:
        """Load it; ``SeediffError`` if its adapter is not as the study's own adaptation wrote it."""
        from seediff.diffusion.loading import load
        from seediff.diffusion.model_files import reference
        from seediff.diffusion.synthesis import Sampling
        from seediff.training.checkpoint import load_tensors

        if self.adapter:
            load_tensors(Path(self.adapter), "The adapter")
        settings = self.diffusion
        model = reference(settings.model, settings.revision)
        sampling = Sampling(
            settings.num_inference_steps,
            settings.guidance_scale,
            settings.batch_size,
            settings.height,
            settings.width,
        )
        return load(model, settings.dtype, adapter=self.adapter), sampling

    def checksums(self) -> dict[str, str]:
        """The checksums of the model, and of its adapter."""
        from seediff.diffusion.model_files import identity

        return identity(self.diffusion.reference, Path(self.adapter) if self.adapter else None)


class Spec(Denoising):
    variants: VariantSteps


def spec(study: Study, image_set: str) -> Spec:
    """What a denoising run depends on: the model, its sampling, and the steps of every variant it feeds."""
    return denoising(study, image_set, study.image_sets[image_set].variants)


def denoising(study: Study, image_set: str, variants: Sequence[str]) -> Spec:
    steps = {variant: study.steps(variant) for variant in variants}
    return Spec(
        diffusion=study.diffusion, adapter=next(iter(plan.adapter_files(study, image_set)), None), variants=steps
    )


def inputs(study: Study, image_set: str) -> Files:
    prompts = fill(layout.PROMPTS, study=study.name, prompt_set=study.image_sets[image_set].prompt_set)
    adapter = plan.adapter_files(study, image_set)
    return {"prompts": prompts, "adapter": adapter, "diffusion": plan.diffusion_files(study)}


def outputs(study: Study) -> Files:
    return {
        "images": layout.IMAGES,
        "images_manifest": manifest(layout.IMAGES),
        "scores": layout.SCORES,
        "scores_manifest": manifest(layout.SCORES),
    }


def work(study: Study) -> Iterator[Work]:
    for name in study.image_sets:
        for shard in plan.shards(study, name):
            yield Work({"image_set": name, **shard.wildcards}, kind=name, amount=shard.count)


def run(spec: Spec, prompts: Path, class_name: str, first: int, count: int, images: Path, scores: Path) -> None:
    """Draw one shard of images and score every variant."""
    from seediff.prompts.prompt_sets import class_prompts, read_prompts

    synthesize_shard(spec, class_prompts(read_prompts(prompts), class_name, first, count), images, scores)


def synthesize_shard(spec: Spec, prompts: Sequence[Prompt], images: Path, scores: Path) -> None:
    """Draw the prompts; write their images and the scores of the spec's variants."""
    from seediff.diffusion.shards import draw_shard, write_images, write_scores

    drawn = draw_shard(*spec.pipeline(), prompts, spec.variants, spec.checksums)
    write_images(images, drawn)
    write_scores(scores, drawn)
