"""Attention kept apart, for research: by layer and timestep, and by head.

The sums that masks are made from mix layers, timesteps and heads. Which of them carry the meaning is a question that
needs them one by one. They are large, so a recording says which layers it wants, and how much memory they may take.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from seediff.attention.accumulator import CROSS, SELF, Attended
from seediff.attention.maps import Size
from seediff.errors import SeediffError
from seediff.settings import check_bounds


@dataclass(frozen=True)
class Apart:
    """Which layers are kept apart: patterns of their names, as ``*.attn2``. ``heads``: each by itself, or their mean.

    ``mebibytes``: the most that they may take together.
    """

    layers: tuple[str, ...]
    heads: bool = False
    mebibytes: Annotated[int, Ge(1)] = 1024

    def __post_init__(self) -> None:
        check_bounds("Apart", self)


NOTHING = Apart(())


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """One layer's attention in one call of the denoiser, of one image: probabilities, not divided by their maximum.

    ``cross_attention``: (heads, h*w, tokens), ``self_attention``: (heads, h*w, h*w), each None if the layer has none;
    float32, with a single head if it is the mean over them. ``call``: its number in the run, from 0, those that
    are not recorded included.
    """

    layer: str
    call: int
    image: int
    size: Size
    cross_attention: Tensor | None
    self_attention: Tensor | None


class Shelf:
    """The layers that a recording keeps apart: ``layers``, by their names."""

    def __init__(self, apart: Apart, layers: Collection[str]) -> None:
        self._apart, self._layers = apart, layers
        self.restart()

    def restart(self) -> None:
        self.maps: list[LayerMaps] = []
        self._bytes = 0

    @torch.no_grad()
    def add(self, call: int, attended: Attended) -> None:
        """Keep a layer, if it is wanted. ``SeediffError`` if there is no room for it."""
        if attended.layer not in self._layers:
            return
        heads = range(attended.heads) if self._apart.heads else [None]
        for image, layout in enumerate(attended.layouts):
            positions = layout.size[0] * layout.size[1]
            self._make_room(len(heads) * positions * attended.keys * 4)
            whole = torch.empty(len(heads), positions, attended.keys, device=attended.device)
            for head, total in zip(heads, whole, strict=True):
                attended.fill(layout.row, layout.queries, total, head)
            if not self._apart.heads:
                whole /= attended.heads
            parts = {kind: whole[..., columns].contiguous() for kind, columns in layout.keys.items()}
            maps = LayerMaps(attended.layer, call, image, layout.size, parts.get(CROSS), parts.get(SELF))
            self.maps.append(maps)

    def _make_room(self, further: int) -> None:
        self._bytes += further
        if self._bytes > self._apart.mebibytes * 2**20:
            raise SeediffError(
                f"The layers that are kept apart take more than {self._apart.mebibytes} MiB.\n"
                "Name fewer layers, record fewer timesteps, or allow more: Apart(mebibytes=...)."
            )
