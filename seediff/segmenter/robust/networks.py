"""Two networks of one build as one model: what is trained, stored and asked is the pair."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch import nn

from seediff.segmenter.backends import Backend
from seediff.segmenter.settings import SegmenterSettings


class CoTrained(nn.Module):
    """Two networks of the same architecture; ``scores.class_scores`` gives the mean of their probabilities."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.networks = nn.ModuleList([first, second])


def networks(model: nn.Module) -> list[nn.Module]:
    return list(cast(CoTrained, model).networks)


def paired(backend: Backend) -> Backend:
    """The same for two networks: the first starts as one alone would, the second goes on with the random numbers."""

    def build(settings: SegmenterSettings, num_classes: int) -> nn.Module:
        return CoTrained(backend.build(settings, num_classes), backend.build(settings, num_classes))

    def empty(settings: SegmenterSettings, num_classes: int) -> nn.Module:
        return CoTrained(backend.empty(settings, num_classes), backend.empty(settings, num_classes))

    def backbone(model: nn.Module) -> nn.Module:
        return nn.ModuleList(map(backend.backbone, networks(model)))

    return replace(backend, build=build, empty=empty, backbone=backbone)
