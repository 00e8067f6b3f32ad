"""Who builds and trains a segmenter: this package (Mask2Former, or a per-pixel classifier), or detectron2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from seediff.segmenter import model as transformers_model
from seediff.segmenter import pixel
from seediff.segmenter.settings import SegmenterSettings

if TYPE_CHECKING:
    from seediff.segmenter.train import Trainer

Mean = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Backend:
    """What differs from one backend to another.

    ``build`` makes a new segmenter of so many classes and ``empty`` its architecture alone; called with
    ``pixel_values`` (n, 3, h, w), a Mask2Former gives ``class_queries_logits`` (n, Q, C + 1) and
    ``masks_queries_logits`` (n, Q, h / 4, w / 4), a ``PixelClassifier`` logits. ``losses`` gives the weighted parts of
    the training loss for images (n, H, W, 3) uint8 and labels (n, H, W), given the mean over the processes that share
    the batch. ``backbone`` is the part that learns at a rate of its own. ``run`` takes every step that a trainer still
    has to take.
    """

    build: Callable[[SegmenterSettings, int], nn.Module]
    empty: Callable[[SegmenterSettings, int], nn.Module]
    losses: Callable[[nn.Module, Tensor, Tensor, SegmenterSettings, Mean], dict[str, Tensor]]
    backbone: Callable[[nn.Module], nn.Module]
    run: Callable[[Trainer, int], None]


def _run(trainer: Trainer, workers: int) -> None:
    for batch in trainer.shown(trainer.batches(workers)):
        trainer.step(*batch)


_TRANSFORMERS = Backend(
    transformers_model.build_segmenter,
    transformers_model.empty_segmenter,
    transformers_model.losses,
    transformers_model.backbone,
    _run,
)
_PIXEL = Backend(pixel.build, pixel.empty, pixel.losses, pixel.backbone, _run)


def backend(name: str) -> Backend:
    """The backend of that name; raises ``SeediffError`` if what it needs cannot be imported."""
    if name == "transformers":
        return _TRANSFORMERS
    if name == "pixel":
        return _PIXEL
    from seediff.detectron2 import engine, official

    if name == "detectron2":
        return replace(_TRANSFORMERS, run=engine.run)
    return Backend(official.build, official.empty, official.losses, official.backbone, engine.run)
