"""Shards of images and of scores, drawn together, and shards of masks, made of both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor

from seediff.datasets.flaws import EMPTY, Flaw, counted, flaw_of
from seediff.datasets.images import decode_rgb, encode_labels, encode_mask, encode_png
from seediff.datasets.shards import FLAW, Sample, check_same_model, read_manifest, read_shard, write_shard
from seediff.datasets.training_sets import RELIABILITY
from seediff.diffusion.synthesis import Sampling, synthesize
from seediff.errors import SeediffError
from seediff.masks.refinement import Refinement, refine, to_mask
from seediff.masks.reliability import mask_reliability
from seediff.masks.variants import Steps
from seediff.prompts.prompt_sets import Prompt

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SCORES = "safetensors"
"""Ending of the scores of one image: a float map (side, side) by variant."""


@dataclass(frozen=True)
class DrawnShard:
    """Samples of images and of scores, the flaws of those images that have one, and the drawing model's checksums."""

    images: list[Sample]
    scores: list[Sample]
    flaws: dict[str, Flaw]
    model: dict[str, str]


def draw_shard(
    pipe: StableDiffusionPipeline,
    sampling: Sampling,
    prompts: Sequence[Prompt],
    variants: Mapping[str, Steps],
    checksums: Callable[[], dict[str, str]],
) -> DrawnShard:
    """Draw the prompts and score every variant on the way; the model's ``checksums`` are taken while it draws."""
    images, scored, flaws = [], [], dict[str, Flaw]()
    with ThreadPoolExecutor(1) as beside:
        model = beside.submit(checksums)
        for drawn, scores in synthesize(pipe, prompts, sampling, variants):
            key, about = drawn.prompt.key, drawn.prompt.row()
            if flaw := flaw_of(drawn.image):
                about[FLAW] = flaws[key] = flaw
            images.append(Sample(key, {"png": encode_png(drawn.image), "json": json.dumps(about).encode()}))
            scored.append(Sample(key, {SCORES: save(scores)}))
    return DrawnShard(images, scored, flaws, model.result())


def write_images(path: Path, drawn: DrawnShard) -> None:
    """Write the images, and say how many are black, of one colour or clipped.

    Raises ``SeediffError`` if none shows anything.
    """
    if all(drawn.flaws.get(image.key) in EMPTY for image in drawn.images):
        raise SeediffError(
            f"None of the shard's {len(drawn.images)} images shows anything: {counted(drawn.flaws)}.\n"
            "Try another dtype, model or guidance_scale."
        )
    print(f"images: {counted(drawn.flaws)}", file=sys.stderr, flush=True)
    write_shard(path, drawn.images, drawn.model)


def write_scores(path: Path, drawn: DrawnShard) -> None:
    write_shard(path, drawn.scores, drawn.model)


def read_score(content: bytes, written: str, variant: str) -> Tensor:
    """The variant's score among those of one image, (side, side) float32 in [0, 1]; ``written`` says where they were
    found. Raises ``SeediffError`` for anything else."""
    try:
        score = torch.from_numpy(load(content)[variant]).float()
    except (KeyError, TypeError, ValueError, SafetensorError):
        raise SeediffError(f"{written} holds no score of {variant!r}.") from None
    if score.ndim != 2 or not score.numel() or not ((score >= 0) & (score <= 1)).all():
        raise SeediffError(f"The score of {variant!r} in {written} is no map from 0 to 1.")
    return score


def refine_shards(
    images: Sequence[Path],
    scores: Sequence[Path],
    classes: Sequence[str],
    variants: Mapping[str, str],
    refinement: Refinement,
    reliability: bool,
    output: Path,
) -> None:
    """Write the masks of all samples in the given shards, each of images with its own of scores.

    A mask holds its class's place in ``classes``, from 1. ``variants``: whose score makes the mask, by class. Beside
    each mask goes its ``reliability``, if asked for: a grey PNG of levels from 1 to 255.
    """
    if len(images) != len(scores):
        raise SeediffError(f"There are {len(images)} shards of images, but {len(scores)} of scores.")
    check_same_model((path, read_manifest(path).model) for path in (*images, *scores))
    masks = _Masks(classes, variants, refinement, reliability)
    write_shard(output, (sample for pair in zip(images, scores) for sample in masks.of(*pair)))


@dataclass(frozen=True)
class _Masks:
    """How masks are made of scores."""

    classes: Sequence[str]
    variants: Mapping[str, str]
    refinement: Refinement
    reliability: bool

    def of(self, images: Path, scores: Path) -> Iterator[Sample]:
        """The masks of a shard."""
        for drawn, scored in zip_longest(read_shard(images), read_shard(scores)):
            if drawn is None or scored is None or drawn.key != scored.key:
                keys = ", ".join(sample.key if sample else "none" for sample in (drawn, scored))
                raise SeediffError(f"{images} and {scores} hold different images ({keys}).")
            name = _class_name(drawn, images, self.classes)
            if name not in self.variants:
                raise SeediffError(f"--spec names no variant for the class {name!r}, whose images are in {images}.")
            written = f"{scored.key}.{SCORES} in {scores}"
            score = read_score(scored.files.get(SCORES, b""), written, self.variants[name])
            pixels = decode_rgb(drawn.files.get("png", b""), f"{drawn.key}.png in {images}")
            yield Sample(drawn.key, self._files(refine(score, pixels, self.refinement), name))

    def _files(self, soft: Tensor, class_name: str) -> dict[str, bytes]:
        threshold = self.refinement.final_threshold
        label = self.classes.index(class_name) + 1
        mask = to_mask(soft, label, threshold, self.refinement.uncertain_from)
        files = {"png": encode_mask(mask)}
        if self.reliability:
            files[RELIABILITY] = encode_labels(mask_reliability(soft, mask, threshold))
        return files


def _class_name(sample: Sample, shard: Path, classes: Sequence[str]) -> str:
    """Which of the classes was drawn."""
    try:
        name = json.loads(sample.files["json"])["class_name"]
    except (KeyError, TypeError, ValueError, RecursionError):
        name = None
    if name not in classes:
        raise SeediffError(f"{sample.key}.json in {shard} names no class of this study.")
    return str(name)
