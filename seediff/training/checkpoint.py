"""Weights on disk: sealed safetensors files, whole or absent. One of them is a training run's resumable state."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn, uint8
from torch.optim import Optimizer

from seediff.errors import SeediffError
from seediff.files.sealed import partial
from seediff.files.seals import Bytes, check_seal, name_of, seal
from seediff.files.tensors import read_tensors
from seediff.finite import check_weights
from seediff.names import reason

_KEY = "seediff"
"""The entry of the files' metadata that is ours."""


@dataclass(frozen=True)
class History:
    """What a run has done so far: the number of iterations, and the rows noted of them."""

    iteration: int
    rows: list[dict[str, float]]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any] | None = None) -> None:
    """Write tensors and, as JSON, what is known about them."""
    stored = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    named: dict[str, Any] = {"file": name_of(path), "about": dict(about or {})}
    sealed = {**named, "seal": seal(named["file"], _contents(stored, named))}
    with partial(path) as unfinished:
        unfinished.write_bytes(_with_metadata(save(stored), {"format": "pt", _KEY: json.dumps(sealed)}))


def _with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with these metadata, in this order: the library's own comes in another order each time.

    transformers 4 refuses files without ``format``. The header is padded to a multiple of 8, as the library pads it.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.dumps({"__metadata__": metadata, **json.loads(content[8 : 8 + length])}, separators=(",", ":"))
    header += " " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header.encode() + content[8 + length :]


def load_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and what is known about them; ``what`` names the file in the error if it is not as written."""
    try:
        tensors, sealed = read_tensors(path, _KEY)
    except ValueError as error:
        raise SeediffError(f"{what} {path} cannot be read: {error}\nDelete it and run again to make it anew.") from None
    stored = sealed.pop("seal", None)
    check_seal(path, what, sealed.get("file"), stored, _contents(tensors, sealed))
    check_weights(tensors, f"{what} {path}", "Delete it and run again to make it anew.")
    about = sealed.get("about")
    return tensors, about if isinstance(about, dict) else {}


def _contents(tensors: Mapping[str, Tensor], named: Mapping[str, Any]) -> Iterator[Bytes]:
    yield json.dumps(named).encode()
    for name in sorted(tensors):
        tensor = tensors[name]
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield tensor.reshape(-1).view(uint8).numpy().data


def save_state(path: Path, run: str, history: History, model: nn.Module, optimizer: Optimizer) -> None:
    """Store weights, optimiser moments and history of the run identified by ``run``."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer/{index}/{name}": tensor for name, tensor in moments.items()})
    save_tensors(path, tensors, {"run": run, "iteration": history.iteration, "history": history.rows})


def load_state(path: Path, run: str, model: nn.Module, optimizer: Optimizer) -> History | None:
    """Restore what ``save_state`` stored, in place; ``None`` if there is no state of this very run.

    Raises ``SeediffError`` when the file is damaged, or holds another model's.
    """
    if not path.exists():
        return None
    tensors, about = load_tensors(path, "The training state")
    if about.get("run") != run:
        print(f"{path} belongs to another run: training from the beginning", file=sys.stderr, flush=True)
        return None
    try:
        model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model/")})
        _load_optimizer(optimizer, tensors)
        return History(int(about["iteration"]), list(about["history"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SeediffError(
            f"The training state {path} does not fit this training: {reason(error)}\nDelete it and run again."
        ) from None


def _load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, moment = name.split("/")
            moments.setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
