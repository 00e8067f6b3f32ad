"""Co-training (BECO, Rong et al. 2023): two networks of one architecture that teach each other.

What is trained, saved and evaluated is the pair. Each network learns from the labels as far as they are reliable, and
from the other's argmax as far as they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from seediff.datasets.images import Pairs
from seediff.errors import SeediffError
from seediff.segmenter.architecture import Architecture, Head, Mean, cross_entropy
from seediff.segmenter.batches import (
    ReliabilityViews,
    WeightedBatch,
    check_reliable,
    mixed,
    online,
    strongly_changed,
    weighted,
)
from seediff.segmenter.loss import alone
from seediff.segmenter.registry import architecture_of
from seediff.segmenter.settings import ROBUST_ARCHITECTURES, RobustTraining, SegmenterSettings
from seediff.segmenter.views import Views


class CoTrained(nn.Module):
    """Two networks of the same architecture."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.networks = nn.ModuleList([first, second])


def networks(model: nn.Module) -> list[nn.Module]:
    """Both networks of a pair."""
    return list(cast(CoTrained, model).networks)


def paired(single: Architecture) -> Architecture:
    """The architecture of pairs; ``losses`` and ``head`` stay those of a single network.

    The first network starts as a single one would, the second goes on with the random numbers. The scores are the mean
    of both networks' probabilities: their scores, made to sum to 1 at every pixel.
    """

    def build(settings: SegmenterSettings, num_classes: int) -> nn.Module:
        return CoTrained(single.build(settings, num_classes), single.build(settings, num_classes))

    def empty(settings: SegmenterSettings, num_classes: int) -> nn.Module:
        return CoTrained(single.empty(settings, num_classes), single.empty(settings, num_classes))

    def backbone(model: nn.Module) -> nn.Module:
        return nn.ModuleList(map(single.backbone, networks(model)))

    def scores(model: nn.Module, images: Tensor) -> Tensor:
        return torch.stack([_normalized(single.scores(network, images)) for network in networks(model)]).mean(0)

    return replace(single, build=build, empty=empty, backbone=backbone, scores=scores, networks=networks)


def _normalized(scores: Tensor) -> Tensor:
    return scores / scores.sum(1, keepdim=True).clamp(min=1e-12)


@dataclass(frozen=True)
class CoTraining:
    """The objective of two networks on pairs whose masks have a reliability (``segmenter.train.Objective``).

    ``uncertainty``: the training's pairs with 255 less their reliability (1 to 255) in place of labels.
    """

    uncertainty: Pairs
    robust: RobustTraining

    @property
    def config(self) -> dict[str, Any]:
        return {"robust": asdict(self.robust)}

    def architecture(self, settings: SegmenterSettings) -> Architecture:
        """``SeediffError`` if the segmenter cannot be trained so."""
        head_of(settings)
        return paired(architecture_of(settings))

    def dataset(self, views: Views, share: int) -> Dataset[Any]:
        """``SeediffError`` if no label is reliable, or if a process has too few images for ClassMix."""
        check_reliable(views.pairs, self.uncertainty, self.robust)
        if self.robust.mix > 0 and share < 2:
            raise SeediffError("ClassMix needs two images a batch.\nRaise batch_size, or set the recipe's 'mix' to 0.")
        return ReliabilityViews(views, self.uncertainty)

    def losses(
        self, model: nn.Module, epoch: int, batch: Sequence[Tensor], settings: SegmenterSettings, mean: Mean
    ) -> dict[str, Tensor]:
        images, labels, levels = batch
        given, head = weighted(images, labels, levels, self.robust), head_of(settings)
        if self.robust.mix > 0 and epoch >= self.robust.mix_after:
            seen = online(given, probabilities(model, head, given), self.robust.confidence)
            given = mixed(given, seen, self.robust)
        if self.robust.mix_augmentation:
            given = replace(given, images=strongly_changed(given.images, self.robust.mix_augmentation))
        return cotraining_loss(networks(model), given, head, self.robust.boundary_weight, settings, mean)


def head_of(settings: SegmenterSettings) -> Head:
    """How the segmenter's networks take part; ``SeediffError`` if they cannot."""
    head = architecture_of(settings).head
    if head is None or not settings.trains_robustly:
        raise SeediffError(
            f"Engine {settings.engine!r} cannot train architecture {settings.architecture!r} robustly.\n"
            f"Use engine 'seediff' and architecture {' or '.join(map(repr, ROBUST_ARCHITECTURES))}."
        )
    return head


@torch.no_grad()
def probabilities(model: nn.Module, head: Head, batch: WeightedBatch) -> Tensor:
    """What the pair predicts at this point of its training: the mean of both, (n, C, H, W)."""
    model.eval()
    answers = [head.answer(network, batch.images) for network in networks(model)]
    model.train()
    size = tuple(batch.labels.shape[1:])
    return torch.stack([head.log_probabilities(answer, size).exp() for answer in answers]).mean(0)


def cotraining_loss(
    pair: Sequence[nn.Module],
    batch: WeightedBatch,
    head: Head,
    boundary_weight: float,
    settings: SegmenterSettings,
    mean: Mean = alone,
) -> dict[str, Tensor]:
    """The head's own parts and ``peer``, each summed over the two networks."""
    answers = [head.answer(network, batch.images) for network in pair]
    seen = [head.log_probabilities(answer, tuple(batch.labels.shape[1:])) for answer in answers]
    total: dict[str, Tensor] = {}
    for answer, own, others in zip(answers, seen, reversed(seen), strict=True):
        parts = head.supervised(answer, own, batch, boundary_weight, settings, mean)
        parts["peer"] = head.weight * cross_entropy(own, others.argmax(1), batch.peer_weights)
        total = {name: part + total.get(name, 0) for name, part in parts.items()}
    return total
