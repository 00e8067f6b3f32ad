"""Stage: scores to masks, of one variant a class, several shards to a part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.numpy import load
from torch import Tensor

from seediff.datasets.images import decode_rgb, encode_labels, encode_mask
from seediff.datasets.shards import Sample, check_same_model, read_manifest, read_shard, write_shard
from seediff.datasets.training_sets import RELIABILITY
from seediff.errors import SeediffError
from seediff.masks.labels import refine, to_mask
from seediff.masks.refinement import PamrSettings, Refinement
from seediff.masks.reliability import mask_reliability
from seediff.workflow.stages.synthesize import SCORES


def refine_part(spec: Mapping[str, Any], images: Sequence[Path], scores: Sequence[Path], output: Path) -> None:
    """Write the masks of all samples in the given shards, each of images with its own of scores.

    Beside each mask goes its reliability, a grey PNG of levels from 1 to 255, if the spec says so.
    """
    if len(images) != len(scores):
        raise SeediffError(f"There are {len(images)} shards of images, but {len(scores)} of scores.")
    check_same_model((path, read_manifest(path).model) for path in (*images, *scores))
    write_shard(output, (sample for pair in zip(images, scores) for sample in _masks(spec, *pair)))


def read_refinement(values: Mapping[str, Any]) -> Refinement:
    """A ``Refinement`` from its JSON form."""
    pamr = values["pamr"]
    settings = PamrSettings(**{**pamr, "dilations": tuple(pamr["dilations"])}) if pamr else None
    return Refinement(**{**values, "pamr": settings})


def _masks(spec: Mapping[str, Any], images: Path, scores: Path) -> Iterator[Sample]:
    refinement = read_refinement(spec["refinement"])
    for drawn, scored in zip_longest(read_shard(images), read_shard(scores)):
        if drawn is None or scored is None or drawn.key != scored.key:
            keys = ", ".join(one.key if one else "none" for one in (drawn, scored))
            raise SeediffError(f"{images} and {scores} hold different images ({keys}).")
        name = _class_name(drawn, images, spec["classes"])
        written = f"{scored.key}.{SCORES} in {scores}"
        if name not in spec["variants"]:
            raise SeediffError(f"--spec names no variant for the class {name!r}, whose images are in {images}.")
        score = read_score(scored.files.get(SCORES, b""), written, spec["variants"][name])
        soft = refine(score, decode_rgb(drawn.files.get("png", b""), f"{drawn.key}.png in {images}"), refinement)
        label = spec["classes"].index(name) + 1
        mask = to_mask(soft, label, refinement.final_threshold, refinement.uncertain_from)
        files = {"png": encode_mask(mask)}
        if spec.get("reliability"):
            files[RELIABILITY] = encode_labels(mask_reliability(soft, mask, refinement.final_threshold))
        yield Sample(drawn.key, files)


def _class_name(sample: Sample, shard: Path, classes: Sequence[str]) -> str:
    """Which of the classes was drawn."""
    try:
        name = json.loads(sample.files["json"])["class_name"]
    except (KeyError, TypeError, ValueError, RecursionError):
        name = None
    if name not in classes:
        raise SeediffError(f"{sample.key}.json in {shard} names no class of this study.")
    return str(name)


def read_score(content: bytes, written: str, variant: str) -> Tensor:
    """The variant's score among those of one image, (side, side) float32; ``written`` says where they were found."""
    try:
        score = torch.from_numpy(load(content)[variant]).float()
    except (KeyError, TypeError, ValueError, SafetensorError):
        raise SeediffError(f"{written} holds no score of {variant!r}.") from None
    if score.ndim != 2 or not score.numel() or not ((score >= 0) & (score <= 1)).all():
        raise SeediffError(f"The score of {variant!r} in {written} is no map from 0 to 1.")
    return score
