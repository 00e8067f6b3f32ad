"""Text dropout by level: for some images only the coarser levels of the UNet are given the text.

Without it the finest level alone reads the prompt, and the coarse cross-attention, which seeds the masks, never
learns to look where the object is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

LEVEL_ODDS = (0.35, 0.25, 0.4)
"""Share of images in which the text reaches every level, the two coarser ones, the coarsest alone."""


@dataclass
class TextReach:
    """What the hooks read at each call: ``finest`` (n,) is the finest level the text reaches, ``empty`` (1, tokens,
    width) the empty prompt's embedding, which stands in at levels it does not reach."""

    finest: Tensor
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
        shown = (reach.finest <= level).view(-1, 1, 1)
        return args, kwargs | {"encoder_hidden_states": torch.where(shown, text, reach.empty.to(text.dtype))}

    return hook
