"""Attention kept apart, for research: by layer and timestep, and by head.

The sums that masks are made from mix layers, timesteps and heads. Which of them carry the meaning is a question that
needs them one by one. They are large, so a recording says which layers it wants, and how much memory they may take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from seediff.attention.accumulator import Layout
from seediff.attention.head_sums import Fill
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
    float32, with a single head if it is the mean over them. ``call``: its number in the run, from 0.
    """

    layer: str
    call: int
    image: int
    size: Size
    cross_attention: Tensor | None
    self_attention: Tensor | None


class Shelf:
    """The layers that a recording keeps apart."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart
        self.restart()

    def restart(self) -> None:
        self.maps: list[LayerMaps] = []
        self._bytes = 0

    @torch.no_grad()
    def add(
        self,
        layer: str,
        call: int,
        layouts: Sequence[Layout],
        heads: int,
        keys: int,
        device: torch.device,
        fill: Fill,
    ) -> None:
        """Keep a layer, if it is wanted. ``SeediffError`` if there is no room for it."""
        if not any(fnmatchcase(layer, pattern) for pattern in self._apart.layers):
            return
        for image, layout in enumerate(layouts):
            positions = layout.size[0] * layout.size[1]
            self._make_room((heads if self._apart.heads else 1) * positions * keys * 4)
            whole = torch.empty(heads if self._apart.heads else 1, positions, keys, device=device)
            for head, total in enumerate(whole):
                fill(layout.row, layout.queries, total, head if self._apart.heads else None)
            if not self._apart.heads:
                whole /= heads
            parts = {kind: whole[..., columns].contiguous() for kind, columns in layout.keys.items()}
            self.maps.append(LayerMaps(layer, call, image, layout.size, parts.get("cross"), parts.get("self")))

    def _make_room(self, further: int) -> None:
        self._bytes += further
        if self._bytes > self._apart.mebibytes * 2**20:
            raise SeediffError(
                f"The layers that are kept apart take more than {self._apart.mebibytes} MiB.\n"
                "Name fewer layers, record fewer timesteps, or allow more: Apart(mebibytes=...)."
            )
