"""Shards of images and of their scores, drawn together."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from seediff.attention.calls import LookAgain
from seediff.datasets.flaws import EMPTY, Flaw, counted, flaw_of
from seediff.datasets.images import Array, decode_rgb, encode_png
from seediff.datasets.shards import FLAW, Sample, read_shard, write_shard
from seediff.diffusion.synthesis import Drawn, Sampling, draw, redraw, scored
from seediff.errors import SeediffError
from seediff.masks.shards import SCORES
from seediff.masks.variants import Steps, recordings_of
from seediff.prompts.prompt_sets import Prompt


@dataclass(frozen=True)
class DrawnShard:
    """Samples of images and of scores, the flaws of those images that have one, and the drawing model's checksums."""

    images: list[Sample]
    scores: list[Sample]
    flaws: dict[str, Flaw]
    model: dict[str, str]


def draw_shard(
    pipe: Any,
    sampling: Sampling,
    prompts: Sequence[Prompt],
    variants: Mapping[str, Steps],
    checksums: Callable[[], dict[str, str]],
) -> DrawnShard:
    """Draw the prompts and score every variant on the way; the model's ``checksums`` are taken while it draws."""
    return _score(draw(pipe, prompts, sampling, recordings_of(variants)), len(prompts), variants, checksums)


def redraw_shard(
    pipe: Any,
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
