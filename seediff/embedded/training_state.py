"""The state of the embedded model's training: weights, their moving average, Adam's moments, and the step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import CLIPTextModel

from seediff.diffusion.releases import CLIPTokenizer
from seediff.files.sealed import partial

EMA = 0.999
STATE = "state.safetensors"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def named_parameters(unet: nn.Module, text_encoder: nn.Module) -> dict[str, nn.Parameter]:
    modules = {"unet": unet, "text_encoder": text_encoder}
    return {f"{prefix}.{name}": one for prefix, module in modules.items() for name, one in module.named_parameters()}


@dataclass
class TrainingState:
    """Everything that a resumed run needs."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    optimizer: torch.optim.AdamW
    average: dict[str, Tensor]
    step: int = 0

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return named_parameters(self.unet, self.text_encoder)

    @torch.no_grad()
    def follow(self) -> None:
        """Count one step and move the averages towards the weights, faster at the beginning."""
        self.step += 1
        decay = min(EMA, (1 + self.step) / (10 + self.step))
        weights = [parameter.data for parameter in self.parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)

    def save(self, folder: Path) -> None:
        """Write one safetensors file, whole or not at all."""
        tensors = {f"model/{name}": parameter.detach() for name, parameter in self.parameters.items()}
        tensors |= {f"average/{name}": value for name, value in self.average.items()}
        for name, parameter in self.parameters.items():
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"{key}/{name}": torch.as_tensor(value) for key, value in moments.items()}
        with partial(folder / STATE) as unfinished:
            whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
            unfinished.write_bytes(save(whole, {"step": str(self.step)}))

    def load(self, folder: Path) -> None:
        """Take up what ``save`` wrote; parameters that are fixed by construction stay as built."""
        tensors = load_file(folder / STATE)
        with safe_open(folder / STATE, "pt") as file:
            self.step = int(file.metadata()["step"])
        for name, parameter in self.parameters.items():
            if not parameter.requires_grad:
                continue
            parameter.data.copy_(tensors[f"model/{name}"])
            self.average[name].copy_(tensors[f"average/{name}"])
            if f"exp_avg/{name}" in tensors:
                moments = {key: tensors[f"{key}/{name}"].to(parameter.device) for key in _MOMENTS}
                self.optimizer.state[parameter] = moments | {"step": moments["step"].cpu()}

    def export(self, tokenizer: CLIPTokenizer, scheduler: DDIMScheduler, folder: Path) -> None:
        """Write the averaged networks, the tokenizer and the scheduler in diffusers' format."""
        unet = UNet2DConditionModel.from_config(self.unet.config)
        text_encoder = CLIPTextModel(self.text_encoder.config)
        for name, parameter in named_parameters(unet, text_encoder).items():
            parameter.data.copy_(self.average[name])
        for name, part in {
            "unet": unet, "text_encoder": text_encoder, "tokenizer": tokenizer, "scheduler": scheduler,
        }.items():  # fmt: skip
            part.save_pretrained(folder / name)
