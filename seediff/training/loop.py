"""The training loop of segmenters and adapters: it can be stopped at any moment, and resumes to the same weights.

Order, views and random numbers follow from the seed and the iteration alone, so an interrupted run ends with exactly
the weights of an uninterrupted run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from seediff.finite import check_step
from seediff.rng import derive_seed
from seediff.training.checkpoint import History, load_state, save_state
from seediff.training.processes import Processes

HISTORY_ROWS = 100
STATE = "state.safetensors"

T = TypeVar("T")


class Length(Protocol):
    """How long a training is: iterations, images in each, and iterations between saved states."""

    @property
    def iterations(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def checkpoint_every(self) -> int: ...


@dataclass(frozen=True)
class Task:
    """What is trained, on what, and for how long.

    ``title``: what progress is shown as. ``model``: whose weights the saved state holds. ``networks``: the parts whose
    gradients are clipped to the norm ``clip``, each by itself. ``optimizer``: of every group, ``lr_factor`` times
    ``learning_rate(iteration)`` is the learning rate. ``dataset``: views, numbered without end. ``losses``: the
    weighted parts of the loss (scalars), given the iteration (from 0) and a batch of the views on the device.
    """

    title: str
    model: nn.Module
    networks: Sequence[nn.Module]
    optimizer: Optimizer
    clip: float
    learning_rate: Callable[[int], float]
    dataset: Dataset[Any]
    losses: Callable[..., dict[str, Tensor]]
    length: Length
    rng_seed: int


class Trainer:
    """A task in progress: its ``iteration``, and the rows of its history.

    ``run`` identifies it: a state in the file ``state`` that another run left is not resumed from. Raises
    ``SeediffError`` when the state is damaged, or a batch cannot be shared by the processes.
    """

    def __init__(self, task: Task, processes: Processes, run: str, state: Path) -> None:
        self.task, self.processes, self.run, self.state = task, processes, run, state
        self.share = processes.share(task.length.batch_size)
        history = load_state(state, run, task.model, task.optimizer) or History(0, [])
        self.iteration, self.rows = history.iteration, history.rows
        self._clock, self._noted = time.perf_counter(), self.iteration

    def carry_out(self, engine: Engine, workers: int, write: Callable[[list[dict[str, float]]], None]) -> None:
        """Let the engine take every step that is left, and one process write the results, given the history's rows."""
        engine(self, workers)
        if self.processes.is_first:
            write(self.rows)
            self.state.unlink(missing_ok=True)
        self.processes.wait()

    def batches(self, workers: int) -> Iterator[Any]:
        """This process's share of every batch still to come, with progress shown by the first process."""
        length, pinned = self.task.length, self.processes.device.type == "cuda"
        first, last = (done * length.batch_size for done in (self.iteration, length.iterations))
        numbers = range(first + self.processes.rank, last, self.processes.count)
        loader = DataLoader(self.task.dataset, self.share, sampler=numbers, num_workers=workers, pin_memory=pinned)
        batches = iter(loader)  # takes a random number, so it comes before the first step sets them
        if not self.processes.is_first:
            return batches
        return shown(self.task.title, batches, self.iteration, length.iterations)

    def step(self, *batch: Tensor) -> None:
        """One optimiser step on a batch of the task's views."""
        self.prepare_step()
        parts = self.losses(*batch)
        self.task.optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        self.finish_gradients(parts)
        self.task.optimizer.step()
        self.finish_step(parts)

    def prepare_step(self) -> None:
        """Set torch's random numbers and the learning rate, as they follow from the iteration."""
        torch.manual_seed(derive_seed(self.task.rng_seed, "iteration", self.iteration))
        for group in self.task.optimizer.param_groups:
            group["lr"] = group["lr_factor"] * self.task.learning_rate(self.iteration)

    def losses(self, *batch: Tensor) -> dict[str, Tensor]:
        """The weighted parts of the loss."""
        here = [part.to(self.processes.device, non_blocking=True) for part in batch]
        return self.task.losses(self.iteration, *here)

    def finish_gradients(self, parts: dict[str, Tensor]) -> None:
        """Make them those of the whole batch, and clip them; ``SeediffError`` if they or the loss are not finite."""
        self.processes.average_gradients(self.task.model.parameters())
        norms = [nn.utils.clip_grad_norm_(network.parameters(), self.task.clip) for network in self.task.networks]
        check_step(parts, norms, self.iteration + 1)

    def finish_step(self, parts: dict[str, Tensor]) -> None:
        """Count the step; note its losses and save the state when it is time to."""
        self.iteration += 1
        length, last = self.task.length, self.iteration == self.task.length.iterations
        if last or self.iteration % max(length.iterations // HISTORY_ROWS, 1) == 0:
            self._note(parts)
        if not last and self.iteration % length.checkpoint_every == 0 and self.processes.is_first:
            history = History(self.iteration, self.rows)
            save_state(self.state, self.run, history, self.task.model, self.task.optimizer)

    def _note(self, parts: dict[str, Tensor]) -> None:
        """Add a row to the history: losses, learning rate, and the speed since the last row."""
        images = (self.iteration - self._noted) * self.task.length.batch_size
        images_per_second = images / (time.perf_counter() - self._clock)
        self._clock, self._noted = time.perf_counter(), self.iteration
        values = {f"loss_{name}": self.processes.mean(part).item() for name, part in parts.items()}
        row = {"iteration": self.iteration, "loss": sum(values.values()), **values}
        rate = self.task.learning_rate(self.iteration - 1)
        self.rows.append({**row, "learning_rate": rate, "images_per_second": images_per_second})


Engine = Callable[[Trainer, int], None]
"""Takes every step that is left, given the trainer and the number of processes that read its views (0: this one)."""


def run(trainer: Trainer, workers: int) -> None:
    """Our own engine."""
    for batch in trainer.batches(workers):
        trainer.step(*batch)


def shown(title: str, batches: Iterable[T], done: int, total: int) -> Iterator[T]:
    """The batches of the iterations from ``done`` on: a bar on a terminal; in a log, a line every tenth of the way."""
    if sys.stderr.isatty():
        yield from tqdm(batches, title, total, initial=done, unit="it")
        return
    print(f"{title}: iteration {done} of {total}", file=sys.stderr, flush=True)
    for iteration, batch in enumerate(batches, done + 1):
        yield batch
        if iteration * 10 // total > (iteration - 1) * 10 // total:
            print(f"{title}: iteration {iteration} of {total}", file=sys.stderr, flush=True)
