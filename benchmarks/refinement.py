"""PAMR of one score by one image of 512 x 512, ten rounds, six dilations."""

from __future__ import annotations

import torch

from benchmarks.peers.pamr import pamr as published
from benchmarks.timing import Row, compare
from seediff.masks.pamr import pamr

TITLE = "PAMR, one 512 x 512 image, 10 rounds, 6 dilations"
ROUNDS = 5


@torch.inference_mode()
def rows() -> list[Row]:
    generator = torch.Generator().manual_seed(0)
    image, score = torch.rand(1, 3, 512, 512, generator=generator), torch.rand(1, 1, 512, 512, generator=generator)
    difference = (published(image, score) - pamr(image, score)).abs().max().item()
    ways = {"as published": lambda: published(image, score), "seediff": lambda: pamr(image, score)}
    first, second = compare(ways, ROUNDS)
    return [first, Row(second.what, second.seconds, second.ratio, second.mebibytes, f"differs by {difference:.0e}")]
