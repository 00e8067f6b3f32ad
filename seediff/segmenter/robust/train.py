"""Robust training on pairs whose masks have a reliability; as resumable as any other (``segmenter.train``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from seediff.datasets.augmentation import Augmentation
from seediff.datasets.pairs import Pairs
from seediff.errors import SeediffError
from seediff.segmenter.backends import Backend
from seediff.segmenter.robust.classmix import mixed, online
from seediff.segmenter.robust.heads import HEADS
from seediff.segmenter.robust.lessons import Lesson, RatedViews, check_reliable, lesson
from seediff.segmenter.robust.loss import cotraining_loss
from seediff.segmenter.robust.networks import networks, paired
from seediff.segmenter.robust.settings import BACKENDS, RobustTraining
from seediff.segmenter.settings import SegmenterSettings
from seediff.segmenter.train import STATE, Trainer, run_name
from seediff.segmenter.views import Views


def train_robustly(
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
    *,
    doubts: Pairs,
    robust: RobustTraining,
) -> None:
    """Train two networks and write them as one model to ``folder``, in every other way like ``segmenter.train.train``.

    ``doubts``: the same pairs with 255 less their reliability (1 to 255) in place of labels. Raises ``SeediffError``
    if no label is reliable, or if the segmenter cannot be trained so.
    """
    if len(pairs) == 0:
        raise SeediffError(f"The training set for {folder} is empty.")
    if settings.backend not in BACKENDS:
        raise SeediffError(f"Backend {settings.backend!r} cannot train robustly.\nUse one of {', '.join(BACKENDS)}.")
    check_reliable(pairs, doubts, robust)
    with torch.random.fork_rng():
        views = Views(pairs, settings, augmentation, rng_seed)
        name = _robust_name(run_name(views, classes, start, pairs_digest, version), robust)
        trainer = RobustTrainer(views, doubts, robust, len(classes), name, Path(state_folder) / STATE, start)
        trainer.carry_out(Path(folder), classes, workers, about)


def _robust_name(name: str, robust: RobustTraining) -> str:
    return hashlib.sha256(json.dumps([name, asdict(robust)], sort_keys=True).encode()).hexdigest()


class RobustTrainer(Trainer):
    """A trainer whose model is a pair of networks, and whose loss is that of co-training."""

    def __init__(
        self,
        views: Views,
        doubts: Pairs,
        robust: RobustTraining,
        num_classes: int,
        name: str,
        state: Path,
        start: Path | None,
    ) -> None:
        self.doubts, self.robust, self.head = doubts, robust, HEADS[views.settings.backend]
        super().__init__(views, num_classes, name, state, start)
        if robust.mix > 0 and self.settings.batch_size // self.processes.count < 2:
            raise SeediffError("ClassMix needs two images a batch.\nRaise batch_size, or set the recipe's 'mix' to 0.")

    def _backend(self) -> Backend:
        return paired(super()._backend())

    @property
    def dataset(self) -> Dataset[Any]:
        return RatedViews(self.views, self.doubts)

    @property
    def epoch(self) -> int:
        return self.iteration * self.settings.batch_size // len(self.views.pairs)

    def _losses(self, *batch: Tensor) -> dict[str, Tensor]:
        images, labels, levels = batch
        taught = lesson(images, labels, levels, self.robust)
        if self.robust.mix > 0 and self.epoch >= self.robust.mix_after:
            seen = online(taught, self._probabilities(taught), self.robust.confidence)
            taught = mixed(taught, seen, self.robust)
        pair, weight = networks(self.model), self.robust.boundary_weight
        return cotraining_loss(pair, taught, self.head, weight, self.settings, self.processes.mean)

    @torch.no_grad()
    def _probabilities(self, taught: Lesson) -> Tensor:
        """What the pair sees by now, as in prediction: the mean of both, (n, C, H, W)."""
        self.model.eval()
        answers = [self.head.answer(network, taught.images) for network in networks(self.model)]
        self.model.train()
        size = tuple(taught.labels.shape[1:])
        return torch.stack([self.head.log_probabilities(answer, size).exp() for answer in answers]).mean(0)

    def _networks(self) -> list[nn.Module]:
        return networks(self.model)

    def _config(self, classes: Sequence[str]) -> dict[str, Any]:
        return {**super()._config(classes), "robust": asdict(self.robust)}
