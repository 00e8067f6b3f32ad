"""Stage: prompts to a shard of images and a shard of scores."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from seediff.datasets.flaws import EMPTY, Flaw, counted, flaw_of
from seediff.datasets.images import encode_png
from seediff.datasets.prompt_rows import FLAW
from seediff.datasets.shards import Sample, write_shard
from seediff.diffusion.synthesis import synthesize
from seediff.errors import SeediffError
from seediff.prompts.prompt_sets import Prompt
from seediff.workflow.stages.pipelines import open_pipeline, pipeline_identity

SCORES = "safetensors"


@dataclass(frozen=True)
class _Drawn:
    """Samples of images and of scores, the flaws of those images that have one, and the drawing model's checksums."""

    images: list[Sample]
    scores: list[Sample]
    flaws: dict[str, Flaw]
    model: dict[str, str]


def synthesize_shard(spec: Mapping[str, Any], prompts: Sequence[Prompt], images: Path, scores: Path) -> None:
    """Draw the prompts; write their images and the scores of the spec's variants.

    Says how many images are black, of one colour or clipped; raises ``SeediffError`` if none shows anything.
    """
    drawn = _draw(spec, prompts)
    if all(drawn.flaws.get(prompt.key) in EMPTY for prompt in prompts):
        raise SeediffError(
            f"None of the shard's {len(prompts)} images shows anything: {counted(drawn.flaws)}.\n"
            "Try another dtype, model or guidance_scale."
        )
    print(f"images: {counted(drawn.flaws)}", file=sys.stderr, flush=True)
    write_shard(images, drawn.images, drawn.model)
    write_shard(scores, drawn.scores, drawn.model)


def replay_shard(spec: Mapping[str, Any], prompts: Sequence[Prompt], scores: Path) -> None:
    """Draw the prompts again, to the same seeds, for the scores of further variants."""
    drawn = _draw(spec, prompts)
    write_shard(scores, drawn.scores, drawn.model)


def _draw(spec: Mapping[str, Any], prompts: Sequence[Prompt]) -> _Drawn:
    """The model's checksums are taken while it draws."""
    pipe, sampling = open_pipeline(spec)
    images, scored, flaws = [], [], dict[str, Flaw]()
    with ThreadPoolExecutor(1) as beside:
        model = beside.submit(pipeline_identity, spec)
        for drawn, scores in synthesize(pipe, prompts, sampling, spec["variants"]):
            key, about = drawn.prompt.key, drawn.prompt.row()
            if flaw := flaw_of(drawn.image):
                about[FLAW] = flaws[key] = flaw
            images.append(Sample(key, {"png": encode_png(drawn.image), "json": json.dumps(about).encode()}))
            scored.append(Sample(key, {SCORES: save(scores)}))
    return _Drawn(images, scored, flaws, model.result())
