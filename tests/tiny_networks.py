"""Tiny networks that the pipelines of ``tests.tiny_pipelines`` share: how denoisers get their weights, autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
from torch import nn

from tests.tiny_text import WIDTH, seeded

QUERIES = ("to_q", "to_query", "add_q_proj")
QUERY_NORMS = ("norm_q", "norm_added_q", "query_norm")
MODULATIONS = ("norm", "mod")
"""In the names of what turns the time step into scales, shifts and gates."""


def lively(build: Callable[[], nn.Module]) -> Any:
    """A denoiser with random weights in which every layer matters and attention is far from uniform."""
    return seeded(lambda: _enlarged(_filled(build())))


def _filled(network: nn.Module) -> nn.Module:
    """Replace weights that are all zero, as those of many gates and outputs are before training."""
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return network


def _enlarged(network: nn.Module) -> nn.Module:
    for name, module in network.named_modules():
        if getattr(module, "weight", None) is not None:
            module.weight.data.mul_(_gain(name, isinstance(module, nn.Linear)))
    return network


def _gain(name: str, linear: bool) -> float:
    """Queries, or what multiplies them after their norm, and gates get larger weights."""
    last = name.rpartition(".")[2]
    if not linear:
        return 2.0 if last in QUERY_NORMS else 1.0
    if last in QUERIES:
        return 6.0
    return 4.0 if any(part in name.lower() for part in MODULATIONS) else 1.0


def vae(channels: int = 4, scale: int = 2, kind: str = "AutoencoderKL", **changes: Any) -> Any:
    """An autoencoder whose latent images are ``scale`` times smaller than images."""
    levels = scale.bit_length()
    config = {
        "latent_channels": channels,
        "block_out_channels": (8,) * levels,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": 16 * scale,
    }
    return seeded(lambda: getattr(diffusers, kind)(**(config | changes)))


def flow_vae(channels: int = 4, scale: int = 2) -> Any:
    """The kind that came with SD3: it shifts latent images, and has no layer between them and its coders."""
    return vae(channels, scale, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False)


def flow(**settings: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**settings)


def unet(**changes: Any) -> Any:
    config = {
        "sample_size": 16,
        "block_out_channels": (8, 16, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": WIDTH,
        "attention_head_dim": (1, 2, 4),  # diffusers reads these as numbers of heads
        "down_block_types": ("CrossAttnDownBlock2D",) * 3,
        "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    }
    return lively(lambda: diffusers.UNet2DConditionModel(**(config | changes)))
