"""All built-in variants of one image from its recorded maps, at Stable Diffusion's 64 x 64 latents."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from benchmarks.timing import Row, compare
from seediff.attention.maps import AttentionMaps
from seediff.attention.tokens import NOTHING, TokenizedPrompt
from seediff.masks.variants import VARIANTS, apply, calls_of, resolve

TITLE = "Masks of one image, 64 x 64 latents: every variant from the recorded maps"
ROUNDS = 7
SIDES = (8, 16, 32, 64)


def recorded_maps() -> AttentionMaps:
    """Random maps that fall with distance, so that seeds are regions."""
    generator = torch.Generator().manual_seed(0)
    cross = {(side, side): torch.rand(side * side, 77, generator=generator) for side in SIDES}
    tokens = ("<|startoftext|>", "cat</w>", *["<|endoftext|>"] * 75)
    prompt = TokenizedPrompt("cat", tokens, (NOTHING, (0, 3), *[NOTHING] * 75))
    return AttentionMaps(prompt, cross, {(side, side): _near(side) for side in SIDES}, (64, 64))


def _near(side: int) -> torch.Tensor:
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float() / side
    return torch.exp(-8 * torch.cdist(places, places))


@torch.inference_mode()
def rows() -> list[Row]:
    maps = recorded_maps()
    steps = {name: resolve(variant) for name, variant in VARIANTS.items()}

    def score(*names: str) -> None:
        of_class = maps.for_word("cat")
        for name in names:
            apply(steps[name], replace(of_class, calls=calls_of(steps[name])))

    return compare({"all variants": partial(score, *steps), **{name: partial(score, name) for name in steps}}, ROUNDS)
