"""Stage: prompts to a shard of images and a shard of scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from seediff.datasets.images import encode_png
from seediff.datasets.shards import Sample, write_shard
from seediff.prompts import Prompt
from seediff.stages.pipelines import open_pipeline, pipeline_identity
from seediff.synthesis import synthesize

SCORES = "safetensors"


def synthesize_shard(spec: Mapping[str, Any], prompts: Sequence[Prompt], images: Path, scores: Path) -> None:
    """Draw the prompts; write their images and the scores of the spec's variants."""
    drawn, scored, model = _samples(spec, prompts)
    write_shard(images, drawn, model)
    write_shard(scores, scored, model)


def replay_shard(spec: Mapping[str, Any], prompts: Sequence[Prompt], scores: Path) -> None:
    """Draw the prompts again, to the same seeds, for the scores of further variants."""
    _, scored, model = _samples(spec, prompts)
    write_shard(scores, scored, model)


def _samples(spec: Mapping[str, Any], prompts: Sequence[Prompt]) -> tuple[list[Sample], list[Sample], dict[str, str]]:
    """Images, scores, and the checksums of the model that drew them, which are taken while it draws."""
    pipe, sampling = open_pipeline(spec)
    drawn, scored = [], []
    with ThreadPoolExecutor(1) as beside:
        model = beside.submit(pipeline_identity, spec)
        for one, scores in synthesize(pipe, prompts, sampling, spec["variants"]):
            about = json.dumps(one.prompt.row()).encode()
            drawn.append(Sample(one.prompt.key, {"png": encode_png(one.image), "json": about}))
            scored.append(Sample(one.prompt.key, {SCORES: save(scores)}))
    return drawn, scored, model.result()
