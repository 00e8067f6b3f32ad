"""Compare a model before and after its adaptation: the loss on held-out target images, and what is drawn.

    python -m seediff.adaptation.comparison --model assets/pictograms --adapter results/mini/adapters/street \\
        --images data/mini/street/leftImg8bit/val --prompt "a photo of a car in the city" --picture work/lora.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Subset

from seediff.adaptation.denoising import denoising_losses, image_side, noised_views, square
from seediff.datasets.images import Array
from seediff.datasets.unlabelled import Unlabelled, folder_images
from seediff.diffusion.loading import load
from seediff.diffusion.outputs import checked_denoiser, checked_vae, encode_text
from seediff.files.sealed import partial
from seediff.rng import derive_seed

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

COLUMNS = 8
"""Images in a row of the picture."""
GAP = 4


@torch.inference_mode()
def held_out_losses(
    pipe: StableDiffusionPipeline, images: Unlabelled, prompts: Sequence[str], times: int, rng_seed: int
) -> NDArray[np.float32]:
    """The denoising loss of ``times`` views of each image: the same views, noise and timesteps for every model."""
    views = noised_views(pipe, images, len(prompts), derive_seed(rng_seed, "held out"))
    text = encode_text(pipe, prompts)
    batches = DataLoader(Subset(views, range(times * len(images))), 8)
    with checked_denoiser(pipe.unet):
        return np.concatenate([denoising_losses(pipe, batch, text).cpu().numpy() for batch in batches])


def drawn(pipe: StableDiffusionPipeline, prompts: Sequence[str], steps: int, scale: float, rng_seed: int) -> Array:
    """One row of ``COLUMNS`` images, the prompts in turn: (COLUMNS, H, W, 3)."""
    seeds = [derive_seed(rng_seed, "comparison", column) for column in range(COLUMNS)]
    with checked_denoiser(pipe.unet), checked_vae(pipe.vae):
        images = pipe(
            [prompts[column % len(prompts)] for column in range(COLUMNS)],
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            num_inference_steps=steps,
            guidance_scale=scale,
            output_type="np",
        ).images
    return np.asarray((images * 255).round(), np.uint8)


def grid(rows: Sequence[Array], enlarge: int) -> Image.Image:
    """Rows of images of one size (n, H, W, 3) on white."""
    side = rows[0].shape[1] * enlarge
    picture = Image.new("RGB", (COLUMNS * (side + GAP) - GAP, len(rows) * (side + GAP) - GAP), "white")
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            tile = Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST)
            picture.paste(tile, (column * (side + GAP), row * (side + GAP)))
    return picture


def compare(options: argparse.Namespace) -> None:
    """Print both losses; the picture's rows are drawn before, after, and target images."""
    images = folder_images(options.images)
    losses, rows = [], []
    for adapter in (None, options.adapter):
        pipe = load(options.model, adapter=adapter)
        losses.append(held_out_losses(pipe, images, options.prompt, options.times, options.rng_seed))
        rows.append(drawn(pipe, options.prompt, options.steps, options.guidance_scale, options.rng_seed))
    rng, side = np.random.default_rng(options.rng_seed), image_side(pipe)
    rows.append(np.stack([square(rng, images[index], side) for index in range(min(COLUMNS, len(images)))]))
    before, after = losses
    change = after - before
    error = change.std(ddof=1) / np.sqrt(len(change))
    print(f"held-out loss over {len(change)} views: {before.mean():.4f} before, {after.mean():.4f} after;")
    print(f"change {change.mean():+.4f}, standard error {error:.4f}")
    with partial(options.picture) as unfinished:
        grid(rows, options.enlarge).save(unfinished, format="PNG", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare a model before and after its adaptation.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of target images not trained on")
    parser.add_argument("--prompt", action="append", required=True, help="what is drawn and shown; repeat it")
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--times", type=int, default=2, help="views of each image")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument("--enlarge", type=int, default=1, help="pixels of the picture for each of an image's")
    parser.add_argument("--rng-seed", type=int, default=0)
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
