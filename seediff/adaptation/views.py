"""What the diffusion model sees of the target images: an endless sequence of noised views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from seediff.datasets.images import Array
from seediff.datasets.unlabelled import Unlabelled
from seediff.rng import derive_seed


class View(NamedTuple):
    """``pixels`` (3, S, S) float32 in [-1, 1]; ``noise``, shaped as its latents; ``timestep`` and ``prompt`` index."""

    pixels: Tensor
    noise: Tensor
    timestep: Tensor
    prompt: Tensor


@dataclass(frozen=True)
class Views(Dataset[View]):
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

    def __getitem__(self, number: int) -> View:
        epoch, position = divmod(number, len(self.images))
        order = np.random.default_rng(derive_seed(self.rng_seed, "epoch", epoch)).permutation(len(self.images))
        rng = np.random.default_rng(derive_seed(self.rng_seed, "view", number))
        image = square(rng, self.images[int(order[position])], self.side)
        return View(
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
