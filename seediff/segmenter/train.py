"""Training a segmenter on image-mask pairs, resumable at any moment.

Order, augmentation and sampled points follow from the random-number seed and the iteration alone, so a run that was
interrupted ends in exactly the weights of one that was not.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import Mask2FormerForUniversalSegmentation

from seediff.datasets.augmentation import Augmentation, augmented
from seediff.datasets.pairs import Pairs
from seediff.errors import SeediffError
from seediff.files import partial, write_json
from seediff.rng import derive_seed
from seediff.segmenter.augment import augment
from seediff.segmenter.checkpoint import Progress, load_state, save_state, save_tensors
from seediff.segmenter.loss import make_targets, set_loss
from seediff.segmenter.model import build_segmenter, empty_segmenter, normalize, parameter_groups, predict_layers
from seediff.segmenter.processes import Processes
from seediff.segmenter.settings import SegmenterSettings, as_json

HISTORY_ROWS = 100


def train(
    pairs: Pairs,
    settings: SegmenterSettings,
    classes: Sequence[str],
    folder: Path,
    state_folder: Path,
    rng_seed: int,
    augmentation: Augmentation = Augmentation(),
    start: Path | None = None,
    workers: int = 0,
) -> None:
    """Train and write ``model.safetensors``, ``config.json`` and ``history.csv`` to ``folder`` when done.

    ``classes``: names in label order, background first. Every ``checkpoint_every`` iterations the state goes to
    ``state_folder/state.safetensors``, from which the same run resumes; it is removed at the end. ``augmentation``
    makes new pairs of the given ones before each is viewed. ``start`` is the ``model.safetensors`` of a trained
    segmenter to go on from. ``workers`` processes read and augment pairs (0: this one does). Runs on the GPU if
    there is one; where several processes were started (``processes.py``), they share every batch.
    """
    if len(pairs) == 0:
        raise SeediffError(f"The training set for {folder} is empty.")
    with torch.random.fork_rng():
        views = _Views(pairs, settings, augmentation, rng_seed)
        trainer = _Trainer(views, classes, Path(state_folder) / "state.safetensors", start)
        trainer.run(workers)
    if trainer.processes.is_first:
        _write_results(Path(folder), trainer.model, settings, classes, trainer.history)
        trainer.state.unlink(missing_ok=True)
    trainer.processes.wait()


class _Trainer:
    """Model, optimiser and progress of one run."""

    def __init__(self, views: _Views, classes: Sequence[str], state: Path, start: Path | None) -> None:
        self.views, self.settings, self.rng_seed = views, views.settings, views.rng_seed
        self.state, self.num_classes = state, len(classes)
        self.processes = Processes()
        self.device = self.processes.device
        if self.settings.batch_size % self.processes.count:
            raise SeediffError(
                f"A batch of {self.settings.batch_size} images cannot be shared by {self.processes.count} processes.\n"
                "Start as many as divide it."
            )
        torch.manual_seed(derive_seed(self.rng_seed, "initialization"))
        self.model = _initial_model(self.settings, len(classes), start).train().to(self.device)
        groups = parameter_groups(self.model, self.settings)
        self.optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate, fused=True)
        self.name = _run_name(views, classes, start)
        progress = load_state(state, self.name, self.model, self.optimizer) or Progress(0, [])
        self.iteration, self.history = progress.iteration, progress.history

    def run(self, workers: int) -> None:
        settings = self.settings
        every = max(settings.iterations // HISTORY_ROWS, 1)
        clock, since = time.perf_counter(), self.iteration
        for images, labels in self._shown(self._batches(workers)):
            parts = self.step(images, labels)
            self.iteration += 1
            if self.iteration % every == 0 or self.iteration == settings.iterations:
                seconds, clock = time.perf_counter() - clock, time.perf_counter()
                self._record(parts, (self.iteration - since) * settings.batch_size / seconds)
                since = self.iteration
            due = self.iteration % settings.checkpoint_every == 0 and self.iteration < settings.iterations
            if due and self.processes.is_first:
                save_state(self.state, self.name, Progress(self.iteration, self.history), self.model, self.optimizer)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One optimiser step; returns the loss parts."""
        torch.manual_seed(derive_seed(self.rng_seed, "iteration", self.iteration))
        set_learning_rate(self.optimizer, self.settings, self.iteration)
        images, labels = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            layers = predict_layers(self.model, normalize(images))
        targets = make_targets(labels, self.num_classes)
        parts = set_loss(layers, targets, self.settings.points, self.processes.mean)
        self.optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        self.processes.average_gradients(self.model.parameters())
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        return parts

    def _batches(self, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's share of every batch still to come."""
        rank, count, size = self.processes.rank, self.processes.count, self.settings.batch_size
        numbers = range(self.iteration * size + rank, self.settings.iterations * size, count)
        pinned = self.device.type == "cuda"
        return iter(DataLoader(self.views, size // count, sampler=numbers, num_workers=workers, pin_memory=pinned))

    def _shown(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The batches, with progress if this is the process that speaks."""
        if not self.processes.is_first:
            return batches
        return _progress_bar(batches, self.iteration, self.settings.iterations)

    def _record(self, parts: dict[str, Tensor], images_per_second: float) -> None:
        values = {f"loss_{name}": self.processes.mean(part).item() for name, part in parts.items()}
        loss = sum(values.values())
        if not np.isfinite(loss):
            raise SeediffError(f"The loss became {loss} at iteration {self.iteration}.\nTry a lower learning_rate.")
        row = {"iteration": self.iteration, "loss": loss, **values}
        row |= {
            "learning_rate": learning_rate(self.settings, self.iteration - 1),
            "images_per_second": images_per_second,
        }
        self.history.append(row)


class _Views(Dataset[tuple[Tensor, Tensor]]):
    """The endless sequence of augmented views: view k is the same whoever computes it, and when."""

    def __init__(self, pairs: Pairs, settings: SegmenterSettings, augmentation: Augmentation, rng_seed: int) -> None:
        self.pairs, self.settings, self.augmentation, self.rng_seed = pairs, settings, augmentation, rng_seed

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        epoch, position = divmod(number, len(self.pairs))
        index = int(_order(self.rng_seed, epoch, len(self.pairs))[position])
        rng = np.random.default_rng(derive_seed(self.rng_seed, "view", number))
        image, labels = augment(rng, *augmented(rng, self.pairs, index, self.augmentation), self.settings)
        return torch.from_numpy(image), torch.from_numpy(labels)


@lru_cache(maxsize=2)
def _order(rng_seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng(derive_seed(rng_seed, "epoch", epoch)).permutation(count)


def learning_rate(settings: SegmenterSettings, iteration: int) -> float:
    """Linear warm-up, then polynomial decay that would reach 0 one iteration after the last."""
    warm = min((iteration + 1) / (settings.warmup + 1), 1.0)
    return settings.learning_rate * warm * (1 - iteration / settings.iterations) ** settings.power


def set_learning_rate(optimizer: torch.optim.Optimizer, settings: SegmenterSettings, iteration: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["lr_factor"] * learning_rate(settings, iteration)


def _initial_model(
    settings: SegmenterSettings, num_classes: int, start: Path | None
) -> Mask2FormerForUniversalSegmentation:
    """A new model, or one with the weights of a trained one, which must be of the same build."""
    if start is None:
        return build_segmenter(settings, num_classes)
    model = empty_segmenter(settings, num_classes)
    try:
        model.load_state_dict(load_file(start))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise SeediffError(
            f"Training cannot start from {start}: {str(error).splitlines()[0]}\n"
            "It must be a segmenter of the same backbone and classes."
        ) from None
    return model


def _run_name(views: _Views, classes: Sequence[str], start: Path | None) -> str:
    """A digest of all that the weights follow from, the pairs' content apart."""
    settings = [as_json(views.settings), asdict(views.augmentation), list(classes), len(views.pairs), views.rng_seed]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    if start is not None:
        digest.update(start.read_bytes())
    return digest.hexdigest()


def _progress_bar(batches: Iterator[Any], done: int, total: int) -> Iterator[Any]:
    """A bar on a terminal; in a log, a line every tenth of the way."""
    if sys.stderr.isatty():
        yield from tqdm(batches, "train", total, initial=done, unit="it")
        return
    print(f"train: iteration {done} of {total}", file=sys.stderr, flush=True)
    for iteration, batch in enumerate(batches, done + 1):
        yield batch
        if iteration * 10 // total > (iteration - 1) * 10 // total:
            print(f"train: iteration {iteration} of {total}", file=sys.stderr, flush=True)


def _write_results(
    folder: Path, model: nn.Module, settings: SegmenterSettings, classes: Sequence[str], history: list[dict[str, float]]
) -> None:
    """The model last: where it stands, the other two do."""
    write_json(
        folder / "config.json", {"settings": as_json(settings), "num_classes": len(classes), "classes": [*classes]}
    )
    with partial(folder / "history.csv") as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)
    save_tensors(folder / "model.safetensors", model.state_dict())
