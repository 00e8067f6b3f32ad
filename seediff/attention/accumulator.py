"""Running sums of recorded attention.

No map of a single layer or timestep is ever kept: memory is one (h*w, tokens) and one (h*w, h*w) float32 sum per
image and resolution, and one scratch map for all of them. Several recordings of one denoising run, such as of all
timesteps and of the late ones, share these sums: there is a set of them for the timesteps that the same recordings
want (the early ones, the late ones), and a recording is the total of its sets. Recordings that do not divide a layer's
map by its maximum have sets of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seediff.attention.calls import ALL, Calls
from seediff.attention.head_sums import Fill
from seediff.attention.maps import AttentionMaps, Size
from seediff.attention.tokens import TokenizedPrompt
from seediff.errors import SeediffError
from seediff.finite import NotFiniteError, first_not_finite, naming

Recordings = frozenset[Calls]
"""The recordings that a call of the denoiser counts for."""
CROSS, SELF = "cross", "self"


@dataclass(frozen=True)
class Layout:
    """Where an image is in a layer's attention.

    ``row``: of the batch. ``size``: (h, w) of the grid that its positions form, row-major. ``queries``: those of its
    positions. ``keys``: those of its prompt's tokens ('cross') and of its positions ('self'), or of one of them.
    """

    row: int
    size: Size
    queries: slice
    keys: Mapping[str, slice]


@dataclass(frozen=True)
class Attended:
    """One layer's attention in a call: ``layouts`` of the images, its heads, how many ``keys`` each position sees."""

    layer: str
    layouts: Sequence[Layout]
    heads: int
    keys: int
    device: torch.device
    fill: Fill


@dataclass(frozen=True)
class _Part:
    """What shares a sum: the recordings that want a call, the kind of attention, the size, and the image."""

    wanted_by: Recordings
    kind: str
    size: Size
    image: int


class Accumulator:
    """Running sums of the attention of images: per resolution, over layers and calls of the denoiser."""

    def __init__(self) -> None:
        self._scratch = torch.empty(0)
        self.restart()

    def restart(self) -> None:
        """Forget everything recorded so far."""
        self._sums: dict[_Part, Tensor] = {}
        self._counts: dict[_Part, int] = {}
        self._layers: dict[Size, set[str]] = {}

    @torch.no_grad()
    def add(self, wanted_by: Recordings, attended: Attended) -> None:
        """Add one layer's attention, summed over heads, of each image."""
        first = attended.layouts[0]
        if CROSS in first.keys:
            self._layers.setdefault(first.size, set()).add(attended.layer)
        divided = frozenset(calls for calls in wanted_by if calls.divide)
        for image, layout in enumerate(attended.layouts):
            scratch = self._scratch_map(layout.size[0] * layout.size[1], attended.keys, attended.device)
            peaks = attended.fill(layout.row, layout.queries, scratch)
            for kind, columns in layout.keys.items():
                attention = scratch[:, columns]
                if divided:
                    # Dividing by the maximum (Eq. 5) makes the sum over heads as good as their mean.
                    sums = self._sum(_Part(divided, kind, layout.size, image), attention)
                    sums.addcmul_(attention, peaks[columns].amax().reciprocal())
                if undivided := wanted_by - divided:
                    sums = self._sum(_Part(undivided, kind, layout.size, image), attention)
                    sums.add_(attention, alpha=1 / attended.heads)

    def maps(self, prompts: Sequence[TokenizedPrompt], latent_size: Size, calls: Calls = ALL) -> list[AttentionMaps]:
        """The averages of a recording, one for each image; prompts in the images' order.

        ``SeediffError`` if the recording has nothing, if it was not for these prompts, or if something is not finite.
        """
        images = 1 + max((part.image for part in self._sums if calls in part.wanted_by), default=-1)
        if not images:
            raise SeediffError(
                f"No attention has been recorded for {calls}.\nRun the denoiser at one of its timesteps."
            )
        columns = {(part.image, sums.shape[1]) for part, sums in self._sums.items() if part.kind == CROSS}
        given = [len(prompt.tokens) for prompt in prompts]
        if images != len(prompts) or any(number != given[image] for image, number in columns):
            recorded = sorted({number for _, number in columns})
            raise SeediffError(
                f"Recorded {images} images with {recorded} tokens, but the prompts given are"
                f" {len(prompts)} with {sorted({*given})} tokens."
            )
        with naming([f"image of {prompt.text!r}" for prompt in prompts]):
            self._check_sums()
        layers = {size: len(names) for size, names in self._layers.items()}
        return [
            AttentionMaps(prompt, *self._means(image, calls), latent_size, calls, layers)
            for image, prompt in enumerate(prompts)
        ]

    def _check_sums(self) -> None:
        for part, sums in self._sums.items():
            if first_not_finite(sums[None]) is not None:
                what = f"the recorded {part.kind}-attention of size {part.size[0]} x {part.size[1]}"
                raise NotFiniteError(what, part.image, "Try the dtype float32.")

    def _means(self, image: int, calls: Calls) -> tuple[dict[Size, Tensor], dict[Size, Tensor]]:
        means: dict[str, dict[Size, Tensor]] = {CROSS: {}, SELF: {}}
        for kind, size in sorted({(part.kind, part.size) for part in self._parts(image, calls)}, reverse=True):
            found = [part for part in self._parts(image, calls) if (part.kind, part.size) == (kind, size)]
            first, *others = [self._sums[part] for part in found]
            means[kind][size] = sum(others, first) / sum(self._counts[part] for part in found)
        return means[CROSS], means[SELF]

    def _parts(self, image: int, calls: Calls) -> Iterator[_Part]:
        return (part for part in self._sums if part.image == image and calls in part.wanted_by)

    def _sum(self, part: _Part, like: Tensor) -> Tensor:
        if part not in self._sums:
            with torch.inference_mode(False):  # or later calls outside inference mode could not add to them
                self._sums[part] = torch.zeros(like.shape, device=like.device)
            self._counts[part] = 0
        self._counts[part] += 1
        return self._sums[part]

    def _scratch_map(self, rows: int, columns: int, device: torch.device) -> Tensor:
        if self._scratch.numel() < rows * columns or self._scratch.device != device:
            with torch.inference_mode(False):
                self._scratch = torch.empty(rows * columns, device=device)
        return self._scratch[: rows * columns].view(rows, columns)
