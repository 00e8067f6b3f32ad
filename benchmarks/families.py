"""Recording attention of other families at the sizes of their models, random weights, images of 1024 pixels.

SDXL's UNet is called whole. Of the transformers, which are many equal layers, one layer of each kind is called: what
recording adds to a layer it adds to all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from benchmarks.timing import Row, compare
from seediff.attention.calls import ALL
from seediff.attention.listening import Wanted, listen
from tests.full_size.architectures import sharpened

TITLE = "Recording attention of other families (1024 pixels, fp32)"
ROUNDS = 3
SIDE = 128
"""Of the latents."""
GRID = SIDE // 2
"""Of the patches of two latent pixels that transformers see."""

Call = Callable[[], Any]


def rows() -> list[Row]:
    return [row for name, build in FAMILIES.items() for row in _measured(name, build)]


@torch.inference_mode()
def _measured(name: str, build: Callable[[], tuple[nn.Module, dict[str, Tensor]]]) -> list[Row]:
    torch.manual_seed(0)
    denoiser, arguments = build()
    denoiser.eval()

    def plain() -> Any:
        return denoiser(**arguments)

    def recorded() -> Any:
        with listen(denoiser, lambda _: Wanted([0], frozenset([ALL]))):
            return plain()

    return [replace(row, what=f"{name}, {row.what}") for row in compare({"plain": plain, "recorded": recorded}, ROUNDS)]


def _sdxl() -> tuple[nn.Module, dict[str, Any]]:
    """The whole UNet, of one image without guidance; its coarsest level has ten layers a block."""
    unet = diffusers.UNet2DConditionModel(
        sample_size=SIDE,
        block_out_channels=(320, 640, 1280),
        layers_per_block=2,
        cross_attention_dim=2048,
        attention_head_dim=[5, 10, 20],
        transformer_layers_per_block=[1, 2, 10],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )
    conditions = {"text_embeds": torch.randn(1, 1280), "time_ids": torch.randn(1, 6)}
    inputs = {"sample": torch.randn(1, 4, SIDE, SIDE), "encoder_hidden_states": torch.randn(1, 77, 2048)}
    return sharpened(unet), {**inputs, "timestep": torch.tensor(500), "added_cond_kwargs": conditions}


def _pixart() -> tuple[nn.Module, dict[str, Any]]:
    """One of Sigma's 28 layers; 300 tokens of T5."""
    transformer = diffusers.PixArtTransformer2DModel(
        num_layers=1, sample_size=SIDE, use_additional_conditions=False, caption_channels=4096
    )
    inputs = {"hidden_states": torch.randn(1, 4, SIDE, SIDE), "encoder_hidden_states": torch.randn(1, 300, 4096)}
    return transformer, {**inputs, "timestep": torch.tensor([500])}


def _sd3() -> tuple[nn.Module, dict[str, Any]]:
    """One of the 24 layers of SD 3.5 medium, of those that attend twice; 77 tokens of CLIP and 256 of T5."""
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=SIDE,
        num_layers=1,
        num_attention_heads=24,
        joint_attention_dim=4096,
        caption_projection_dim=1536,
        pooled_projection_dim=2048,
        out_channels=16,
        pos_embed_max_size=384,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    inputs = {"hidden_states": torch.randn(1, 16, SIDE, SIDE), "encoder_hidden_states": torch.randn(1, 333, 4096)}
    return transformer, {**inputs, "pooled_projections": torch.randn(1, 2048), "timestep": torch.tensor([500])}


def _flux(double: int, single: int) -> tuple[nn.Module, dict[str, Any]]:
    """Of FLUX.1's 19 layers with weights of their own for text and image, or of the 38 that share them; 512 tokens."""
    transformer = diffusers.FluxTransformer2DModel(num_layers=double, num_single_layers=single)
    places = torch.cartesian_prod(torch.zeros(1), *[torch.arange(GRID, dtype=torch.float32)] * 2)
    inputs = {"hidden_states": torch.randn(1, GRID**2, 64), "encoder_hidden_states": torch.randn(1, 512, 4096)}
    ids = {"img_ids": places, "txt_ids": torch.zeros(512, 3)}
    return transformer, {**inputs, **ids, "pooled_projections": torch.randn(1, 768), "timestep": torch.tensor([0.5])}


FAMILIES: dict[str, Callable[[], tuple[nn.Module, dict[str, Any]]]] = {
    "PixArt, one layer": _pixart,
    "SD 3.5 medium, one layer": _sd3,
    "FLUX.1, one double layer": lambda: _flux(1, 0),
    "FLUX.1, one single layer": lambda: _flux(0, 1),
    "SDXL, a whole call": _sdxl,
}
