"""Masks of whole shards: from shards of images and of their scores to shards of masks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.numpy import load
from torch import Tensor

from seediff.datasets.images import decode_rgb, encode_labels, encode_mask
from seediff.datasets.shards import Sample, check_same_model, read_manifest, read_shard, write_shard
from seediff.datasets.training_sets import RELIABILITY
from seediff.errors import SeediffError
from seediff.masks.refinement import Refinement, refine, to_mask
from seediff.masks.reliability import mask_reliability

SCORES = "safetensors"
"""Ending of the scores of one image: a float map (side, side) by variant."""


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
