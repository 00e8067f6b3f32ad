"""The embedded model's UNet, text encoder and noise schedule, untrained.

Two choices make attention at this size behave as it does at Stable Diffusion's (docs/embedded-model.md):
self-attention compares normalised features directly (identity query and key), and one head an attention
layer leaves cross-attention no second head in which to broadcast the prompt.
"""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from seediff.diffusion.releases import CLIPTokenizer
from seediff.embedded.latents import CHANNELS

LATENT_SIDE = 32
BLOCK_CHANNELS = (32, 96, 160)
TEXT_WIDTH = 64
SIMILARITY_GAIN = dict(zip(BLOCK_CHANNELS, (136.0, 34.0, 34.0), strict=True))
"""Self-attention logit of a feature with itself by level, e^-gain being the weight of an orthogonal one. The finest
level's few channels are the least orthogonal: with a quarter of the gain its attention leaks out of the objects."""


def build_unet() -> UNet2DConditionModel:
    """Attention at sides 32, 16 and 8; 6.8 million parameters."""
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=BLOCK_CHANNELS,
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(1, 1, 1),  # diffusers reads this as the number of heads
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )
    tie_self_attention(unet)
    return unet


def tie_self_attention(unet: UNet2DConditionModel) -> None:
    """Freeze query and key of every self-attention at a multiple of the identity."""
    for block in unet.modules():
        if isinstance(block, BasicTransformerBlock):
            channels = block.attn1.to_q.weight.shape[0]
            gain = (SIMILARITY_GAIN[channels] / channels**0.5) ** 0.5
            with torch.no_grad():
                block.attn1.to_q.weight.copy_(gain * torch.eye(channels))
                block.attn1.to_k.weight.copy_(gain * torch.eye(channels))
                nn.init.ones_(block.norm1.weight)
                nn.init.zeros_(block.norm1.bias)
            for parameter in (block.attn1.to_q.weight, block.attn1.to_k.weight, *block.norm1.parameters()):
                parameter.requires_grad_(False)


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text model without layers or positions: a word's embedding says that word and nothing else."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=0,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    text_encoder = CLIPTextModel(config)
    positions = text_encoder.get_parameter(
        next(name for name, _ in text_encoder.named_parameters() if name.endswith("position_embedding.weight"))
    )
    nn.init.zeros_(positions)
    positions.requires_grad_(False)
    return text_encoder


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="linear",
        beta_start=1e-4,
        beta_end=0.02,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
