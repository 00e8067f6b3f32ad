"""Drawing images with their masks, as the stage `synthesize` does, against a plain loop over the same pipeline.

The embedded world's own pipeline and study, one shard of images: what a shard costs beyond its images is recording, the
scores of all variants, PNG and the archives.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.timing import Row, compare
from seediff.prompts.prompt_sets import Prompt, class_prompts, make_prompts
from seediff.workflow.stages import prompts as prompts_stage
from seediff.workflow.stages import synthesize as synthesize_stage
from seediff.workflow.stages.synthesize import synthesize_shard
from seediff.workflow.study import find_study, load_study

TITLE = "Sampling 20 images of the embedded study: with every variant's masks written, against images alone"
IMAGES, ROUNDS = 20, 3


def embedded_shard(images: int) -> tuple[synthesize_stage.Spec, list[Prompt]]:
    """The study's own settings for a shard of that many images of one class."""
    study = load_study(find_study("mini"))
    every = make_prompts(**prompts_stage.spec(study, "basic").model_dump(mode="json"))
    return synthesize_stage.spec(study, "basic"), class_prompts(every, "cat", 0, images)


def rows() -> list[Row]:
    spec, prompts = embedded_shard(IMAGES)
    pipe, sampling = spec.pipeline()

    def plain() -> None:
        for start in range(0, IMAGES, sampling.batch_size):
            batch = prompts[start : start + sampling.batch_size]
            pipe(
                [prompt.prompt for prompt in batch],
                generator=[torch.Generator("cpu").manual_seed(prompt.rng_seed) for prompt in batch],
                num_inference_steps=sampling.num_inference_steps,
                guidance_scale=sampling.guidance_scale,
            )

    with TemporaryDirectory() as folder:

        def ours() -> None:
            synthesize_shard(spec, prompts, Path(folder, "images.tar"), Path(folder, "scores.tar"))

        return compare({"images alone, model loaded": plain, "seediff, from loading to archives": ours}, ROUNDS)
