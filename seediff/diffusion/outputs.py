"""What a diffusion model's parts give, checked to be finite: text encoder, denoiser and VAE, each as it is called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seediff.finite import NotFiniteError, check_finite, first_not_finite, remedy
from seediff.replacing import replaced

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


def check_text(embeddings: Tensor | Sequence[Tensor]) -> None:
    """Raise ``NotFiniteError`` unless what the text encoder makes of prompts is finite: (n, tokens, width), or (tokens,
    width) of each."""
    for row, of_prompt in enumerate(embeddings):
        if first_not_finite(of_prompt[None]) is not None:
            raise NotFiniteError("the text encoder's output", row, remedy(of_prompt.dtype, "another model"))


def check_latents(latents: Tensor) -> None:
    """Raise ``NotFiniteError`` unless what the VAE makes of images, (n, channels, side, side), is finite."""
    check_finite(latents, "the latents that the VAE makes of it", remedy(latents.dtype, "another VAE"))


@contextmanager
def checked_denoiser(denoiser: Any, timestep: str = "timestep") -> Iterator[None]:
    """Inside the with-block the denoiser raises ``NotFiniteError``, with the timestep, for the first such prediction.

    ``timestep``: the argument of its forward that holds it.
    """
    signature = inspect.signature(type(denoiser).forward)

    def check(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        predicted = output[0]
        rows = predicted if isinstance(predicted, Tensor) else torch.stack([*predicted])
        row = first_not_finite(rows)
        if row is not None:
            given = signature.bind(denoiser, *args, **kwargs).arguments[timestep]
            part = f"the denoiser's output at timestep {torch.as_tensor(given).flatten()[0].item():g}"
            raise NotFiniteError(part, row, remedy(rows.dtype, "another model"))

    hook = denoiser.register_forward_hook(check, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def checked_vae(vae: Any) -> Iterator[None]:
    """Inside the with-block the VAE decodes to finite values or raises ``NotFiniteError``.

    It is what the decoder itself gives: a pipeline clamps it next, which makes infinity white and NaN black.
    """
    decode = vae.decode

    def decode_and_check(*args: Any, **kwargs: Any) -> Any:
        decoded = decode(*args, **kwargs)
        check_finite(decoded[0], "the VAE's output", remedy(decoded[0].dtype, "another VAE"))
        return decoded

    with replaced(vae, "decode", decode_and_check):
        yield


@torch.no_grad()
def encode_text(pipe: StableDiffusionPipeline, prompts: Sequence[str]) -> Tensor:
    """What the UNet is given of each prompt: (prompts, tokens, width); ``SeediffError`` if it is not finite."""
    text: Tensor = pipe.encode_prompt(list(prompts), pipe.device, 1, do_classifier_free_guidance=False)[0]
    check_text(text)
    return text


def encode_images(pipe: StableDiffusionPipeline, pixels: Tensor) -> Tensor:
    """The latents of images (n, 3, S, S) in [-1, 1], as the UNet sees them; ``SeediffError`` if they are not finite."""
    latents: Tensor = pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor
    check_latents(latents)
    return latents
