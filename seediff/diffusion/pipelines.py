"""The pipelines that images are drawn with, by the names of their classes in diffusers: how each is called.

To support another one, enter it here, and its denoiser's family in ``attention.families``. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seediff.errors import SeediffError
from seediff.settings import MOST_AT_ONCE

UNET = "UNet2DConditionModel"
FURTHER = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
"""What a UNet's configuration has for what it is given besides latents and a prompt."""


@dataclass(frozen=True)
class Kind:
    """How the pipelines of a class are called.

    ``model``: what people call it. ``denoiser``: the class of its denoiser, and ``addition``: what a UNet is given
    besides the prompt. ``guidance``: the argument that is the scale of guidance. ``arguments``: further
    ones, so that the image is not cropped and the prompt is read as it is. ``negative``: what guidance leads away from,
    where there is none without it. ``is_negatable``: whether it can be told what to lead away from. ``at_once``: images
    drawn at a time, at most. ``variant``: how masks are made if nobody says how.
    """

    model: str
    denoiser: str
    addition: str | None = None
    guidance: str = "guidance_scale"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    negative: str | None = None
    is_negatable: bool = True
    at_once: int = MOST_AT_ONCE
    variant: str = "ca_sa"


_UNCROPPED = {"use_resolution_binning": False}
_AS_IT_IS = {**_UNCROPPED, "clean_caption": False}

PIPELINES: dict[str, Kind] = {
    "StableDiffusionPipeline": Kind("Stable Diffusion 1 and 2", UNET, variant="look"),
    "StableDiffusionXLPipeline": Kind("Stable Diffusion XL", UNET, addition="text_time"),
    "StableDiffusion3Pipeline": Kind("Stable Diffusion 3", "SD3Transformer2DModel"),
    "LatentConsistencyModelPipeline": Kind("latent consistency models", UNET, is_negatable=False, variant="look"),
    "PixArtAlphaPipeline": Kind("PixArt-α", "PixArtTransformer2DModel", arguments=_AS_IT_IS),
    "PixArtSigmaPipeline": Kind("PixArt-Σ", "PixArtTransformer2DModel", arguments=_AS_IT_IS),
    "FluxPipeline": Kind("FLUX.1", "FluxTransformer2DModel", is_negatable=False),
    "Flux2KleinPipeline": Kind("FLUX.2 klein", "Flux2Transformer2DModel", is_negatable=False),
    "ChromaPipeline": Kind("Chroma", "ChromaTransformer2DModel"),
    "QwenImagePipeline": Kind("Qwen-Image", "QwenImageTransformer2DModel", guidance="true_cfg_scale", negative=" "),
    "ZImagePipeline": Kind("Z-Image", "ZImageTransformer2DModel"),
    "AuraFlowPipeline": Kind("AuraFlow", "AuraFlowTransformer2DModel"),
    "HunyuanDiTPipeline": Kind("Hunyuan-DiT", "HunyuanDiT2DModel", arguments=_UNCROPPED),
    "Kandinsky5T2IPipeline": Kind("Kandinsky 5", "Kandinsky5Transformer3DModel", at_once=1),
    "Lumina2Pipeline": Kind("Lumina-Image 2", "Lumina2Transformer2DModel"),
    "CogView4Pipeline": Kind("CogView4", "CogView4Transformer2DModel", at_once=1),
    "PRXPipeline": Kind("PRX", "PRXTransformer2DModel", arguments=_UNCROPPED, at_once=1),
    "SanaPipeline": Kind("Sana", "SanaTransformer2DModel", arguments=_AS_IT_IS),
}
"""FLUX.1's scale is that of distilled guidance. In a batch, an image of Kandinsky 5 or CogView4 depends on the longest
of its prompts, and PRX guides one image at a time: these draw one by one."""

_MODELS = [kind.model for kind in PIPELINES.values()]
SUPPORTED = f"Images are drawn from a prompt alone, with {', '.join(_MODELS[:-1])} or {_MODELS[-1]}."


def kind_of(pipe: Any) -> Kind:
    """``SeediffError`` for a pipeline that images are not drawn with."""
    names = [kind.__name__ for kind in type(pipe).__mro__]
    for name in names:
        if name in PIPELINES:
            return PIPELINES[name]
    raise SeediffError(f"A {names[0]} is not drawn with.\n{SUPPORTED}")


def check_negatable(kind: Kind, guidance_scale: float | None) -> None:
    """Raise ``SeediffError`` where a negative prompt has no effect; a scale that is left out is the pipeline's own."""
    if not kind.is_negatable:
        raise SeediffError(f"A negative prompt has no effect with {kind.model}.\nLeave negative_prompt out.")
    if guidance_scale is not None and guidance_scale <= 1:
        raise SeediffError(
            f"A negative prompt has no effect without guidance, and guidance_scale is {guidance_scale:g}.\n"
            "Set it above 1, or leave negative_prompt out."
        )


def default_variant(pipeline: str) -> str:
    """How masks are made with a class of pipelines if nobody says how."""
    return PIPELINES[pipeline].variant


def check_plain_unet(pipe: Any, what: str, advice: str) -> None:
    """Raise ``SeediffError`` unless the denoiser is a UNet that is given latents and a prompt alone, for ``what``."""
    unet = getattr(pipe, "unet", None)
    if unet is None or any(unet.config.get(name) is not None for name in FURTHER):
        raise SeediffError(
            f"{what} with Stable Diffusion 1 and 2 alone, and not with a {type(pipe).__name__}.\n{advice}"
        )
    if (given := unet.config.in_channels) != (latents := pipe.vae.config.latent_channels):
        raise SeediffError(
            f"{what} with Stable Diffusion 1 and 2 alone, and not with one for inpainting or editing: the UNet takes"
            f" {given} channels, but latents have {latents}.\n{advice}"
        )
