"""Stable Diffusion 2-base, through the commands that the workflow runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load

from seediff.cli import main
from seediff.datasets.images import decode_mask, decode_rgb
from seediff.datasets.shards import Sample, read_shard
from seediff.diffusion.loading import load as load_pipeline
from seediff.diffusion.photographs import segment
from seediff.masks.variants import VARIANTS
from seediff.prompts.prompt_sets import read_prompts
from seediff.workflow.study import load_study
from tests.full_size.architectures import save_stable_diffusion
from tests.full_size.measured import measured
from tests.stages import spec_of

pytestmark = pytest.mark.full_size

STUDY = load_study(Path(__file__).parents[2] / "config" / "studies" / "paper.yaml")
STEPS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline, one prompt, and its shards of one image and of its scores."""
    folder = tmp_path_factory.mktemp("stable-diffusion")
    measured("build and save Stable Diffusion 2-base", save_stable_diffusion, folder / "model")
    prompts = spec_of("prompts", STUDY, "basic") | {"classes": ["cat"], "per_class": 1}
    command("prompts", prompts, "--output", folder / "prompts.csv")
    shard = ["--prompts", folder / "prompts.csv", "--class-name", "cat", "--first", "0", "--count", "1"]
    outputs = ["--images", folder / "images.tar", "--scores", folder / "scores.tar"]
    command("synthesize", spec_of("synthesize", STUDY, "basic") | {"diffusion": sampling(folder)}, *shard, *outputs)
    return folder


def sampling(folder: Path) -> dict[str, Any]:
    """The paper's sampler at two timesteps, for which PNDM takes three UNet calls."""
    return STUDY.diffusion.model_dump() | {"model": str(folder / "model"), "num_inference_steps": STEPS}


def command(stage: str, spec: Any, *arguments: Any) -> None:
    texts = ["stage", stage, "--spec", json.dumps(spec), *map(str, arguments)]
    assert measured(f"seediff stage {stage}", main, texts) == 0


def only_sample(path: Path) -> Sample:
    (sample,) = read_shard(path)
    return sample


def image_of(folder: Path) -> NDArray[np.uint8]:
    return decode_rgb(only_sample(folder / "images.tar").files["png"], "cat")


def test_every_variant_has_a_score(folder: Path) -> None:
    scores = load(only_sample(folder / "scores.tar").files["safetensors"])
    assert scores.keys() >= VARIANTS.keys()
    for name, score in scores.items():
        print(f"{name}: {score.min():.3f} to {score.max():.3f}, deviation {score.std(dtype=np.float32):.3f}")
        assert score.shape == (64, 64) and score.dtype == np.float16
        assert np.isfinite(score).all() and score.min() >= 0 and score.max() <= 1, name


def test_recording_leaves_the_image_alone(folder: Path) -> None:
    """The image shard rounds by up to half a grey level."""
    image, plain = image_of(folder) / 255, measured("the same image, not recorded", draw_plainly, folder)
    assert image.shape == plain.shape == (512, 512, 3)
    difference = np.abs(image - plain).max()
    print(f"difference {difference:.5f}, of which {0.5 / 255:.5f} is rounding; deviation {plain.std():.3f}")
    assert plain.std() > 0.02 and difference < 1e-3 + 0.5 / 255


def draw_plainly(folder: Path) -> NDArray[np.float32]:
    (prompt,) = read_prompts(folder / "prompts.csv")
    options = sampling(folder)
    pipe = load_pipeline(options["model"], options["dtype"])
    return pipe(
        prompt.prompt,
        generator=torch.Generator("cpu").manual_seed(prompt.rng_seed),
        num_inference_steps=options["num_inference_steps"],
        guidance_scale=options["guidance_scale"],
        output_type="np",
    ).images[0]


@pytest.mark.parametrize("refinement", ["raw", "pamr"])
def test_masks_are_of_the_image_s_size(folder: Path, refinement: str) -> None:
    output = folder / f"{refinement}.tar"
    spec = spec_of("refine", STUDY, "basic", "seediff", refinement, "")
    command("refine", spec, "--images", folder / "images.tar", "--scores", folder / "scores.tar", "--output", output)
    mask = decode_mask(only_sample(output).files["png"], "cat")
    print(f"{refinement}: {(mask > 0).mean():.1%} of the image is in the mask")
    assert mask.shape == (512, 512)
    assert {*np.unique(mask)} <= {0, 1 + STUDY.classes.index("cat")}


def test_a_photograph_is_segmented_at_its_own_size(folder: Path) -> None:
    """As the study one-gpu judges photographs: one call of the denoiser, at about 512 x 512 pixels."""
    photograph = np.random.default_rng(0).integers(0, 256, (300, 450, 3), np.uint8)
    pipe = load_pipeline(str(folder / "model"), "float32")
    labels = measured("segment a photograph of 300 x 450", segment, pipe, photograph, ["cat", "sofa"])
    assert labels.shape == (300, 450) and {*np.unique(labels)} <= {0, 1, 2}
