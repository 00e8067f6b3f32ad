"""The loss that the diffusion model was trained with, on an endless sequence of noised views of target images.

An image's latents are noised to a random timestep, and the UNet predicts the noise (or the velocity, where that is what
it predicts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from seediff.datasets.images import Array
from seediff.datasets.unlabelled import Unlabelled
from seediff.diffusion.outputs import encode_images
from seediff.rng import derive_seed

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


class NoisedView(NamedTuple):
    """``pixels`` (3, S, S) float32 in [-1, 1]; ``noise``, shaped as its latents; ``timestep`` and ``prompt`` index."""

    pixels: Tensor
    noise: Tensor
    timestep: Tensor
    prompt: Tensor


@dataclass(frozen=True)
class NoisedViews(Dataset[NoisedView]):
    """View k is the same whoever computes it, and when.

    ``side``: that of an image in pixels; ``latents``: the shape of its latents; ``timesteps`` and ``prompts``: how many
    there are to choose from.
    """

    images: Unlabelled
    side: int
    latents: tuple[int, int, int]
    timesteps: int
    prompts: int
    rng_seed: int

    def __getitem__(self, number: int) -> NoisedView:
        epoch, position = divmod(number, len(self.images))
        order = np.random.default_rng(derive_seed(self.rng_seed, "epoch", epoch)).permutation(len(self.images))
        rng = np.random.default_rng(derive_seed(self.rng_seed, "view", number))
        image = square(rng, self.images[int(order[position])], self.side)
        return NoisedView(
            torch.from_numpy(image).movedim(-1, 0) / 127.5 - 1,
            torch.from_numpy(rng.standard_normal(self.latents, np.float32)),
            torch.tensor(rng.integers(self.timesteps)),
            torch.tensor(rng.integers(self.prompts)),
        )


def square(rng: Generator, image: Array, side: int) -> Array:
    """A random square of the image (H, W, 3), as large as fits, at ``side`` pixels; mirrored half of the time."""
    height, width, _ = image.shape
    edge = min(height, width)
    top, left = rng.integers(height - edge + 1), rng.integers(width - edge + 1)
    cut = Image.fromarray(image[top : top + edge, left : left + edge])
    if edge != side:
        cut = cut.resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.array(cut)
    return pixels[:, ::-1].copy() if rng.random() < 0.5 else pixels


def image_side(pipe: StableDiffusionPipeline) -> int:
    """Side in pixels of the images that the pipeline draws."""
    return int(pipe.unet.config.sample_size * pipe.vae_scale_factor)


def noised_views(pipe: StableDiffusionPipeline, images: Unlabelled, prompts: int, rng_seed: int) -> NoisedViews:
    """Views of the images at the size of the pipeline, each under one of ``prompts`` prompts."""
    config = pipe.unet.config
    latents = (config.in_channels, config.sample_size, config.sample_size)
    timesteps = pipe.scheduler.config.num_train_timesteps
    return NoisedViews(images, image_side(pipe), latents, timesteps, prompts, rng_seed)


def denoising_losses(pipe: StableDiffusionPipeline, batch: NoisedView, text: Tensor) -> Tensor:
    """Mean squared error of the UNet's prediction for each view of a batch: (n,)."""
    from diffusers import DDPMScheduler

    device = pipe.device
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    pixels, noise, timesteps, prompts = (part.to(device) for part in batch)
    with torch.no_grad():
        latents = encode_images(pipe, pixels)
    targets = {"epsilon": lambda: noise, "v_prediction": lambda: scheduler.get_velocity(latents, noise, timesteps)}
    target = targets[scheduler.config.prediction_type]()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        noised = scheduler.add_noise(latents, noise, timesteps)
        predicted = pipe.unet(noised, timesteps, encoder_hidden_states=text[prompts]).sample
    return (predicted.float() - target).square().mean(dim=(1, 2, 3))
