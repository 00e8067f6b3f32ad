"""How attention is recorded elsewhere, written as those programs do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor


@contextmanager
def explicit_store(unet: UNet2DConditionModel) -> Iterator[list[Tensor]]:
    """As prompt-to-prompt and released SeeDiff: an explicit softmax in every layer, all maps of both halves kept."""
    store: list[Tensor] = []
    with _processors(unet, lambda name: _Explicit(store, halves=2)):
        yield store


@contextmanager
def cross_attention_only(unet: UNet2DConditionModel) -> Iterator[list[Tensor]]:
    """As DAAM: cross-attention alone by an explicit softmax, its heads summed; self-attention stays fused."""
    store: list[Tensor] = []
    with _processors(unet, lambda name: _Explicit(store, halves=1) if ".attn2." in name else AttnProcessor2_0()):
        yield store


@contextmanager
def _processors(unet: UNet2DConditionModel, choose: Any) -> Iterator[None]:
    before = dict(unet.attn_processors)
    try:
        unet.set_attn_processor({name: choose(name) for name in before})
        yield
    finally:
        unet.set_attn_processor(before)


class _Explicit(AttnProcessor):
    """diffusers' explicit processor, its probabilities kept: of both halves head by head, or summed of one."""

    def __init__(self, store: list[Tensor], halves: int) -> None:
        super().__init__()
        self.store, self.halves = store, halves

    def __call__(self, attn: Attention, *args: Any, **kwargs: Any) -> Tensor:
        scores = attn.get_attention_scores

        def kept(*inner: Any, **named: Any) -> Tensor:
            probabilities = scores(*inner, **named)
            conditional = probabilities[len(probabilities) // 2 :]
            self.store.append(probabilities.clone() if self.halves == 2 else conditional.sum(0))
            return probabilities

        attn.get_attention_scores = kept
        try:
            with torch.no_grad():
                return super().__call__(attn, *args, **kwargs)
        finally:
            del attn.get_attention_scores
