"""Train the embedded diffusion model. Resumable, seeded, the same whatever the number of processes.

    torchrun --nproc-per-node 2 -m seediff.pictograms.train --folder work/pictograms --images 400000

Scenes are rendered as they are needed, image k from rng (seed, k), so no data set is stored and a resumed
run sees what an uninterrupted one would have seen. In part of the images only the coarser levels of the
UNet are given the text (``LEVEL_ODDS``); otherwise the finest level alone reads the prompt, and the coarse
cross-attention, which seeds the masks, never learns to look where the object is.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from seediff.pictograms.denoiser import (
    BLOCK_CHANNELS,
    build_scheduler,
    build_text_encoder,
    build_unet,
    tie_self_attention,
)
from seediff.pictograms.latents import LatentCode, fit_latent_code, to_tensor
from seediff.pictograms.scaffold import class_of_token, scaffold_loss, show_coarse_attention
from seediff.pictograms.scenes import training_scene
from seediff.pictograms.tokenizer import build_tokenizer

BATCH = 32
LEARNING_RATE = 8e-4
DECAY = 0.2
EMA = 0.999
PROMPT_DROPOUT = 0.1
LEVEL_ODDS = (0.35, 0.25, 0.4)
"""Share of images in which the text reaches every level, the two coarser ones, the coarsest alone."""
SCAFFOLD_WEIGHT = 0.2


@dataclass
class Model:
    """What is trained; ``reach`` (n,) is the finest level the text reaches, set before each call."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    reach: Tensor | None = None
    empty: Tensor | None = None

    def parameters(self) -> dict[str, nn.Parameter]:
        modules = {"unet": self.unet, "text_encoder": self.text_encoder}
        return {f"{prefix}.{name}": p for prefix, module in modules.items() for name, p in module.named_parameters()}

    def limit_text(self) -> None:
        """Have each cross-attention swap in the empty prompt for the images whose text does not reach it."""
        for name, module in self.unet.named_modules():
            if name.endswith("attn2"):
                level = BLOCK_CHANNELS.index(module.to_q.weight.shape[0])
                module.register_forward_pre_hook(self._hook(level), with_kwargs=True)

    def _hook(self, level: int) -> Any:
        def swap(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            assert self.reach is not None and self.empty is not None
            text = kwargs["encoder_hidden_states"]
            shown = (self.reach <= level).view(-1, 1, 1)
            kwargs["encoder_hidden_states"] = torch.where(shown, text, self.empty.to(text.dtype))
            return args, kwargs

        return swap


@dataclass(frozen=True)
class Batch:
    """``latents``, ``noise``: (n, 4, 32, 32); ``timesteps``, ``reach``: (n,); ``tokens``: (n, length);
    ``labels``: (n, 64, 64)."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    reach: Tensor
    tokens: Tensor
    labels: Tensor


def make_batch(step: int, rank: int, world: int, code: LatentCode, tokenizer: CLIPTokenizer, rng_seed: int) -> Batch:
    """This process's share of global batch ``step``; all random numbers depend on the step alone."""
    mine = slice(rank, BATCH, world)
    scenes = [training_scene(np.random.default_rng([rng_seed, 1, step * BATCH + k])) for k in range(BATCH)[mine]]
    generator = torch.Generator().manual_seed(rng_seed * 1_000_003 + step)
    noise = torch.randn(BATCH, 4, 32, 32, generator=generator)
    timesteps = torch.randint(0, 1000, (BATCH,), generator=generator)
    reach = torch.multinomial(torch.tensor(LEVEL_ODDS), BATCH, replacement=True, generator=generator)
    dropped = torch.rand(BATCH, generator=generator) < PROMPT_DROPOUT
    prompts = ["" if drop else scene.prompt for scene, drop in zip(scenes, dropped[mine].tolist())]
    return Batch(
        latents=code.encode(to_tensor([scene.image for scene in scenes])),
        noise=noise[mine],
        timesteps=timesteps[mine],
        reach=reach[mine],
        tokens=tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids,
        labels=torch.from_numpy(np.stack([scene.labels for scene in scenes])).long(),
    )


def velocity_loss(model: Model, batch: Batch, alphas: Tensor, empty_tokens: Tensor) -> Tensor:
    """Mean squared error of the predicted velocity (v-prediction)."""
    alpha = alphas[batch.timesteps].view(-1, 1, 1, 1)
    noised = alpha.sqrt() * batch.latents + (1 - alpha).sqrt() * batch.noise
    velocity = alpha.sqrt() * batch.noise - (1 - alpha).sqrt() * batch.latents
    text = model.text_encoder(torch.cat([empty_tokens, batch.tokens])).last_hidden_state
    model.empty, model.reach = text[:1], batch.reach
    return (model.unet(noised, batch.timesteps, text[1:]).sample.float() - velocity).square().mean()


def average_gradients(parameters: list[nn.Parameter]) -> None:
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for parameter, gradient in zip(parameters, flat.split([p.numel() for p in parameters])):
        parameter.grad = gradient.view_as(parameter)


@dataclass
class Training:
    """Everything a resumed run needs; saved whole, renamed when complete."""

    model: Model
    average: dict[str, Tensor]
    optimizer: torch.optim.AdamW
    step: int = 0

    def save(self, folder: Path) -> None:
        tensors = {f"model/{name}": p.detach() for name, p in self.model.parameters().items()}
        tensors |= {f"average/{name}": value for name, value in self.average.items()}
        for name, parameter in self.model.parameters().items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"{key}/{name}"] = torch.as_tensor(value)
        partial = folder / "state.safetensors.partial"
        save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata={"step": str(self.step)})
        partial.replace(folder / "state.safetensors")

    def load(self, folder: Path) -> None:
        from safetensors import safe_open

        tensors = load_file(folder / "state.safetensors")
        with safe_open(folder / "state.safetensors", "pt") as file:
            self.step = int(file.metadata()["step"])
        for name, parameter in self.model.parameters().items():
            if not parameter.requires_grad:
                continue  # fixed by construction
            parameter.data.copy_(tensors[f"model/{name}"])
            self.average[name].copy_(tensors[f"average/{name}"])
            if f"exp_avg/{name}" in tensors:
                keys = ("step", "exp_avg", "exp_avg_sq")
                self.optimizer.state[parameter] = {key: tensors[f"{key}/{name}"].clone() for key in keys}


def averaged_model(training: Training) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Copies of the networks holding the exponential moving average of their weights."""
    unet, text_encoder = training.model.unet, training.model.text_encoder
    model = Model(UNet2DConditionModel.from_config(unet.config), CLIPTextModel(text_encoder.config))
    for name, parameter in model.parameters().items():
        parameter.data.copy_(training.average[name])
    return model.unet, model.text_encoder


def export(training: Training, tokenizer: CLIPTokenizer, scheduler: DDIMScheduler, folder: Path) -> None:
    unet, text_encoder = averaged_model(training)
    unet.save_pretrained(folder / "unet")
    text_encoder.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")


def start(folder: Path, continue_from: Path | None) -> tuple[Training, LatentCode, CLIPTokenizer]:
    """Build or reload the training state; ``continue_from`` is a pipeline folder to take weights from."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "latent_code.safetensors").exists():
        fit_latent_code().save(folder / "latent_code.safetensors")
    code = LatentCode.load(folder / "latent_code.safetensors")
    tokenizer = build_tokenizer(folder / f"tokenizer-{os.getpid()}")
    if continue_from:
        unet = UNet2DConditionModel.from_pretrained(continue_from / "unet", torch_dtype=torch.float32)
        text_encoder = CLIPTextModel.from_pretrained(continue_from / "text_encoder", dtype=torch.float32)
        tie_self_attention(unet)
    else:
        unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
    model = Model(unet.train(), text_encoder.train())
    trained = [parameter for parameter in model.parameters().values() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    average = {name: parameter.detach().clone() for name, parameter in model.parameters().items()}
    training = Training(model, average, optimizer)
    if (folder / "state.safetensors").exists():
        training.load(folder)
    return training, code, tokenizer


def train(
    folder: Path, images: int, scaffold_images: int, rng_seed: int, save_every: int, continue_from: Path | None = None
) -> None:
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(rng_seed)
    if world > 1:
        dist.init_process_group("gloo")
    if rank:
        dist.barrier()
    training, code, tokenizer = start(folder, continue_from)
    if world > 1 and not rank:
        dist.barrier()
    training.model.limit_text()
    shown, token_labels = show_coarse_attention(training.model.unet), class_of_token(tokenizer)
    trained = [parameter for parameter in training.model.parameters().values() if parameter.requires_grad]
    scheduler = build_scheduler()
    empty_tokens = tokenizer([""], padding="max_length", return_tensors="pt").input_ids
    last, first, losses, began = images // BATCH, training.step, [], time.monotonic()
    while training.step < last:
        progress = training.step / last
        rate = LEARNING_RATE * min(1.0, (training.step - first + 1) / 100) * min(1.0, max(0.02, (1 - progress) / DECAY))
        for group in training.optimizer.param_groups:
            group["lr"] = rate
        batch = make_batch(training.step, rank, world, code, tokenizer, rng_seed)
        with torch.autocast("cpu", torch.bfloat16):
            loss = velocity_loss(training.model, batch, scheduler.alphas_cumprod, empty_tokens)
        if training.step * BATCH < scaffold_images:
            loss = loss + SCAFFOLD_WEIGHT * scaffold_loss(shown, token_labels[batch.tokens], batch.labels, batch.reach)
        loss.backward()
        if world > 1:
            average_gradients(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        training.optimizer.step()
        training.optimizer.zero_grad()
        training.step += 1
        decay = min(EMA, (1 + training.step) / (10 + training.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(training.average.values()), [p.data for p in training.model.parameters().values()], 1 - decay
            )
        losses.append(loss.item())
        if rank == 0 and training.step % 100 == 0:
            speed = (training.step - first) * BATCH / (time.monotonic() - began)
            print(
                f"{training.step * BATCH} images, loss {np.mean(losses[-100:]):.4f}, {speed:.1f} images/s", flush=True
            )
        if rank == 0 and (training.step % save_every == 0 or training.step == last):
            training.save(folder)
            export(training, tokenizer, scheduler, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded diffusion model.")
    parser.add_argument("--folder", type=Path, required=True, help="where the state and the exported parts live")
    parser.add_argument("--images", type=int, required=True, help="training images in all, earlier runs included")
    parser.add_argument("--scaffold-images", type=int, default=0, help="images until the scaffold loss is taken away")
    parser.add_argument("--rng-seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=250, help="steps between saved states")
    parser.add_argument("--continue-from", type=Path, help="pipeline folder whose weights to start from")
    arguments = parser.parse_args()
    train(**vars(arguments))


if __name__ == "__main__":
    main()
