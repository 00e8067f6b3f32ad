"""Train the embedded diffusion model. Resumable, seeded, the same whatever the number of processes.

    torchrun --nproc-per-node 2 -m seediff.embedded.train --folder work/pictograms --images 400000

One process per GPU if there are GPUs; on a CPU, one process per core is fastest. Batches are rendered as they are
needed. Everything random in a batch follows from the seed and the step, so a resumed run sees what an uninterrupted run
would have seen, and several processes together see what a single process would see. The folder ends up with the parts
that ``seediff.embedded.pipeline`` puts together (docs/embedded-model.md).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import CLIPTextModel

from seediff.diffusion.releases import CLIPTokenizer, load_text_encoder
from seediff.embedded.autoencoder import CHANNELS, LatentCode, fit_latent_code, to_tensor
from seediff.embedded.coarse_attention import (
    Grounding,
    TextReach,
    class_of_token,
    draw_reach,
    grounding_loss,
    limit_text,
    renew_cross_attention,
    show_attention,
)
from seediff.embedded.pipeline import (
    LATENT_SIDE,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    tie_self_attention,
)
from seediff.embedded.scenes import training_scene
from seediff.files.sealed import partial
from seediff.finite import check_step
from seediff.training.processes import Processes

EMA = 0.999
STATE = "state.safetensors"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def named_parameters(unet: nn.Module, text_encoder: nn.Module) -> dict[str, nn.Parameter]:
    modules = {"unet": unet, "text_encoder": text_encoder}
    return {f"{prefix}.{name}": weight for prefix, part in modules.items() for name, weight in part.named_parameters()}


@dataclass
class TrainingState:
    """Everything that a resumed run needs: weights, their moving average, Adam's moments, and the step."""

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
        """Restore what ``save`` wrote; parameters that are never trained stay as built."""
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


BATCH = 32
"""Images per step, over all processes."""
PROMPT_DROPOUT = 0.1
SIDES = (LATENT_SIDE, LATENT_SIDE // 2, LATENT_SIDE // 4)
"""Of the attention maps, finest first."""


@dataclass(frozen=True)
class Batch:
    """The n images that one process gets.

    ``latents``, ``noise``: (n, 4, 32, 32); ``timesteps``: (n,); ``reach``: (n, 3) levels that get the text;
    ``tokens``: (n, length); ``labels``: (n, 64, 64), 0 background, k + 1 for class k.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    reach: Tensor
    tokens: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def make_batch(step: int, rank: int, world: int, code: LatentCode, tokenizer: CLIPTokenizer, rng_seed: int) -> Batch:
    """The share of process ``rank`` of ``world`` in global batch ``step``."""
    mine = slice(rank, BATCH, world)
    scenes = [training_scene(np.random.default_rng([rng_seed, 1, step * BATCH + k])) for k in range(BATCH)[mine]]
    generator = torch.Generator().manual_seed(rng_seed * 1_000_003 + step)
    noise = torch.randn(BATCH, CHANNELS, LATENT_SIDE, LATENT_SIDE, generator=generator)
    timesteps = torch.randint(0, 1000, (BATCH,), generator=generator)
    reach = draw_reach(BATCH, generator)
    dropped = torch.rand(BATCH, generator=generator) < PROMPT_DROPOUT
    prompts = ["" if drop else scene.prompt for scene, drop in zip(scenes, dropped[mine].tolist(), strict=True)]
    return Batch(
        latents=code.encode(to_tensor([scene.image for scene in scenes])),
        noise=noise[mine],
        timesteps=timesteps[mine],
        reach=reach[mine],
        tokens=tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids,
        labels=torch.from_numpy(np.stack([scene.labels for scene in scenes])).long(),
    )


LEARNING_RATE = 8e-4
WARMUP = 100
DECAY = 0.2
"""The last part of the training, in which the learning rate falls."""
GROUNDING_WEIGHT = 0.2


def learning_rate(step: int, first: int, last: int) -> float:
    """Linear warm-up from the first step of this run, then constant, then linear decay to 2 %."""
    warm = min(1.0, (step - first + 1) / WARMUP)
    return LEARNING_RATE * warm * min(1.0, max(0.02, (1 - step / last) / DECAY))


def velocity_loss(state: TrainingState, reach: TextReach, batch: Batch, alphas: Tensor, empty: Tensor) -> Tensor:
    """Mean squared error of the predicted velocity (v-prediction)."""
    alpha = alphas[batch.timesteps].view(-1, 1, 1, 1)
    noised = alpha.sqrt() * batch.latents + (1 - alpha).sqrt() * batch.noise
    velocity = alpha.sqrt() * batch.noise - (1 - alpha).sqrt() * batch.latents
    text = state.text_encoder(torch.cat([empty, batch.tokens])).last_hidden_state
    reach.empty, reach.levels = text[:1], batch.reach
    return (state.unet(noised, batch.timesteps, text[1:]).sample.float() - velocity).square().mean()


@dataclass(frozen=True)
class Start:
    """Weights to start from: those of the pipeline ``folder``, with new cross-attention at the sides ``renewed``."""

    folder: Path
    renewed: tuple[int, ...] = ()

    def networks(self) -> tuple[UNet2DConditionModel, CLIPTextModel]:
        unet = UNet2DConditionModel.from_pretrained(self.folder / "unet", torch_dtype=torch.float32)
        tie_self_attention(unet)
        renew_cross_attention(unet, self.renewed)
        return unet, load_text_encoder(self.folder / "text_encoder", torch.float32)


def start_training(folder: Path, device: torch.device, start: Start | None) -> TrainingState:
    """New networks, or those of ``start``; then the saved state, if there is one."""
    if start:
        unet, text_encoder = start.networks()
    else:
        unet, text_encoder = build_unet(), build_text_encoder(build_tokenizer())
    unet = unet.train().to(device, memory_format=torch.channels_last)  # a quarter faster on a CPU
    text_encoder = text_encoder.train().to(device)
    trained = [weight for network in (unet, text_encoder) for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    state = TrainingState(unet, text_encoder, optimizer, average={})
    state.average.update({name: parameter.detach().clone() for name, parameter in state.parameters.items()})
    if (folder / STATE).exists():
        state.load(folder)
    return state


def latent_code(folder: Path) -> LatentCode:
    """The folder's latent code, fitted at the first call."""
    path = folder / "latent_code.safetensors"
    if not path.exists():
        fit_latent_code().save(path)
    return LatentCode.load(path)


def train(folder: Path, images: int, grounding: Grounding, rng_seed: int, save_every: int, start: Start | None) -> None:
    """Train until ``images`` have been seen, the first of them with the help of ``grounding``."""
    processes = Processes()
    device = processes.device
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(rng_seed)
    state, code, tokenizer = start_training(folder, device, start), latent_code(folder), build_tokenizer()
    reach, scheduler = limit_text(state.unet), build_scheduler()
    shown, token_labels = show_attention(state.unet, grounding.sides), class_of_token(tokenizer).to(device)
    alphas = scheduler.alphas_cumprod.to(device)
    empty = tokenizer([""], padding="max_length", return_tensors="pt").input_ids.to(device)
    trained = [parameter for parameter in state.parameters.values() if parameter.requires_grad]
    first, last, losses, began = state.step, images // BATCH, [], time.monotonic()
    while state.step < last:
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(state.step, first, last)
        batch = make_batch(state.step, processes.rank, processes.count, code, tokenizer, rng_seed).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = velocity_loss(state, reach, batch, alphas, empty)
        losses.append(loss.item())
        if state.step * BATCH < grounding.images:
            named = token_labels[batch.tokens]
            error = grounding_loss(shown, named, batch.labels, batch.reach, grounding.blur)
            loss = loss + GROUNDING_WEIGHT * error
        state.optimizer.zero_grad()
        loss.backward()
        processes.average_gradients(trained)
        norm = nn.utils.clip_grad_norm_(trained, 1.0)
        check_step({"all": loss}, [norm], state.step + 1)
        state.optimizer.step()
        state.follow()
        if processes.is_first and state.step % 100 == 0:
            speed = (state.step - first) * BATCH / (time.monotonic() - began)
            print(f"{state.step * BATCH} images, loss {np.mean(losses[-100:]):.4f}, {speed:.1f} images/s", flush=True)
        if processes.is_first and (state.step % save_every == 0 or state.step == last):
            state.save(folder)
            state.export(tokenizer, scheduler, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded diffusion model.")
    parser.add_argument("--folder", type=Path, required=True, help="where the state and the exported parts live")
    parser.add_argument("--images", type=int, required=True, help="training images in all, earlier runs included")
    parser.add_argument("--grounding-images", type=int, default=0, help="images until the grounding loss is taken away")
    parser.add_argument(
        "--grounding-sides", type=int, nargs="+", choices=SIDES, default=[8, 16], help="sides that get it"
    )
    parser.add_argument("--grounding-blur", type=float, default=0.0, help="blur of its target, in places of a side")
    parser.add_argument("--rng-seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=250, help="steps between saved states")
    parser.add_argument("--continue-from", type=Path, help="pipeline folder whose weights to start from")
    parser.add_argument(
        "--renew", type=int, nargs="+", choices=SIDES, default=[], help="sides whose cross-attention starts anew then"
    )
    options = parser.parse_args()
    if options.renew and not options.continue_from:
        parser.error("--renew needs --continue-from: new weights have nothing to renew")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    grounding = Grounding(options.grounding_images, tuple(options.grounding_sides), options.grounding_blur)
    start = Start(options.continue_from, tuple(options.renew)) if options.continue_from else None
    train(options.folder, options.images, grounding, options.rng_seed, options.save_every, start)


if __name__ == "__main__":
    main()
