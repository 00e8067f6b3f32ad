"""A training step of a segmenter: forward, loss and backward, against transformers' own, of the same weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Mask2FormerForUniversalSegmentation

from benchmarks.timing import Row, compare
from seediff.segmenter.backbones import normalize
from seediff.segmenter.mask2former import build, losses
from seediff.segmenter.settings import SegmenterSettings, segmenter_settings

TITLE = "Training step (forward, loss, backward), against transformers' own"
CLASSES = 11


def rows() -> list[Row]:
    mini = segmenter_settings("resnet-mini")
    full = segmenter_settings("resnet-50", pretrained=None)
    return [*_rows("resnet-mini, batch 8", mini, 8, rounds=9), *_rows("resnet-50, batch 1", full, 1, rounds=3)]


def _rows(what: str, settings: SegmenterSettings, batch: int, rounds: int) -> list[Row]:
    torch.manual_seed(0)
    model = build(settings, CLASSES).train()
    stock = _stock(model, settings)
    images, labels = batch_of(settings, batch)
    classes = [target.unique() for target in labels]
    masks = [(target[None] == present[:, None, None]).float() for target, present in zip(labels, classes, strict=True)]
    ours = partial(step, model, images, labels, settings)

    def theirs() -> Any:
        stock.zero_grad()
        stock(pixel_values=normalize(images), mask_labels=masks, class_labels=classes).loss.backward()

    found = compare({"transformers": theirs, "seediff": ours}, rounds)
    return [Row(f"{what}: {row.what}", row.seconds, row.ratio, row.mebibytes, row.note) for row in found]


def step(model: nn.Module, images: Tensor, labels: Tensor, settings: SegmenterSettings) -> None:
    model.zero_grad()
    torch.stack(list(losses(model, images, labels, settings).values())).sum().backward()


def batch_of(settings: SegmenterSettings, batch: int) -> tuple[Tensor, Tensor]:
    """Images of noise and their labels."""
    images = torch.randint(0, 256, (batch, *settings.crop_size, 3), dtype=torch.uint8)
    return images, _blocks(batch, *settings.crop_size)


def _stock(model: Mask2FormerForUniversalSegmentation, settings: SegmenterSettings) -> nn.Module:
    """transformers' own model of the same weights, with as many points in its loss."""
    stock = Mask2FormerForUniversalSegmentation(model.config).train()
    stock.load_state_dict(model.state_dict())
    stock.criterion.num_points = stock.criterion.matcher.num_points = settings.points
    return stock


def _blocks(batch: int, height: int, width: int) -> Tensor:
    """Label maps of 4 x 4 blocks, background and three classes each."""
    coarse = torch.randint(0, 4, (batch, 4, 4)) * torch.randint(1, 4, (batch, 1, 1))
    return coarse.repeat_interleave(height // 4, 1).repeat_interleave(width // 4, 2)
