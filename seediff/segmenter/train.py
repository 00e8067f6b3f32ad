"""Training a segmenter on image-mask pairs, resumable at any moment (``training.loop``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from seediff.datasets.augmentation import Augmentation
from seediff.datasets.images import Pairs
from seediff.diffusion.model_files import network_files
from seediff.errors import SeediffError
from seediff.names import reason
from seediff.rng import derive_seed
from seediff.segmenter.architecture import Architecture, Mean
from seediff.segmenter.folders import write_segmenter
from seediff.segmenter.registry import architecture_of, engine_of
from seediff.segmenter.settings import SegmenterSettings, as_json
from seediff.segmenter.views import Views
from seediff.training.checkpoint import load_tensors
from seediff.training.loop import STATE, Task, Trainer
from seediff.training.processes import Processes


class Objective(Protocol):
    """How a model learns from pairs.

    ``config``: its own part of ``segmenter.json``. ``architecture``: of the model. ``dataset``: what is learnt from the
    views, of which a process sees ``share`` at a time. ``losses``: the weighted parts of the loss on a batch of that.
    """

    @property
    def config(self) -> dict[str, Any]: ...
    def architecture(self, settings: SegmenterSettings) -> Architecture: ...
    def dataset(self, views: Views, share: int) -> Dataset[Any]: ...
    def losses(
        self, model: nn.Module, epoch: int, batch: Sequence[Tensor], settings: SegmenterSettings, mean: Mean
    ) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Supervised:
    """The architecture's own loss on the pairs' labels."""

    @property
    def config(self) -> dict[str, Any]:
        return {}

    def architecture(self, settings: SegmenterSettings) -> Architecture:
        return architecture_of(settings)

    def dataset(self, views: Views, share: int) -> Dataset[Any]:
        return views

    def losses(
        self, model: nn.Module, epoch: int, batch: Sequence[Tensor], settings: SegmenterSettings, mean: Mean
    ) -> dict[str, Tensor]:
        images, labels = batch
        return self.architecture(settings).losses(model, images, labels, settings, mean)


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
    objective: Objective = Supervised(),
) -> None:
    """Train and write ``folder`` when done (``segmenter.folders``).

    ``classes``: names in label order, background first. Every ``checkpoint_every`` iterations the state goes to
    ``state_folder/state.safetensors``, from which the same run resumes; it is removed at the end. ``augmentation``
    makes new pairs of the given ones before each is viewed. ``start`` is the ``model.safetensors`` of a trained
    segmenter to go on from. ``pairs_digest`` stands for the pairs' content, ``version`` for what training means: a
    state that other pairs or another version left is not resumed from. ``workers`` processes read and augment pairs
    (0: this one does). Runs on the GPU if there is one; where several processes were started (``training.processes``),
    they share every batch. ``about``: what else ``segmenter.json`` is to say. ``objective``: how the pairs are learnt
    from. Raises ``SeediffError`` for an empty training set, for what does not fit, and for a loss that is not finite.
    """
    if len(pairs) == 0:
        raise SeediffError(f"The training set for {folder} is empty.")
    with torch.random.fork_rng():
        views, processes = Views(pairs, settings, augmentation, rng_seed), Processes()
        run = run_name(views, classes, objective, start, pairs_digest, version)
        task = segmenter_task(views, len(classes), objective, processes, start)
        trainer = Trainer(task, processes, run, Path(state_folder) / STATE)
        write = partial(write_segmenter, Path(folder), task.model, settings, classes, {**objective.config, **about})
        trainer.carry_out(engine_of(settings), workers, write)


def segmenter_task(
    views: Views, num_classes: int, objective: Objective, processes: Processes, start: Path | None = None
) -> Task:
    """A model to be trained on the views, new or with the weights of ``start``, and its optimiser."""
    settings = views.settings
    architecture = objective.architecture(settings)
    dataset = objective.dataset(views, processes.share(settings.batch_size))
    torch.manual_seed(derive_seed(views.rng_seed, "initialization"))
    model = _initial_model(architecture, settings, num_classes, start).train().to(processes.device)

    def losses(iteration: int, *batch: Tensor) -> dict[str, Tensor]:
        epoch, device = iteration * settings.batch_size // len(views.pairs), processes.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return objective.losses(model, epoch, batch, settings, processes.mean)

    groups = parameter_groups(model, architecture.backbone(model), settings)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    networks, rate = architecture.networks(model), partial(learning_rate, settings)
    return Task("train", model, networks, optimizer, settings.clip, rate, dataset, losses, settings, views.rng_seed)


def _initial_model(
    architecture: Architecture, settings: SegmenterSettings, num_classes: int, start: Path | None
) -> nn.Module:
    """A new model, or one with the weights of a trained one, which must be of the same build."""
    if start is None:
        return architecture.build(settings, num_classes)
    model = architecture.empty(settings, num_classes)
    try:
        model.load_state_dict(load_tensors(start, "The model")[0])
    except (SeediffError, RuntimeError) as error:
        raise _unfit(start, error) from None
    return model


def learning_rate(settings: SegmenterSettings, iteration: int) -> float:
    """Linear warm-up, then polynomial decay that would reach 0 one iteration after the last."""
    warm = min((iteration + 1) / (settings.warmup + 1), 1.0)
    return settings.learning_rate * warm * (1 - iteration / settings.iterations) ** settings.power


def parameter_groups(model: nn.Module, backbone: nn.Module, settings: SegmenterSettings) -> list[dict[str, Any]]:
    """Optimiser groups: ``backbone`` learns at ``backbone_lr_factor``, norms and embeddings do not decay.

    Each group has ``params``, ``weight_decay`` and ``lr_factor``, the learning rate as a fraction of the schedule's.
    """
    slow = {id(parameter) for parameter in backbone.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, decays in _trainable(model):
        factor = settings.backbone_lr_factor if id(parameter) in slow else 1.0
        groups.setdefault((factor, settings.weight_decay if decays else 0.0), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_factor": factor}
        for (factor, decay), parameters in groups.items()
    ]


_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)
_EMBEDDINGS = ("level_embed", "relative_position_bias_table", "position_embeddings")


def _trainable(model: nn.Module) -> Iterator[tuple[nn.Parameter, bool]]:
    """Every trainable parameter once, and whether weight decay applies to it."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                yield parameter, not isinstance(module, (*_NORMS, nn.Embedding)) and name not in _EMBEDDINGS


def run_name(
    views: Views, classes: Sequence[str], objective: Objective, start: Path | None, pairs_digest: str, version: int
) -> str:
    """A digest of all that the weights follow from."""
    pairs = [len(views.pairs), pairs_digest]
    settings = [as_json(views.settings), asdict(views.augmentation), list(classes), *pairs, views.rng_seed, version]
    digest = hashlib.sha256(_json(settings))
    for content in _initial_files(views.settings, start):
        digest.update(content)
    name = digest.hexdigest()
    for values in objective.config.values():
        name = hashlib.sha256(_json([name, values])).hexdigest()
    return name


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def _initial_files(settings: SegmenterSettings, start: Path | None) -> Iterator[bytes]:
    """The content of the files whose weights the training begins with."""
    if start is not None:
        try:
            yield start.read_bytes()
        except OSError as error:
            raise _unfit(start, error) from None
    elif settings.pretrained is not None:
        yield from (path.read_bytes() for path in network_files(Path(settings.pretrained)))


def _unfit(start: Path, error: Exception) -> SeediffError:
    return SeediffError(
        f"Training cannot start from {start}: {reason(error)}\nIt must be a segmenter of the same backbone and classes."
    )
