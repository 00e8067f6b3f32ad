"""Train the embedded diffusion model. Resumable, seeded, the same whatever the number of processes.

    torchrun --nproc-per-node 2 -m seediff.embedded.train --folder work/pictograms --images 400000

One process a GPU where there are any; on a CPU, one process a core is fastest. The folder ends up with the
parts that ``seediff.embedded.pipeline`` puts together; ``docs/embedded-model.md`` tells the whole story.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from seediff.diffusion.releases import load_text_encoder
from seediff.embedded.batches import BATCH, Batch, make_batch
from seediff.embedded.denoiser import build_scheduler, build_text_encoder, build_unet, tie_self_attention
from seediff.embedded.latents import LatentCode, fit_latent_code
from seediff.embedded.level_dropout import TextReach, limit_text
from seediff.embedded.scaffold import class_of_token, scaffold_loss, show_coarse_attention
from seediff.embedded.tokenizer import build_tokenizer
from seediff.embedded.training_state import STATE, TrainingState
from seediff.finite import check_step
from seediff.training.processes import Processes

LEARNING_RATE = 8e-4
WARMUP = 100
DECAY = 0.2
"""Share of the training, at its end, in which the learning rate falls to nothing."""
SCAFFOLD_WEIGHT = 0.2


def learning_rate(step: int, first: int, last: int) -> float:
    """Linear warm-up from where this run began, constant, then linear decay to 2 %."""
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


def start(folder: Path, device: torch.device, continue_from: Path | None) -> TrainingState:
    """Networks as new, or of the pipeline folder ``continue_from``; then the saved state, if there is one."""
    if continue_from:
        unet = UNet2DConditionModel.from_pretrained(continue_from / "unet", torch_dtype=torch.float32)
        text_encoder = load_text_encoder(continue_from / "text_encoder", torch.float32)
        tie_self_attention(unet)
    else:
        unet, text_encoder = build_unet(), build_text_encoder(build_tokenizer())
    unet, text_encoder = unet.train().to(device), text_encoder.train().to(device)
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


def train(
    folder: Path, images: int, scaffold_images: int, rng_seed: int, save_every: int, continue_from: Path | None
) -> None:
    """Train until ``images`` have been seen, the scaffold loss being on for the first ``scaffold_images`` of them."""
    processes = Processes()
    device = processes.device
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(rng_seed)
    state, code, tokenizer = start(folder, device, continue_from), latent_code(folder), build_tokenizer()
    reach, scheduler = limit_text(state.unet), build_scheduler()
    shown, token_labels = show_coarse_attention(state.unet), class_of_token(tokenizer).to(device)
    alphas = scheduler.alphas_cumprod.to(device)
    empty = tokenizer([""], padding="max_length", return_tensors="pt").input_ids.to(device)
    trained = [parameter for parameter in state.parameters.values() if parameter.requires_grad]
    first, last, losses, began = state.step, images // BATCH, [], time.monotonic()
    while state.step < last:
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(state.step, first, last)
        batch = make_batch(state.step, processes.rank, processes.count, code, tokenizer, rng_seed).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            loss = velocity_loss(state, reach, batch, alphas, empty)
        losses.append(loss.item())
        if state.step * BATCH < scaffold_images:
            loss = loss + SCAFFOLD_WEIGHT * scaffold_loss(shown, token_labels[batch.tokens], batch.labels, batch.reach)
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
    parser.add_argument("--scaffold-images", type=int, default=0, help="images until the scaffold loss is taken away")
    parser.add_argument("--rng-seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=250, help="steps between saved states")
    parser.add_argument("--continue-from", type=Path, help="pipeline folder whose weights to start from")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    train(**vars(options))


if __name__ == "__main__":
    main()
