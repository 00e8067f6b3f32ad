"""The latent space of the embedded model: a linear code, and the ``AutoencoderKL`` that is fitted to it.

    python -m seediff.embedded.autoencoder --folder work/pictograms --steps 4000

The code is the whitened principal components of 2 x 2 pixel patches. It keeps the colours that a small, jointly trained
autoencoder loses. The encoder learns to compute the code, the decoder to draw the image from the slightly noised code;
this takes five minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import pixel_unshuffle
from tqdm import tqdm

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


BATCH = 8
LEARNING_RATE = 3e-3
LATENT_NOISE = 0.07
"""Standard deviation of the noise the decoder learns to ignore: sampled latents are never exact."""


def build_autoencoder() -> AutoencoderKL:
    channels = (32, 48)
    assert 2 ** (len(channels) - 1) == PATCH
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=CHANNELS,
        block_out_channels=channels,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=1.0,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        mid_block_add_attention=False,
    )


def _edges(images: Tensor) -> tuple[Tensor, Tensor]:
    return images.diff(dim=-1), images.diff(dim=-2)


def reconstruction_loss(drawn: Tensor, images: Tensor) -> Tensor:
    """Squared and absolute error of the pixels, and absolute error of their differences (sharp edges)."""
    error = drawn - images
    sharpness = sum(edge.abs().mean() for edge in _edges(error))
    return 4 * error.square().mean() + error.abs().mean() + 0.3 * sharpness


def encoder_loss(autoencoder: AutoencoderKL, images: Tensor, latents: Tensor) -> Tensor:
    posterior = autoencoder.encode(images).latent_dist
    return (posterior.mean - latents).square().mean() + 0.01 * (posterior.logvar + 8).square().mean()


def psnr(autoencoder: AutoencoderKL, images: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of encoding and decoding ``images`` (n, 3, 64, 64) in [-1, 1]."""
    with torch.no_grad():
        drawn = autoencoder.decode(autoencoder.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    return float(10 * torch.log10(4 / (drawn - images).square().mean()))


def fit_autoencoder(code: LatentCode, steps: int, rng_seed: int = 0) -> AutoencoderKL:
    torch.manual_seed(rng_seed)
    autoencoder = build_autoencoder()
    optimizer = torch.optim.AdamW(autoencoder.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    for step in tqdm(range(steps), desc="autoencoder", mininterval=10):
        scenes = [training_scene(np.random.default_rng([rng_seed, 2, step * BATCH + k])) for k in range(BATCH)]
        images = to_tensor([scene.image for scene in scenes])
        latents = code.encode(images)
        drawn = autoencoder.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample
        loss = reconstruction_loss(drawn, images)
        if step % 4 == 0:
            loss = loss + encoder_loss(autoencoder, images, latents)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return autoencoder.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the embedded model's autoencoder to its latent code.")
    parser.add_argument("--folder", type=Path, required=True, help="the training folder, with latent_code.safetensors")
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    autoencoder = fit_autoencoder(LatentCode.load(arguments.folder / "latent_code.safetensors"), arguments.steps)
    autoencoder.save_pretrained(arguments.folder / "vae")
    held_out = to_tensor([training_scene(np.random.default_rng([0, 3, k])).image for k in range(200)])
    print(f"{psnr(autoencoder, held_out):.1f} dB on 200 held-out scenes")


if __name__ == "__main__":
    main()
