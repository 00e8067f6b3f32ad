"""What a diffusion model's parts give, checked to be finite: text encoder, UNet and VAE, each as it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seediff.finite import NotFiniteError, check_finite, first_not_finite, remedy

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


def check_text(embeddings: Tensor) -> None:
    """Raise ``NotFiniteError`` unless what the text encoder makes of prompts, (n, tokens, width), is finite."""
    check_finite(embeddings, "the text encoder's output", remedy(embeddings.dtype, "another model"))


def check_latents(latents: Tensor) -> None:
    """Raise ``NotFiniteError`` unless what the VAE makes of images, (n, channels, side, side), is finite."""
    check_finite(latents, "the latents that the VAE makes of it", remedy(latents.dtype, "another VAE"))


@contextmanager
def checked_unet(unet: Any) -> Iterator[None]:
    """Inside the with-block the UNet raises ``NotFiniteError``, with the timestep, for the first such prediction."""
    hook = unet.register_forward_hook(_check_prediction, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _check_prediction(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    predicted = output[0]
    row = first_not_finite(predicted)
    if row is not None:
        timestep = torch.as_tensor(args[1] if len(args) > 1 else kwargs["timestep"]).flatten()[0].item()
        part = f"the UNet's output at timestep {timestep:g}"
        raise NotFiniteError(part, row, remedy(predicted.dtype, "another model"))


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


@contextmanager
def replaced(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """The owner's method ``name`` is ``function`` inside the with-block."""
    before = {key: value for key, value in vars(owner).items() if key == name}
    setattr(owner, name, function)
    try:
        yield
    finally:
        delattr(owner, name)
        vars(owner).update(before)


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
