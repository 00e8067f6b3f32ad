"""The latent code of the embedded model: whitened principal components of 2 x 2 pixel patches.

A linear code keeps the colours that a small jointly trained autoencoder loses; the shipped
``AutoencoderKL`` is then fitted to this code (``autoencoder.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from seediff.embedded.scenes import training_scene

PATCH = 2
CHANNELS = 4


@dataclass(frozen=True)
class LatentCode:
    """``mean``: (12,); ``basis``: (12, 4) orthonormal columns; ``scale``: (4,) divisor of each component."""

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def encode(self, images: Tensor) -> Tensor:
        """(n, 3, 64, 64) in [-1, 1] -> (n, 4, 32, 32) of about unit variance."""
        patches = pixel_unshuffle(images, PATCH).movedim(1, -1)
        return ((patches - self.mean) @ self.basis / self.scale).movedim(-1, 1)

    def save(self, path: Path) -> None:
        save_file({"mean": self.mean, "basis": self.basis.contiguous(), "scale": self.scale}, path)

    @classmethod
    def load(cls, path: Path) -> LatentCode:
        return cls(**load_file(path))


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """uint8 images (64, 64, 3) -> float (n, 3, 64, 64) in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).movedim(-1, 1).float() / 127.5 - 1


def fit_latent_code(scenes: int = 3000, rng_seed: int = 0) -> LatentCode:
    """Principal components of patches; scale std^0.75, so that fine components stay quieter than coarse ones."""
    images = to_tensor([training_scene(np.random.default_rng([rng_seed, index])).image for index in range(scenes)])
    patches = pixel_unshuffle(images, PATCH).movedim(1, -1).flatten(0, 2).double()
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
    basis = vectors.flip(1)[:, :CHANNELS]
    basis = basis * basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
    scale = values.flip(0)[:CHANNELS].pow(0.375)
    code = (patches - mean) @ basis / scale
    return LatentCode(mean.float(), basis.float(), (scale * code.std()).float())
