"""A training run's resumable state: one safetensors file that is whole or absent."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from seediff.errors import SeediffError
from seediff.files import partial


@dataclass(frozen=True)
class Progress:
    """How far a run has come: iterations done and the rows of its history so far."""

    iteration: int
    history: list[dict[str, float]]


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file whole or not at all."""
    with partial(path) as unfinished:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished, metadata)


def save_state(path: Path, run: str, progress: Progress, model: nn.Module, optimizer: Optimizer) -> None:
    """Store weights, optimiser moments and progress of the run identified by ``run``."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer/{index}/{name}": tensor for name, tensor in moments.items()})
    metadata = {"run": run, "iteration": str(progress.iteration), "history": json.dumps(progress.history)}
    save_tensors(path, tensors, metadata)


def load_state(path: Path, run: str, model: nn.Module, optimizer: Optimizer) -> Progress | None:
    """Restore what ``save_state`` stored, in place; ``None`` if there is no state of this very run.

    Raises ``SeediffError`` when the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("run") != run:
                print(f"{path} belongs to another run: training from the beginning", file=sys.stderr, flush=True)
                return None
            tensors = {name: stored.get_tensor(name) for name in list(stored.keys())}
    except (OSError, SafetensorError) as error:
        raise SeediffError(
            f"Training state {path} is damaged: {error}\nDelete it to train from the beginning."
        ) from error
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model/")})
    _load_optimizer(optimizer, tensors)
    return Progress(int(metadata["iteration"]), json.loads(metadata["history"]))


def _load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, moment = name.split("/")
            moments.setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
