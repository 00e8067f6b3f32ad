"""A LoRA adapter: low-rank updates W + B A of a pipeline's layers, put in, saved, and fused into the weights.

On disk it is ``pytorch_lora_weights.safetensors``, the format of diffusers: its pipelines load it as it is, and
adapters that others have trained are loaded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.utils import logging
from torch import Tensor, nn

from seediff.adaptation.settings import WEIGHTS, AdapterSettings
from seediff.diffusion.releases import errors_only
from seediff.errors import SeediffError
from seediff.extras import require_extra
from seediff.files.tensors import read_tensors
from seediff.finite import check_weights
from seediff.names import reason
from seediff.training.checkpoint import save_tensors


def add_adapter(unet: Any, settings: AdapterSettings) -> list[nn.Parameter]:
    """Put an adapter that changes nothing yet into the UNet, freeze all else; returns the adapter's parameters.

    A is drawn from a normal distribution by torch's global generator, B is 0, and their product goes unscaled.
    Raises ``SeediffError`` if the UNet lacks one of the target modules.
    """
    require_extra("lora")
    from peft import LoraConfig

    for target in settings.target_modules:
        if not any(f".{name}".endswith(f".{target}") for name, _ in unet.named_modules()):
            raise SeediffError(f"This model has no module {target!r} to adapt.\nTake it out of target_modules.")
    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.rank,
            init_lora_weights="gaussian",
            target_modules=list(settings.target_modules),
        )
    )
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


def save_adapter(path: Path, unet: Any, about: Mapping[str, Any]) -> None:
    """Write the UNet's adapter, sealed, with what is to be known about it."""
    from peft import get_peft_model_state_dict

    tensors = get_peft_model_state_dict(unet)
    save_tensors(path, {f"unet.{name}": tensor for name, tensor in tensors.items()}, about)


def adapter_file(path: Path) -> Path:
    """The file of an adapter given as such, or as the folder that holds it; ``SeediffError`` if there is none."""
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise SeediffError(f"There is no adapter {file}.\nGive a LoRA file in safetensors, or the folder of {WEIGHTS}.")
    if file.suffix != ".safetensors":
        raise SeediffError(f"The adapter {file} is not in safetensors, and no other kind of file is opened.")
    return file


def fuse_adapter(pipe: Any, path: Path) -> None:
    """Add the adapter's updates to the pipeline's weights, for good; no layer of the adapter is left.

    Raises ``SeediffError`` for a file that holds no LoRA adapter, or one that does not fit this model exactly.
    """
    require_extra("lora")
    file = adapter_file(path)
    if not hasattr(pipe, "load_lora_weights"):
        raise SeediffError(f"diffusers has no adapters for a {type(pipe).__name__}.\nLeave the adapter out.")
    tensors = _read(file)
    try:
        # It warns of networks that an adapter leaves alone, and of tensors that ``_check_fit`` looks for anyway.
        with errors_only(logging):
            pipe.load_lora_weights(tensors)
        _check_fit(pipe, tensors)
        pipe.fuse_lora(safe_fusing=True)
    except Exception as error:  # diffusers and peft raise a dozen different types for tensors that do not fit
        raise SeediffError(
            f"The adapter {file} does not fit the model: {reason(error)}\nIt has to be a LoRA of the same architecture."
        ) from None
    pipe.unload_lora_weights()


def _read(file: Path) -> dict[str, Tensor]:
    try:
        tensors, settings = read_tensors(file, "lora_adapter_metadata")
    except ValueError as error:
        raise SeediffError(f"The adapter {file} cannot be read: {error}") from None
    if not tensors or not all("lora" in name for name in tensors):
        raise SeediffError(f"{file} holds no LoRA adapter.\nIts tensors have to be named after layers and 'lora'.")
    check_weights(tensors, f"The adapter {file}", "Train it again, or give another.")
    _check_scale(file, settings)
    return tensors


def _check_scale(file: Path, settings: Mapping[str, Any]) -> None:
    """diffusers notes there what the tensors do not tell; we apply B A as it is."""
    for part in {name.rpartition(".")[0] for name in settings if name.endswith((".lora_alpha", ".r"))}:
        scale, rank = settings.get(f"{part}.lora_alpha"), settings.get(f"{part}.r")
        if scale != rank:
            raise SeediffError(f"The adapter {file} is scaled by {scale} / {rank}.\nOnly unscaled ones can be loaded.")


def _check_fit(pipe: Any, tensors: Mapping[str, Tensor]) -> None:
    """Every tensor must have found its layer: diffusers passes over those it has no use for."""
    stored = sum(not name.endswith("alpha") for name in tensors)
    networks = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    fitted = sum(".lora_" in name for network in networks for name, _ in network.named_parameters())
    if fitted != stored:
        raise SeediffError(f"{fitted} of its {stored} tensors found a layer.")
