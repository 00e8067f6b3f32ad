"""Training a segmenter on image-mask pairs, resumable at any moment.

Order, augmentation and sampled points follow from the random-number seed and the iteration alone, so a run that was
interrupted ends in exactly the weights of one that was not.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from seediff.datasets.augmentation import Augmentation
from seediff.datasets.pairs import Pairs
from seediff.diffusion.model_files import network_files
from seediff.errors import SeediffError
from seediff.files.sealed import write_csv, write_json
from seediff.finite import check_step
from seediff.iterations import shown
from seediff.names import reason
from seediff.rng import derive_seed
from seediff.segmenter.backends import Backend, backend
from seediff.segmenter.checkpoint import Progress, load_state, load_tensors, save_state, save_tensors
from seediff.segmenter.model import parameter_groups
from seediff.segmenter.processes import Processes
from seediff.segmenter.settings import SegmenterSettings, as_json
from seediff.segmenter.views import Views

HISTORY_ROWS = 100
STATE = "state.safetensors"


def train(
    pairs: Pairs,
    settings: SegmenterSettings,
    classes: Sequence[str],
    folder: Path,
    state_folder: Path,
    rng_seed: int,
    augmentation: Augmentation = Augmentation(),
    start: Path | None = None,
    pairs_digest: str = "",
    version: int = 0,
    workers: int = 0,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Train and write ``model.safetensors``, ``config.json`` and ``history.csv`` to ``folder`` when done.

    ``classes``: names in label order, background first. Every ``checkpoint_every`` iterations the state goes to
    ``state_folder/state.safetensors``, from which the same run resumes; it is removed at the end. ``augmentation``
    makes new pairs of the given ones before each is viewed. ``start`` is the ``model.safetensors`` of a trained
    segmenter to go on from. ``pairs_digest`` stands for the pairs' content, ``version`` for what training means: a
    state that other pairs or another version left is not resumed from. ``workers`` processes read and augment pairs
    (0: this one does). Runs on the GPU if there is one; where several processes were started (``processes.py``), they
    share every batch. ``about``: what else ``config.json`` is to say.
    """
    if len(pairs) == 0:
        raise SeediffError(f"The training set for {folder} is empty.")
    with torch.random.fork_rng():
        views = Views(pairs, settings, augmentation, rng_seed)
        name = run_name(views, classes, start, pairs_digest, version)
        trainer = Trainer(views, len(classes), name, Path(state_folder) / STATE, start)
        trainer.carry_out(Path(folder), classes, workers, about)


class Trainer:
    """Model, optimiser and progress of the run ``name``, which keeps its state in the file ``state``."""

    def __init__(self, views: Views, num_classes: int, name: str, state: Path, start: Path | None) -> None:
        self.views, self.settings, self.rng_seed = views, views.settings, views.rng_seed
        self.name, self.state = name, state
        self.processes, self.backend = Processes(), self._backend()
        self.device = self.processes.device
        if self.settings.batch_size % self.processes.count:
            raise SeediffError(
                f"A batch of {self.settings.batch_size} images cannot be shared by {self.processes.count} processes.\n"
                "Start as many as divide it."
            )
        torch.manual_seed(derive_seed(self.rng_seed, "initialization"))
        self.model = self._initial_model(num_classes, start).train().to(self.device)
        groups = parameter_groups(self.model, self.backend.backbone(self.model), self.settings)
        self.optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate, fused=True)
        progress = load_state(state, name, self.model, self.optimizer) or Progress(0, [])
        self.iteration, self.history = progress.iteration, progress.history
        self._clock, self._noted = time.perf_counter(), self.iteration

    def _backend(self) -> Backend:
        return backend(self.settings.backend)

    def carry_out(self, folder: Path, classes: Sequence[str], workers: int, about: Mapping[str, Any]) -> None:
        """Take every step that is left, and write the results to ``folder``."""
        self.backend.run(self, workers)
        if self.processes.is_first:
            self._write_results(folder, {**self._config(classes), **about})
            self.state.unlink(missing_ok=True)
        self.processes.wait()

    def step(self, *batch: Tensor) -> None:
        """One optimiser step on what ``dataset`` gives: images (n, H, W, 3) and labels (n, H, W)."""
        self.prepare_step()
        parts = self.losses(*batch)
        self.optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        self.finish_gradients(parts)
        self.optimizer.step()
        self.finish_step(parts)

    def prepare_step(self) -> None:
        torch.manual_seed(derive_seed(self.rng_seed, "iteration", self.iteration))
        set_learning_rate(self.optimizer, self.settings, self.iteration)

    def losses(self, *batch: Tensor) -> dict[str, Tensor]:
        """The weighted parts of the loss."""
        here = [part.to(self.device, non_blocking=True) for part in batch]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self._losses(*here)

    def _losses(self, *batch: Tensor) -> dict[str, Tensor]:
        images, labels = batch
        return self.backend.losses(self.model, images, labels, self.settings, self.processes.mean)

    def finish_gradients(self, parts: dict[str, Tensor]) -> None:
        """Make them those of the whole batch, and clip them; ``SeediffError`` if they or the loss are not finite."""
        self.processes.average_gradients(self.model.parameters())
        norms = [nn.utils.clip_grad_norm_(network.parameters(), self.settings.clip) for network in self._networks()]
        check_step(parts, norms, self.iteration + 1)

    def _networks(self) -> list[nn.Module]:
        """What is clipped, each by itself."""
        return [self.model]

    def finish_step(self, parts: dict[str, Tensor]) -> None:
        """Count the step; note its losses and save the state when it is time to."""
        self.iteration += 1
        settings, last = self.settings, self.iteration == self.settings.iterations
        if last or self.iteration % max(settings.iterations // HISTORY_ROWS, 1) == 0:
            self._note(parts)
        if not last and self.iteration % settings.checkpoint_every == 0 and self.processes.is_first:
            save_state(self.state, self.name, Progress(self.iteration, self.history), self.model, self.optimizer)

    @property
    def numbers(self) -> range:
        """This process's share of the views still to come, ``batch_size // processes.count`` of them a step."""
        size = self.settings.batch_size
        return range(self.iteration * size + self.processes.rank, self.settings.iterations * size, self.processes.count)

    @property
    def dataset(self) -> Dataset[Any]:
        return self.views

    def batches(self, workers: int) -> Iterator[Any]:
        share = self.settings.batch_size // self.processes.count
        pinned = self.device.type == "cuda"
        return iter(DataLoader(self.dataset, share, sampler=self.numbers, num_workers=workers, pin_memory=pinned))

    def shown(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The batches, with progress if this is the process that speaks."""
        if not self.processes.is_first:
            return batches
        return shown("train", batches, self.iteration, self.settings.iterations)

    def _initial_model(self, num_classes: int, start: Path | None) -> nn.Module:
        """A new model, or one with the weights of a trained one, which must be of the same build."""
        if start is None:
            return self.backend.build(self.settings, num_classes)
        model = self.backend.empty(self.settings, num_classes)
        try:
            model.load_state_dict(load_tensors(start, "The model")[0])
        except (SeediffError, RuntimeError) as error:
            raise _unfit(start, error) from None
        return model

    def _note(self, parts: dict[str, Tensor]) -> None:
        """Add a row to the history: losses, learning rate, and the speed since the last row."""
        images = (self.iteration - self._noted) * self.settings.batch_size
        images_per_second = images / (time.perf_counter() - self._clock)
        self._clock, self._noted = time.perf_counter(), self.iteration
        values = {f"loss_{name}": self.processes.mean(part).item() for name, part in parts.items()}
        row = {"iteration": self.iteration, "loss": sum(values.values()), **values}
        row |= {
            "learning_rate": learning_rate(self.settings, self.iteration - 1),
            "images_per_second": images_per_second,
        }
        self.history.append(row)

    def _write_results(self, folder: Path, config: Mapping[str, Any]) -> None:
        """The model last: where it stands, the other two do."""
        write_json(folder / "config.json", config)
        write_csv(folder / "history.csv", self.history)
        save_tensors(folder / "model.safetensors", self.model.state_dict())

    def _config(self, classes: Sequence[str]) -> dict[str, Any]:
        return {"settings": as_json(self.settings), "num_classes": len(classes), "classes": [*classes]}


def learning_rate(settings: SegmenterSettings, iteration: int) -> float:
    """Linear warm-up, then polynomial decay that would reach 0 one iteration after the last."""
    warm = min((iteration + 1) / (settings.warmup + 1), 1.0)
    return settings.learning_rate * warm * (1 - iteration / settings.iterations) ** settings.power


def set_learning_rate(optimizer: torch.optim.Optimizer, settings: SegmenterSettings, iteration: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["lr_factor"] * learning_rate(settings, iteration)


def run_name(views: Views, classes: Sequence[str], start: Path | None, pairs_digest: str, version: int) -> str:
    """A digest of all that the weights follow from."""
    pairs = [len(views.pairs), pairs_digest]
    settings = [as_json(views.settings), asdict(views.augmentation), list(classes), *pairs, views.rng_seed, version]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    if start is not None:
        try:
            digest.update(start.read_bytes())
        except OSError as error:
            raise _unfit(start, error) from None
    elif views.settings.pretrained is not None:
        for path in network_files(Path(views.settings.pretrained)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _unfit(start: Path, error: Exception) -> SeediffError:
    return SeediffError(
        f"Training cannot start from {start}: {reason(error)}\nIt must be a segmenter of the same backbone and classes."
    )
