"""Training a LoRA adapter on unlabelled images of the target domain, resumable at any moment.

The loss is the one that the model was trained with: an image's latents are noised to a random timestep, and the UNet
predicts the noise (or the velocity, where that is what it predicts). Order, views, noise and timesteps follow from the
random-number seed and the iteration alone, so a run that was interrupted ends in exactly the adapter of one that was
not.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from seediff.adaptation.adapter import add_adapter, save_adapter
from seediff.adaptation.settings import WEIGHTS, AdapterSettings
from seediff.adaptation.views import View, Views
from seediff.datasets.unlabelled import Unlabelled
from seediff.diffusion.model_files import identity, named_weights
from seediff.diffusion.synthesis import encode_images, encode_text, load
from seediff.files.sealed import write_csv
from seediff.finite import check_step
from seediff.iterations import shown
from seediff.rng import derive_seed
from seediff.segmenter.checkpoint import Progress, load_state, save_state

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

HISTORY_ROWS = 100
WEIGHT_DECAY, CLIP = 0.01, 1.0
"""AdamW's, and the largest norm of the gradient."""


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
    images.check_size(image_side(pipe))
    about = {
        "model": named_weights(model),
        "settings": asdict(settings),
        "images": {"number": len(images), "digest": images.digest},
        "rng_seed": rng_seed,
    }
    run = {**about, "model": identity(model), "version": version}
    with torch.random.fork_rng():
        trainer = Trainer(pipe, images, settings, rng_seed, run, state_folder / "state.safetensors")
        for batch in shown("adapt", trainer.batches(), trainer.iteration, settings.iterations):
            trainer.step(batch)
    write_csv(folder / "history.csv", trainer.history)
    save_adapter(folder / WEIGHTS, pipe.unet, about)
    trainer.state.unlink(missing_ok=True)


class Trainer:
    """Adapter, optimiser and progress of the run that ``run`` describes, which keeps its state in the file ``state``.

    The adapter is left in the pipeline's UNet.
    """

    def __init__(
        self,
        pipe: StableDiffusionPipeline,
        images: Unlabelled,
        settings: AdapterSettings,
        rng_seed: int,
        run: Mapping[str, Any],
        state: Path,
    ) -> None:
        self.pipe, self.settings, self.state = pipe, settings, state
        self.name = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
        self.views = noised_views(pipe, images, len(settings.prompts), rng_seed)
        self.text = encode_text(pipe, settings.prompts)
        torch.manual_seed(derive_seed(rng_seed, "initialization"))
        self.parameters = nn.ParameterList(add_adapter(pipe.unet, settings))
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
        )
        progress = load_state(state, self.name, self.parameters, self.optimizer) or Progress(0, [])
        self.iteration, self.history = progress.iteration, progress.history
        self._clock, self._noted = time.perf_counter(), self.iteration

    def batches(self) -> Iterator[View]:
        size = self.settings.batch_size
        numbers = range(self.iteration * size, self.settings.iterations * size)
        return iter(DataLoader(self.views, size, sampler=numbers))

    def step(self, batch: View) -> None:
        """One optimiser step; notes the loss and saves the state when it is time to."""
        loss = denoising_losses(self.pipe, batch, self.text).mean()
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, CLIP)
        check_step({"denoising": loss}, [norm], self.iteration + 1)
        self.optimizer.step()
        self.iteration += 1
        settings, last = self.settings, self.iteration == self.settings.iterations
        if last or self.iteration % max(settings.iterations // HISTORY_ROWS, 1) == 0:
            self._note(loss.item())
        if not last and self.iteration % settings.checkpoint_every == 0:
            save_state(self.state, self.name, Progress(self.iteration, self.history), self.parameters, self.optimizer)

    def _note(self, loss: float) -> None:
        """Add a row to the history: the loss, and the speed since the last row."""
        images = (self.iteration - self._noted) * self.settings.batch_size
        images_per_second = images / (time.perf_counter() - self._clock)
        self._clock, self._noted = time.perf_counter(), self.iteration
        self.history.append({"iteration": self.iteration, "loss": loss, "images_per_second": images_per_second})


def image_side(pipe: StableDiffusionPipeline) -> int:
    """Side in pixels of the images that the pipeline draws."""
    return int(pipe.unet.config.sample_size * pipe.vae_scale_factor)


def noised_views(pipe: StableDiffusionPipeline, images: Unlabelled, prompts: int, rng_seed: int) -> Views:
    """The images as the pipeline is shown them, under one of so many prompts."""
    config = pipe.unet.config
    latents = (config.in_channels, config.sample_size, config.sample_size)
    timesteps = pipe.scheduler.config.num_train_timesteps
    return Views(images, image_side(pipe), latents, timesteps, prompts, rng_seed)


def denoising_losses(pipe: StableDiffusionPipeline, batch: View, text: Tensor) -> Tensor:
    """Mean squared error of the UNet's prediction for each view of a batch: (n,)."""
    from diffusers import DDPMScheduler

    device = pipe.device
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    pixels, noise, timesteps, prompts = (part.to(device) for part in batch)
    with torch.no_grad():
        latents = encode_images(pipe, pixels)
    targets = {"epsilon": lambda: noise, "v_prediction": lambda: scheduler.get_velocity(latents, noise, timesteps)}
    target = targets[scheduler.config.prediction_type]()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        noised = scheduler.add_noise(latents, noise, timesteps)
        predicted = pipe.unet(noised, timesteps, encoder_hidden_states=text[prompts]).sample
    return (predicted.float() - target).square().mean(dim=(1, 2, 3))
