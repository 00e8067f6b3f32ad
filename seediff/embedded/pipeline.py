"""Put the trained parts together as the pipeline that is shipped.

    python -m seediff.embedded.pipeline --folder work/pictograms --output assets/pictograms

Half precision, safetensors, plain diffusers format: it loads with ``StableDiffusionPipeline.from_pretrained``.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

from seediff.diffusion.releases import CLIPTokenizer, load_text_encoder


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
