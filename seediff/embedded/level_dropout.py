"""Text dropout by level: for some images only some levels of the UNet are given the text.

Without it the finest level alone reads the prompt, and the coarse cross-attention, which seeds the masks, never
learns to look where the object is. Left to the coarser levels too often, the finest in turn forgets how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

LEVEL_ODDS: dict[tuple[bool, bool, bool], float] = {
    (True, True, True): 0.4,
    (False, True, True): 0.15,
    (False, False, True): 0.2,
    (True, False, False): 0.25,
}
"""Share of images in which the text reaches these levels, finest first."""


def draw_reach(number: int, generator: torch.Generator) -> Tensor:
    """(number, levels) bool: which levels of each image are given the text."""
    chosen = torch.multinomial(torch.tensor([*LEVEL_ODDS.values()]), number, replacement=True, generator=generator)
    return torch.tensor([*LEVEL_ODDS])[chosen]


@dataclass
class TextReach:
    """What the hooks read at each call: ``levels`` (n, levels) bool says which levels the text reaches, ``empty``
    (1, tokens, width) is the empty prompt's embedding, which stands in at the others."""

    levels: Tensor
    empty: Tensor


def limit_text(unet: UNet2DConditionModel) -> TextReach:
    """Install the hooks; set the result's fields before each call of ``unet``."""
    reach = TextReach(torch.empty(0), torch.empty(0))
    channels = unet.config["block_out_channels"]
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            hook = _swap_in_empty(reach, channels.index(module.to_q.weight.shape[0]))
            module.register_forward_pre_hook(hook, with_kwargs=True)
    return reach


def _swap_in_empty(reach: TextReach, level: int) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        text = kwargs["encoder_hidden_states"]
        shown = reach.levels[:, level].view(-1, 1, 1)
        return args, kwargs | {"encoder_hidden_states": torch.where(shown, text, reach.empty.to(text.dtype))}

    return hook
