"""Attention of images that are there already: noised to a timestep, and shown to the UNet with a prompt.

    maps = look_again(pipe, image, "a photo of a cat")
    mask = make_mask(maps, "cat", image, variant=[("look_again", {"timestep": 150}), *VARIANTS["ca_sa"]])

One call of the UNet, at low noise, shows where the object is rather than where it will be. Any image will do: one that
the pipeline has drawn, or a photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from seediff.attention.calls import Calls, LookAgain
from seediff.attention.maps import AttentionMaps
from seediff.attention.recording import record_denoiser
from seediff.attention.tokens import tokenize
from seediff.datasets.images import pixels_of
from seediff.diffusion.outputs import encode_images, encode_text
from seediff.diffusion.pipelines import check_plain_unet
from seediff.errors import SeediffError
from seediff.rng import derive_seed

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


def look_again(
    pipe: StableDiffusionPipeline,
    image: Image.Image | NDArray[np.uint8],
    prompt: str,
    timestep: int = 150,
    rng_seed: int = 0,
) -> AttentionMaps:
    """The attention of one UNet call on the image with the prompt, which names what is to be found.

    ``image``: a PIL image or (H, W, 3) uint8, best about as large as the pipeline draws. ``timestep``: how much noise
    is added, from 0 (none) to 999; ``rng_seed``: which. ``SeediffError`` for sides that are no multiples of the VAE's
    unit (8 in Stable Diffusion), another pipeline than one of Stable Diffusion 1 and 2, what is not finite, and as in
    ``pixels_of``. ``segment`` takes photographs of any size.
    """
    check_looks(pipe)
    pixels = pixels_of(image)
    _check_size(pipe, pixels)
    calls = LookAgain(timestep)
    seeds = {timestep: [look_seed(rng_seed, timestep)]}
    return look(pipe, pixels[None], [prompt], seeds, {calls: [timestep]})[calls][0]


def check_looks(pipe: Any, advice: str = "Give one of these.") -> None:
    """Raise ``SeediffError`` unless the pipeline can look at finished images."""
    check_plain_unet(pipe, "Finished images are looked at again", advice)
    if not hasattr(pipe.scheduler, "alphas_cumprod"):
        raise SeediffError(
            "Finished images are looked at again with a scheduler of Stable Diffusion 1 and 2 alone: a"
            f" {type(pipe.scheduler).__name__} has no alphas_cumprod, the noise of each timestep.\n{advice}"
        )


def look_seed(rng_seed: int, timestep: int) -> int:
    """The seed of the noise for another look at an image that has ``rng_seed``."""
    return derive_seed(rng_seed, "look again", timestep)


@torch.inference_mode()
def look(
    pipe: StableDiffusionPipeline,
    images: NDArray[np.uint8],
    prompts: Sequence[str],
    seeds: Mapping[int, Sequence[int]],
    recordings: Mapping[Calls, Collection[int]],
) -> dict[Calls, list[AttentionMaps]]:
    """The attention of images (n, H, W, 3) with their prompts, in the images' order, of every recording.

    ``seeds``: timestep -> the seed of each image's noise. ``recordings``: the timesteps that each is the mean of.
    """
    tokenized = tokenize(pipe, prompts)
    text = encode_text(pipe, prompts)
    pixels = torch.tensor(np.ascontiguousarray(images)).movedim(-1, 1)  # last digits follow from the order in memory
    latents = encode_images(pipe, pixels.to(pipe.device, text.dtype) / 127.5 - 1)
    with record_denoiser(pipe.unet, _wanted_by(recordings)) as listener:
        for timestep, of_images in seeds.items():
            noise = torch.stack([_noise(latents.shape[1:], seed) for seed in of_images])
            steps = torch.full((len(images),), timestep, device=latents.device)
            pipe.unet(_noised(pipe, latents, noise.to(latents), timestep), steps, encoder_hidden_states=text)
    return {calls: listener.maps(tokenized, calls) for calls in recordings}


def look_as(
    pipe: StableDiffusionPipeline,
    images: NDArray[np.uint8],
    prompts: Sequence[str],
    timesteps: Sequence[int],
    recordings: Sequence[Calls],
    seed_of: Callable[[int, int], int],
) -> list[dict[Calls, AttentionMaps]]:
    """The attention of each image (n, H, W, 3), by recording, as if it had been recorded in a denoising run.

    ``timesteps`` stand for those of the run; another look adds its own. ``seed_of``: the seed of an image's noise, by
    its place and the timestep.
    """
    schedule = sorted(timesteps, reverse=True)
    wanted = {calls: [*map(int, calls.of(schedule))] for calls in recordings}
    needed = {*chain.from_iterable(wanted.values())}
    every = [timestep for timestep in dict.fromkeys([*timesteps, *sorted(needed)]) if timestep in needed]
    seeds = {timestep: [seed_of(at, timestep) for at in range(len(images))] for timestep in every}
    recorded = look(pipe, images, prompts, seeds, wanted)
    return [{calls: maps[at] for calls, maps in recorded.items()} for at in range(len(images))]


def _wanted_by(recordings: Mapping[Calls, Collection[int]]) -> Callable[[Tensor], frozenset[Calls]]:
    return lambda steps: frozenset(calls for calls, timesteps in recordings.items() if int(steps[0]) in timesteps)


def _noised(pipe: StableDiffusionPipeline, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
    """Latents as the UNet sees them at a timestep of its training, whatever the scheduler samples with."""
    kept = pipe.scheduler.alphas_cumprod.to(latents)[timestep]
    return kept**0.5 * latents + (1 - kept) ** 0.5 * noise


def _noise(shape: Sequence[int], seed: int) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator("cpu").manual_seed(seed))


def _check_size(pipe: StableDiffusionPipeline, pixels: NDArray[np.uint8]) -> None:
    unit = pipe.vae_scale_factor
    if any(side % unit for side in pixels.shape[:2]):
        raise SeediffError(
            f"An image to look at must have sides of whole latents, multiples of {unit} pixels, not"
            f" {pixels.shape[1]} x {pixels.shape[0]}.\nResize it, or use seediff.segment, which does."
        )
