"""The embedded diffusion model: its tokenizer and networks, untrained, and the pipeline made of its trained parts.

    python -m seediff.embedded.pipeline --folder work/pictograms --output assets/pictograms

The command writes half precision safetensors in plain diffusers format, which
``StableDiffusionPipeline.from_pretrained`` loads. Two choices make attention at this size behave as it does at Stable
Diffusion's (docs/embedded-model.md): self-attention compares normalised features directly (query and key are the
identity), and each attention layer has a single head, so cross-attention has no second head in which to broadcast the
prompt.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from seediff.diffusion.releases import CLIPTokenizer, load_text_encoder
from seediff.embedded.autoencoder import CHANNELS
from seediff.embedded.vocabulary import MAX_TOKENS, words

LATENT_SIDE = 32
BLOCK_CHANNELS = (32, 96, 160)
TEXT_WIDTH = 64
SIMILARITY_GAIN = dict(zip(BLOCK_CHANNELS, (136.0, 34.0, 34.0), strict=True))
"""Self-attention logit of a feature with itself, per level; an orthogonal feature has the weight e^-gain. The finest
level has few channels, so its features are the least orthogonal: with a quarter of the gain, attention leaks out of
objects."""

Merge = tuple[str, str]


def _byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes that GPT-2 style byte-pair encodings are written in."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(hidden))]


def _merges(vocabulary: Iterable[str]) -> list[Merge]:
    """Left-to-right merges that build each word whole, given the merges of the words before it."""
    ranks: dict[Merge, int] = {}
    for word in vocabulary:
        pieces = _apply([*word[:-1], word[-1] + "</w>"], ranks)
        while len(pieces) > 1:
            ranks[(pieces[0], pieces[1])] = len(ranks)
            pieces[:2] = [pieces[0] + pieces[1]]
    return list(ranks)


def _apply(pieces: list[str], ranks: dict[Merge, int]) -> list[str]:
    """Merge the lowest-ranked neighbouring pair again and again, as the tokenizer will."""
    while True:
        known = [(ranks[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in ranks]
        if not known:
            return pieces
        _, at = min(known)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer over the closed vocabulary, in which every known word is one token.

    Unknown words are split into CLIP's byte-level pieces, as in any other pipeline.
    """
    merges = _merges(words())
    symbols = _byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(merge) for merge in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    with TemporaryDirectory() as folder:  # the only way that all releases of transformers know
        vocab_file, merges_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_file.write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
        merges_file.write_text("#version: 0.2\n" + "\n".join(" ".join(merge) for merge in merges) + "\n")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)


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
    """A CLIP text model without layers or positions: the embedding of a word holds that word and nothing else."""
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


def assemble_pipeline(folder: Path) -> StableDiffusionPipeline:
    """The pipeline made of the parts in a training folder; its files do not say where that was."""
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    for part in (vae, unet):
        part.register_to_config(_name_or_path="")
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=load_text_encoder(folder / "text_encoder", torch.float32),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=unet,
        scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Assemble the embedded pipeline from its trained parts.")
    parser.add_argument("--folder", type=Path, required=True, help="the training folder")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    unfinished = arguments.output.with_name(arguments.output.name + ".partial")
    assemble_pipeline(arguments.folder).to(torch.float16).save_pretrained(unfinished, safe_serialization=True)
    shutil.rmtree(arguments.output, ignore_errors=True)
    unfinished.rename(arguments.output)
    size = sum(file.stat().st_size for file in arguments.output.rglob("*") if file.is_file())
    print(f"{arguments.output}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
