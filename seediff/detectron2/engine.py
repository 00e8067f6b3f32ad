"""Training in detectron2's engine: its loop around our trainer's model, views, optimiser and state."""

from __future__ import annotations

import logging
from typing import Any

from torch import Tensor, nn

from seediff.detectron2.availability import require_detectron2
from seediff.training.loop import Trainer


def run(trainer: Trainer, workers: int) -> None:
    """Run all remaining steps of the trainer.

    Views come in the same order as without detectron2, so a model learns the same weights, and a stopped run can be
    resumed.
    """
    require_detectron2()
    from detectron2.engine import SimpleTrainer

    logging.getLogger("detectron2").setLevel(logging.CRITICAL)  # errors are reported once, without a traceback
    model = _Losses(trainer)
    engine = SimpleTrainer(model, trainer.batches(workers), trainer.task.optimizer)
    engine.register_hooks([_bookkeeping(trainer, model)])
    engine.train(trainer.iteration, trainer.task.length.iterations)


class _Losses(nn.Module):
    """The model that the engine trains: it turns a batch into a dict of losses."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self.segmenter, self._losses = trainer.task.model, trainer.losses
        self.latest: dict[str, Tensor] = {}

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        self.latest = self._losses(*batch)
        return self.latest


def _bookkeeping(trainer: Trainer, model: _Losses) -> Any:
    """A hook that does the same around each step as our own loop."""
    from detectron2.engine import HookBase

    class Bookkeeping(HookBase):
        def before_step(self) -> None:
            trainer.prepare_step()

        def after_backward(self) -> None:
            trainer.finish_gradients(model.latest)

        def after_step(self) -> None:
            trainer.finish_step(model.latest)

    return Bookkeeping()
