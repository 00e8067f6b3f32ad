"""Stage: scores to masks, of one variant a class, several shards to a part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load

from seediff.datasets.images import decode_rgb, encode_mask
from seediff.datasets.shards import Sample, read_shard, write_shard
from seediff.errors import SeediffError
from seediff.masks.labels import refine, to_mask
from seediff.masks.refinement import PamrSettings, Refinement
from seediff.stages.synthesize import SCORES


def refine_part(spec: Mapping[str, Any], images: Sequence[Path], scores: Sequence[Path], output: Path) -> None:
    """Write the masks of all samples in the given shards."""
    pairs = zip(images, scores, strict=True)
    write_shard(output, (sample for pair in pairs for sample in _masks(spec, *pair)))


def read_refinement(values: Mapping[str, Any]) -> Refinement:
    """A ``Refinement`` from its JSON form."""
    pamr = values["pamr"]
    settings = PamrSettings(**{**pamr, "dilations": tuple(pamr["dilations"])}) if pamr else None
    return Refinement(**{**values, "pamr": settings})


def _masks(spec: Mapping[str, Any], images: Path, scores: Path) -> Iterator[Sample]:
    refinement = read_refinement(spec["refinement"])
    for drawn, scored in zip(read_shard(images), read_shard(scores), strict=True):
        if drawn.key != scored.key:
            raise SeediffError(f"{images} and {scores} hold different images ({drawn.key}, {scored.key}).")
        name = json.loads(drawn.files["json"])["class_name"]
        label = spec["classes"].index(name) + 1
        score = torch.from_numpy(load(scored.files[SCORES])[spec["variants"][name]]).float()
        soft = refine(score, decode_rgb(drawn.files["png"], drawn.key), refinement)
        mask = to_mask(soft, label, refinement.final_threshold, refinement.uncertain_from)
        yield Sample(drawn.key, {"png": encode_mask(mask)})
