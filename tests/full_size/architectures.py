"""What the paper downloads, built from its published configuration with random weights instead."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from seediff.embedded.pipeline import build_tokenizer

TOKENS = 77
SHARPNESS = 6
"""Factor of the queries of random attention, so that it is not uniform."""


def unet() -> UNet2DConditionModel:
    """That of Stable Diffusion 2-base: 866 million parameters."""
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        cross_attention_dim=1024,
        attention_head_dim=[5, 10, 20, 20],  # diffusers reads these as numbers of heads
        use_linear_projection=True,
    )


def autoencoder() -> AutoencoderKL:
    """That of Stable Diffusion 2-base: 84 million parameters."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=768,
        scaling_factor=0.18215,
    )


def text_encoder() -> CLIPTextModel:
    """That of Stable Diffusion 2-base: 340 million parameters."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=23,
            num_attention_heads=16,
            max_position_embeddings=TOKENS,
            hidden_act="gelu",
            projection_dim=512,
        )
    )


def tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer of the published length and padding; its vocabulary, a download, is the embedded model's."""
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = TOKENS
    tokenizer.pad_token = "!"
    return tokenizer


def scheduler() -> PNDMScheduler:
    return PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def save_stable_diffusion(folder: Path, rng_seed: int = 0) -> None:
    """Write the whole pipeline in half precision, as it is published: 2.6 GB."""
    torch.manual_seed(rng_seed)
    pipe = StableDiffusionPipeline(
        vae=autoencoder().half(),
        text_encoder=text_encoder().half(),
        tokenizer=tokenizer(),
        unet=sharpened(unet()).half(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder, safe_serialization=True)


@torch.no_grad()
def sharpened(model: nn.Module) -> nn.Module:
    for name, parameter in model.named_parameters():
        if name.endswith("to_q.weight"):
            parameter *= SHARPNESS
    return model
