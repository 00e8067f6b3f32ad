"""Shards of images and of scores, drawn together, and shards of masks, made of both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor

from seediff.attention.calls import LookAgain
from seediff.datasets.flaws import EMPTY, Flaw, counted, flaw_of
from seediff.datasets.images import Array, decode_rgb, encode_labels, encode_mask, encode_png
from seediff.datasets.shards import FLAW, Sample, check_same_model, read_manifest, read_shard, write_shard
from seediff.datasets.training_sets import RELIABILITY
from seediff.diffusion.synthesis import Drawn, Sampling, draw, redraw, scored
from seediff.errors import SeediffError
from seediff.masks.refinement import Refinement, refine, to_mask
from seediff.masks.reliability import mask_reliability
from seediff.masks.variants import Steps, recordings_of
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
    return _score(draw(pipe, prompts, sampling, recordings_of(variants)), len(prompts), variants, checksums)


def redraw_shard(
    pipe: StableDiffusionPipeline,
    sampling: Sampling,
    prompts: Sequence[Prompt],
    images: Path,
    variants: Mapping[str, Steps],
    checksums: Callable[[], dict[str, str]],
) -> DrawnShard:
    """``draw_shard`` for variants that only look again, from the shard of the prompts' finished images."""
    looks = [calls for calls in recordings_of(variants) if isinstance(calls, LookAgain)]
    finished = redraw(pipe, prompts, _images(images, prompts), sampling.batch_size, looks)
    return _score(finished, len(prompts), variants, checksums)


def _images(shard: Path, prompts: Sequence[Prompt]) -> Iterator[Array]:
    for prompt, sample in zip_longest(prompts, read_shard(shard)):
        if prompt is None or sample is None or prompt.key != sample.key:
            raise SeediffError(f"{shard} does not hold the images of these prompts.\nDelete it and run again.")
        yield decode_rgb(sample.files.get("png", b""), f"{sample.key}.png in {shard}")


def _score(
    drawn_images: Iterable[Drawn], number: int, variants: Mapping[str, Steps], checksums: Callable[[], dict[str, str]]
) -> DrawnShard:
    images, samples, flaws = [], [], dict[str, Flaw]()
    with ThreadPoolExecutor(1) as beside:
        model = beside.submit(checksums)
        for drawn, scores in scored(drawn_images, number, variants):
            key, about = drawn.prompt.key, drawn.prompt.row()
            if flaw := flaw_of(drawn.image):
                about[FLAW] = flaws[key] = flaw
            images.append(Sample(key, {"png": encode_png(drawn.image), "json": json.dumps(about).encode()}))
            samples.append(Sample(key, {SCORES: save(scores)}))
    return DrawnShard(images, samples, flaws, model.result())


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
        for drawn, its_scores in zip_longest(read_shard(images), read_shard(scores)):
            if drawn is None or its_scores is None or drawn.key != its_scores.key:
                keys = ", ".join(sample.key if sample else "none" for sample in (drawn, its_scores))
                raise SeediffError(f"{images} and {scores} hold different images ({keys}).")
            name = class_of(drawn, images, self.classes)
            if name not in self.variants:
                raise SeediffError(f"--spec names no variant for the class {name!r}, whose images are in {images}.")
            written = f"{its_scores.key}.{SCORES} in {scores}"
            score = read_score(its_scores.files.get(SCORES, b""), written, self.variants[name])
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


def class_of(sample: Sample, shard: Path, classes: Sequence[str]) -> str:
    """Which of the classes a sample of images shows; ``SeediffError`` if none."""
    try:
        name = json.loads(sample.files["json"])["class_name"]
    except (KeyError, TypeError, ValueError, RecursionError):
        name = None
    if name not in classes:
        raise SeediffError(f"{sample.key}.json in {shard} names no class of this study.")
    return str(name)
