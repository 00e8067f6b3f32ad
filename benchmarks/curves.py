"""How cost grows: with the latents' side, the batch, the images of a shard, variants, and classes.

Each block is measured like the other parts, its first row the baseline; the limit that theory sets stands in the note.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import isqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.masks import recorded_maps
from benchmarks.sampling import embedded_shard
from benchmarks.timing import Row, compare
from benchmarks.training import batch_of, step
from seediff.attention.accumulator import SELF, Accumulator, Attended, Layout
from seediff.attention.calls import ALL
from seediff.attention.head_sums import attend
from seediff.masks.variants import VARIANTS, apply, calls_of, resolve
from seediff.segmenter.mask2former import build
from seediff.segmenter.settings import segmenter_settings
from seediff.workflow.stages.synthesize import Spec, synthesize_shard

TITLE = "How cost grows"
HEADS, WIDTH, ROUNDS = 5, 64, 3


def rows() -> list[Row]:
    return [*_by_side(), *_by_batch(), *_by_shard(), *_by_variants(), *_by_classes()]


@torch.inference_mode()
def _by_side() -> list[Row]:
    """One self-attention layer of Stable Diffusion 2's widest level, recorded and plain."""
    found = []
    for side in (16, 32, 64, 128):
        query, key, value = torch.randn(3, 1, HEADS, side * side, WIDTH)
        plain = partial(F.scaled_dot_product_attention, query, key, value)
        rows = compare({"plain": plain, "recorded": partial(_recorded, query, key, value)}, ROUNDS)
        note = f"sum and scratch are 2 x {4 * side**4 / 2**20:.0f} MiB"
        found += [replace(rows[1], what=f"self-attention layer recorded, side {side}", note=f"{note}; ratio to plain")]
    return found


def _recorded(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
    _, fill = attend(query, key, value)
    positions, side = slice(0, query.shape[2]), isqrt(query.shape[2])
    layout = Layout(0, (side, side), positions, {SELF: positions})
    attended = Attended("", [layout], query.shape[1], key.shape[2], query.device, fill)
    Accumulator().add(frozenset([ALL]), attended)


def _by_batch() -> list[Row]:
    """Sixteen images of the embedded world in batches of 2 to 16."""
    spec, prompts = embedded_shard(16)
    sizes = (2, 4, 8, 16)
    ways = {f"16 images in batches of {size}": partial(_draw, _in_batches(spec, size), prompts) for size in sizes}
    return [replace(row, note="time: constant; memory: linear") for row in compare(ways, 1, warm_up=0)]


def _in_batches(spec: Spec, size: int) -> Spec:
    return spec.model_copy(update={"diffusion": spec.diffusion.model_copy(update={"batch_size": size})})


def _by_shard() -> list[Row]:
    sizes = (5, 10, 20, 40)
    spec, prompts = embedded_shard(sizes[-1])
    ways = {f"shard of {size} images": partial(_draw, spec, prompts[:size]) for size in sizes}
    return [replace(row, note="time: linear, beyond loading") for row in compare(ways, 1, warm_up=0)]


def _draw(spec: Spec, prompts: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        synthesize_shard(spec, prompts, Path(folder, "images.tar"), Path(folder, "scores.tar"))


@torch.inference_mode()
def _by_variants() -> list[Row]:
    maps = recorded_maps()
    steps = [resolve(variant) for variant in VARIANTS.values()]

    def score(number: int) -> None:
        of_class = maps.for_word("cat")
        for variant in steps[:number]:
            apply(variant, replace(of_class, calls=calls_of(variant)))

    ways = {f"scores of the first {number} variants": partial(score, number) for number in (1, 2, 4, 8)}
    return [replace(row, note="linear in the steps that differ") for row in compare(ways, 7)]


def _by_classes() -> list[Row]:
    """Training steps of the small segmenter; an image shows four classes however many there are."""
    settings = segmenter_settings("resnet-mini")
    images, labels = batch_of(settings, 8)
    models = {number: build(settings, number).train() for number in (11, 21, 151, 254)}
    ways = {
        f"training step, {n} classes": partial(step, model, images, labels, settings) for n, model in models.items()
    }
    return [replace(row, note="constant but for the class scores") for row in compare(ways, 7)]
