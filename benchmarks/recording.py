"""Recording attention during one UNet call of Stable Diffusion 2-base's size (random weights), guidance batch 2."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.peers.recording import cross_attention_only, explicit_store
from benchmarks.timing import Row, compare
from seediff.attention.calls import ALL
from seediff.attention.listening import Wanted, listen
from tests.full_size.architectures import TOKENS, sharpened, unet

TITLE = "Recording attention, one UNet call (SD2-base size, 64 x 64 latents, guidance batch 2, fp32)"
ROUNDS = 5


@torch.inference_mode()
def rows() -> list[Row]:
    torch.manual_seed(0)
    model = sharpened(unet()).eval()
    latents, text = torch.randn(2, 4, 64, 64), torch.randn(2, TOKENS, 1024)

    def call() -> Any:
        return model(latents, 500, encoder_hidden_states=text)

    def recorded() -> Any:
        with listen(model, lambda _: Wanted([1], frozenset([ALL]))):  # the conditional half
            return call()

    def stored() -> Any:
        with explicit_store(model):
            return call()

    def cross_only() -> Any:
        with cross_attention_only(model):
            return call()

    ways = {"plain": call, "seediff": recorded, "cross-attention only": cross_only, "explicit, all kept": stored}
    return compare(ways, ROUNDS)
