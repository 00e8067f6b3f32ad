"""Training a LoRA adapter on unlabelled images of the target domain, resumable at any moment (``training.loop``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seediff.adaptation.adapter import add_adapter, save_adapter
from seediff.adaptation.denoising import NoisedView, denoising_losses, image_side, noised_views
from seediff.adaptation.settings import WEIGHTS, AdapterSettings
from seediff.datasets.unlabelled import Unlabelled
from seediff.diffusion.loading import load
from seediff.diffusion.model_files import identity, named_weights
from seediff.diffusion.outputs import encode_text
from seediff.diffusion.pipelines import check_plain_unet
from seediff.files.sealed import write_csv
from seediff.rng import derive_seed
from seediff.training import loop
from seediff.training.loop import STATE, Task, Trainer
from seediff.training.processes import Processes

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

WEIGHT_DECAY, CLIP = 0.01, 1.0
"""AdamW's, and the largest norm of the gradient."""
COLUMNS = ("iteration", "loss", "images_per_second")
"""Those of ``history.csv``."""


def train_adapter(
    model: str,
    images: Unlabelled,
    settings: AdapterSettings,
    folder: Path,
    state_folder: Path,
    rng_seed: int,
    version: int = 0,
) -> None:
    """Adapt the Stable Diffusion ``model`` (folder or hub id) to the images.

    Writes ``history.csv`` and, when done, ``pytorch_lora_weights.safetensors`` to ``folder``. Every
    ``checkpoint_every`` iterations the state goes to ``state_folder/state.safetensors``, from which the same run
    resumes; it is removed at the end. A state that another ``version`` (what training means) left is not resumed from.
    Runs on the GPU if there is one.
    """
    pipe = load(model)
    check_plain_unet(pipe, "Adapters are trained", "Give one of these.")
    images.check_size(image_side(pipe))
    about = {
        "model": named_weights(model),
        "settings": asdict(settings),
        "images": {"number": len(images), "digest": images.digest},
        "rng_seed": rng_seed,
    }
    described = json.dumps({**about, "model": identity(model), "version": version}, sort_keys=True)
    run = hashlib.sha256(described.encode()).hexdigest()
    with torch.random.fork_rng():
        task = adapter_task(pipe, images, settings, rng_seed)
        trainer = Trainer(task, Processes(), run, state_folder / STATE)
        trainer.carry_out(loop.run, 0, partial(_write_results, folder, pipe, about))


def adapter_task(pipe: StableDiffusionPipeline, images: Unlabelled, settings: AdapterSettings, rng_seed: int) -> Task:
    """A new adapter, put into the pipeline's UNet, to be trained on the images, and its optimiser."""
    text = encode_text(pipe, settings.prompts)
    torch.manual_seed(derive_seed(rng_seed, "initialization"))
    weights = nn.ParameterList(add_adapter(pipe.unet, settings))

    def losses(iteration: int, *batch: Tensor) -> dict[str, Tensor]:
        return {"denoising": denoising_losses(pipe, NoisedView(*batch), text).mean()}

    def constant(iteration: int) -> float:
        return settings.learning_rate

    group = {"params": list(weights), "lr_factor": 1.0}
    optimizer = torch.optim.AdamW([group], lr=settings.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    views = noised_views(pipe, images, len(settings.prompts), rng_seed)
    return Task("adapt", weights, [weights], optimizer, CLIP, constant, views, losses, settings, rng_seed)


def _write_results(
    folder: Path, pipe: StableDiffusionPipeline, about: Mapping[str, Any], history: Sequence[Mapping[str, float]]
) -> None:
    write_csv(folder / "history.csv", [{name: row[name] for name in COLUMNS} for row in history])
    save_adapter(folder / WEIGHTS, pipe.unet, about)
