"""Training batches of the embedded diffusion model, rendered as they are needed.

Everything random in a batch follows from the seed and the step, so a resumed run sees what an uninterrupted one
would have seen, and several processes see together what one would see alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from seediff.diffusion.releases import CLIPTokenizer
from seediff.embedded.denoiser import LATENT_SIDE
from seediff.embedded.latents import CHANNELS, LatentCode, to_tensor
from seediff.embedded.level_dropout import draw_reach
from seediff.embedded.scenes import training_scene

BATCH = 32
"""Images a step, over all processes."""
PROMPT_DROPOUT = 0.1


@dataclass(frozen=True)
class Batch:
    """One process's share of n images.

    ``latents``, ``noise``: (n, 4, 32, 32); ``timesteps``: (n,); ``reach``: (n, 3) levels that get the text;
    ``tokens``: (n, length); ``labels``: (n, 64, 64), 0 background, k + 1 for class k.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    reach: Tensor
    tokens: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def make_batch(step: int, rank: int, world: int, code: LatentCode, tokenizer: CLIPTokenizer, rng_seed: int) -> Batch:
    """The share of process ``rank`` of ``world`` in global batch ``step``."""
    mine = slice(rank, BATCH, world)
    scenes = [training_scene(np.random.default_rng([rng_seed, 1, step * BATCH + k])) for k in range(BATCH)[mine]]
    generator = torch.Generator().manual_seed(rng_seed * 1_000_003 + step)
    noise = torch.randn(BATCH, CHANNELS, LATENT_SIDE, LATENT_SIDE, generator=generator)
    timesteps = torch.randint(0, 1000, (BATCH,), generator=generator)
    reach = draw_reach(BATCH, generator)
    dropped = torch.rand(BATCH, generator=generator) < PROMPT_DROPOUT
    prompts = ["" if drop else scene.prompt for scene, drop in zip(scenes, dropped[mine].tolist(), strict=True)]
    return Batch(
        latents=code.encode(to_tensor([scene.image for scene in scenes])),
        noise=noise[mine],
        timesteps=timesteps[mine],
        reach=reach[mine],
        tokens=tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids,
        labels=torch.from_numpy(np.stack([scene.labels for scene in scenes])).long(),
    )
