"""Training in several processes, one per GPU: how they share a batch, and average their results.

A process that was started alone is the only process; ``accelerate launch`` and ``torchrun`` start several.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn

from seediff.errors import SeediffError


class Processes:
    """All processes of this training: ``count`` of them, of which this is number ``rank``, working on ``device``."""

    def __init__(self) -> None:
        state = PartialState(cpu=not torch.cuda.is_available())
        self.rank, self.count, self.device = state.process_index, state.num_processes, state.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, images: int) -> int:
        """How many of a batch's images each process takes; ``SeediffError`` if the batch cannot be shared evenly."""
        if images % self.count:
            raise SeediffError(
                f"A batch of {images} images cannot be shared by {self.count} processes.\nStart as many as divide it."
            )
        return images // self.count

    def mean(self, value: Tensor) -> Tensor:
        """The mean of every process's ``value``, of any shape, without gradient."""
        if self.count == 1:
            return value.detach()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each process's gradients by their mean; a parameter that one process did not use counts as 0."""
        if self.count == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in trained]
        mean = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for parameter, part in zip(trained, mean.split([weight.numel() for weight in trained]), strict=True):
            parameter.grad = part.view_as(parameter)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()
