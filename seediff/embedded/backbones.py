"""Teach a small backbone to name pictograms, from what is in an image alone: what ImageNet is to the real backbones.

    python -m seediff.embedded.backbones --backbone resnet-mini --output assets/backbones/resnet-mini

Scenes of all domains are rendered as they are needed, from rng seeds that no benchmark and no study uses. A linear
classifier on the mean of the last stage says of every class whether it is in the image, by its own binary
cross-entropy: street scenes always hold several objects. No mask and no place is ever shown. The folder ends up with
what ``pretrained`` of a segmenter loads, and with ``taught.json``, which says how it was made and how well it names
scenes that it has not seen. A call that was stopped goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from seediff.datasets.images import Pair
from seediff.embedded.domains import indoor_scene, street_scene
from seediff.embedded.scenes import training_scene
from seediff.embedded.vocabulary import CLASSES
from seediff.files.sealed import write_text
from seediff.rng import derive_seed
from seediff.segmenter.backbones import empty_backbone, normalize
from seediff.segmenter.settings import segmenter_settings
from seediff.segmenter.train import parameter_groups
from seediff.segmenter.views import augment
from seediff.training.loop import STATE, Task, Trainer, run
from seediff.training.processes import Processes

SMALLEST = 24
"""A class is in an image if it covers so many pixels."""
WARMUP = 100
HELD_OUT = 1000
"""Scenes that the taught backbone is measured on."""
VIEW = {"crop": 64, "scale_min": 0.6, "scale_max": 1.6, "flip": 0.5, "colour_jitter": 1.0}
"""How a scene is changed before it is shown: other sizes, places and colours carry further than those of one domain."""


@dataclass(frozen=True)
class Lessons:
    """How long a backbone is taught; ``training.loop.Length``."""

    iterations: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    checkpoint_every: int = 200

    def rate(self, iteration: int) -> float:
        """Linear warm-up, then half a cosine down to 0."""
        warm = min((iteration + 1) / WARMUP, 1.0)
        return self.learning_rate * warm * (1 + np.cos(np.pi * iteration / self.iterations)) / 2


LESSONS: dict[str, Lessons] = {"resnet-mini": Lessons(1200), "swin-mini": Lessons(6000, batch_size=16)}


def scene(rng: Generator, index: int) -> Pair:
    """Image (64, 64, 3) and labels (64, 64) of a natural scene (every second), a street or a room."""
    match index % 4:
        case 0 | 1:
            drawn = training_scene(rng)
            return drawn.image, drawn.labels
        case 2:
            return street_scene(rng, index // 4)
        case _:
            return indoor_scene(rng, index // 4, CLASSES)


def present(labels: NDArray[np.uint8]) -> Tensor:
    """(classes,) float32: 1 for each class in the image, 0 for the others."""
    counts = np.bincount(labels.ravel(), minlength=256)[1 : len(CLASSES) + 1]
    return torch.from_numpy((counts >= SMALLEST).astype(np.float32))


@dataclass(frozen=True)
class Named(Dataset[tuple[Tensor, Tensor]]):
    """Scene k, changed at random, and the classes that are in it: (64, 64, 3) uint8 and (classes,) float32."""

    backbone: str
    rng_seed: int

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(derive_seed(self.rng_seed, "teaching", number))
        image, labels = augment(rng, *scene(rng, number), segmenter_settings(self.backbone, **VIEW))
        return torch.from_numpy(image), present(labels)


class Namer(nn.Module):
    """Logits (n, classes) of normalised images (n, 3, 64, 64): a linear classifier on the last stage's mean."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.backbone = empty_backbone(segmenter_settings(backbone, pretrained=None))
        self.classifier = nn.Linear(cast(list[int], self.backbone.channels)[-1], len(CLASSES))

    def forward(self, pixels: Tensor) -> Tensor:
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # convolutions are a third faster on a CPU
        return self.classifier(self.backbone(pixels).feature_maps[-1].mean((2, 3)))


def teach(backbone: str, output: Path, state_folder: Path, lessons: Lessons, rng_seed: int, command: str = "") -> None:
    """Teach a new backbone and write it to ``output``; the state that a stopped call goes on from is in the other.

    ``command``: what ``taught.json`` names as its maker.
    """
    torch.manual_seed(derive_seed(rng_seed, "backbone", backbone))
    processes, model = Processes(), Namer(backbone)
    settings = segmenter_settings(backbone, weight_decay=lessons.weight_decay)
    groups = parameter_groups(model.train().to(processes.device), model.backbone, settings)
    optimizer = torch.optim.AdamW(groups, lr=lessons.learning_rate, fused=True)

    def losses(iteration: int, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"naming": F.binary_cross_entropy_with_logits(model(normalize(images)), labels)}

    lesson = Named(backbone, rng_seed)
    task = Task(backbone, model, [model], optimizer, 1.0, lessons.rate, lesson, losses, lessons, rng_seed)
    name = f"{backbone}, rng seed {rng_seed}, {lessons}, {model.backbone.config.to_json_string()}"
    about = {"command": command, "backbone": backbone, "rng_seed": rng_seed, **asdict(lessons)}
    Trainer(task, processes, name, state_folder / STATE).carry_out(run, 0, partial(_write, output, about, model))


def _write(output: Path, about: Mapping[str, Any], model: Namer, history: Sequence[Mapping[str, float]]) -> None:
    precision = held_out_precision(model.eval(), about["rng_seed"])
    print(f"mean average precision on {HELD_OUT} other scenes: {precision:.3f}", flush=True)
    output.mkdir(parents=True, exist_ok=True)
    model.backbone.half().save_pretrained(output)
    images = about["iterations"] * about["batch_size"]
    result = {"images": images, "held_out_scenes": HELD_OUT, "mean_average_precision": round(precision, 4)}
    write_text(output / "taught.json", json.dumps({**about, **result}, indent=1) + "\n")


@torch.inference_mode()
def held_out_precision(model: nn.Module, rng_seed: int) -> float:
    """The mean average precision over the classes on scenes that nothing was taught with, shown as they are."""
    rngs = [np.random.default_rng(derive_seed(rng_seed, "taught", number)) for number in range(HELD_OUT)]
    images, labels = zip(*(scene(rng, number) for number, rng in enumerate(rngs)))
    pixels = normalize(torch.from_numpy(np.stack(images)).to(next(model.parameters()).device))
    scores = torch.cat([model(part) for part in pixels.split(100)]).cpu().numpy()
    truth = torch.stack([present(label) for label in labels]).numpy().astype(bool)
    return float(np.mean([average_precision(scores[:, k], truth[:, k]) for k in range(len(CLASSES))]))


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """The mean, over the images that have the class, of the precision among those with no lower a score."""
    hits = truth[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Teach a small backbone to name pictograms.")
    parser.add_argument("--backbone", choices=LESSONS, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--state", type=Path, help="folder of the state to go on from; default: work/<backbone>")
    parser.add_argument("--iterations", type=int, help="other than the backbone's usual number")
    parser.add_argument("--rng-seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    backbone, seed = options.backbone, options.rng_seed
    lessons = replace(LESSONS[backbone], iterations=options.iterations or LESSONS[backbone].iterations)
    chosen = f"--backbone {backbone} --iterations {lessons.iterations} --rng-seed {seed}"
    command = f"python -m seediff.embedded.backbones {chosen} --output {options.output}"
    teach(backbone, options.output, options.state or Path("work") / backbone, lessons, seed, command)


if __name__ == "__main__":
    main()
