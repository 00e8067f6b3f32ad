"""Running sums of recorded attention.

No map of a single layer or timestep is ever kept: memory is one (r*r, tokens) and one (r*r, r*r) float32 sum per
image and resolution, and one scratch map for all of them. Several recordings of one denoising run, such as of all
timesteps and of the late ones, share these sums: there is a set of them for the timesteps that the same recordings
want (the early ones, the late ones), and a recording is the total of its sets. Recordings that do not divide a layer's
map by its maximum have sets of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seediff.attention.calls import ALL, Calls
from seediff.attention.maps import AttentionMaps
from seediff.attention.tokens import TokenizedPrompt
from seediff.errors import SeediffError
from seediff.finite import check_finite, naming

Resolution = tuple[str, int]
"""('cross' or 'self', side of the attention map)."""
Recordings = frozenset[Calls]
"""The recordings that a UNet call counts for."""
Fill = Callable[[int, Tensor], Tensor]
"""Fills a map (positions, tokens) with one batch row's attention, summed over heads; returns the map's maximum."""


class Accumulator:
    """Running sums of the attention of ``images`` images: per resolution, over layers and UNet calls.

    The images are the last ``images`` of the UNet's batch, which is either all of it or, under classifier-free
    guidance, its conditional half. If their number is not given, the whole batch is recorded.
    """

    def __init__(self) -> None:
        self._scratch = torch.empty(0)
        self.restart()

    def restart(self, images: int | None = None) -> None:
        """Forget everything recorded so far."""
        self._images = images
        self._batches: tuple[int, ...] = () if images is None else (images, 2 * images)
        self._latent_side = 0
        self._sums: dict[tuple[Recordings, Resolution], Tensor] = {}
        self._counts: dict[tuple[Recordings, Resolution], int] = {}
        self._divided: Recordings = frozenset()
        self._undivided: Recordings = frozenset()

    @property
    def is_wanted(self) -> bool:
        """Whether a recording wants the present UNet call."""
        return bool(self._divided or self._undivided)

    def begin(self, latents: torch.Size, wanted_by: Recordings) -> None:
        """Prepare for one UNet call with latents (batch, channels, side, side)."""
        batch, side = _batch_and_side(latents)
        if self._images is None:
            self._images, self._batches = batch, (batch,)
        if self._latent_side not in (0, side):
            raise SeediffError(
                f"The UNet was given latents of side {side} while recording images of side {self._latent_side}.\n"
                "Record images of one size at a time."
            )
        if batch not in self._batches:
            raise SeediffError(
                f"The UNet was given {batch} latents at once while recording {self._images} images, for which"
                f" {' or '.join(map(str, self._batches))} were expected.\n"
                "Record one batch at a time, without guidance that adds latents of its own."
            )
        self._latent_side = side
        self._divided = frozenset(calls for calls in wanted_by if calls.divide)
        self._undivided = wanted_by - self._divided

    @torch.no_grad()
    def add(self, kind: str, batch: int, heads: int, shape: tuple[int, int], device: torch.device, fill: Fill) -> None:
        """Add one layer's attention: maps of ``shape`` (positions, tokens), one for each row of the UNet's batch."""
        assert self._images is not None
        resolution, size = (kind, math.isqrt(shape[0])), (self._images, *shape)
        divided = self._sums_of(self._divided, resolution, size, device) if self._divided else None
        undivided = self._sums_of(self._undivided, resolution, size, device) if self._undivided else None
        scratch = self._scratch_map(*shape, device)
        for image, row in enumerate(range(batch - self._images, batch)):
            peak = fill(row, scratch)
            if divided is not None:
                # Dividing by the maximum (Eq. 5) makes the sum over heads as good as their mean.
                divided[image].addcmul_(scratch, peak.reciprocal())
            if undivided is not None:
                undivided[image].add_(scratch, alpha=1 / heads)

    def maps(self, prompts: Sequence[TokenizedPrompt], calls: Calls = ALL) -> list[AttentionMaps]:
        """The averages of a recording, one for each image; prompts in the images' order.

        ``SeediffError`` if nothing was recorded, if it was not for these prompts, or if something is not finite.
        """
        if not any(calls in wanted_by for wanted_by, _ in self._sums):
            raise SeediffError(f"No attention has been recorded yet.\n{self._why_nothing(bool(prompts))}")
        recorded = {sums.shape[2] for (_, (kind, _)), sums in self._sums.items() if kind == "cross"}
        given = {len(prompt.tokens) for prompt in prompts}
        if self._images != len(prompts) or recorded - given:
            raise SeediffError(
                f"Recorded {self._images} images with {sorted(recorded)} tokens, but the prompts given are"
                f" {len(prompts)} with {sorted(given)} tokens."
            )
        with naming([f"image of {prompt.text!r}" for prompt in prompts]):
            self._check_sums()
        return [self._image_maps(at, prompt, calls) for at, prompt in enumerate(prompts)]

    def _why_nothing(self, is_called: bool) -> str:
        """What to do, depending on which parts of the pipeline have run."""
        if self._latent_side:
            return (
                "The UNet ran, but with other attention processors than those that record, or it has no attention.\n"
                "Change processors before the with-block, not inside it."
            )
        if is_called:
            return "The pipeline was called, but without the UNet that it had when the with-block began. Use that one."
        return "Run the pipeline inside the with-block before asking for maps."

    def _check_sums(self) -> None:
        for (_, (kind, side)), sums in self._sums.items():
            check_finite(sums, f"the recorded {kind}-attention of side {side}", "Try the dtype float32.")

    def _image_maps(self, image: int, prompt: TokenizedPrompt, calls: Calls) -> AttentionMaps:
        means: dict[str, dict[int, Tensor]] = {"cross": {}, "self": {}}
        for kind, side in sorted({resolution for _, resolution in self._sums}, reverse=True):
            means[kind][side] = self._mean(image, (kind, side), calls)
        return AttentionMaps(prompt, means["cross"], means["self"], self._latent_side, calls)

    def _mean(self, image: int, resolution: Resolution, calls: Calls) -> Tensor:
        found = [key for key in self._sums if calls in key[0] and key[1] == resolution]
        first, *others = [self._sums[key][image] for key in found]
        return sum(others, first) / sum(self._counts[key] for key in found)

    def _sums_of(
        self, wanted_by: Recordings, resolution: Resolution, shape: tuple[int, int, int], device: torch.device
    ) -> Tensor:
        key = wanted_by, resolution
        if key not in self._sums:
            with torch.inference_mode(False):  # or later calls outside inference mode could not add to them
                self._sums[key] = torch.zeros(shape, device=device)
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._sums[key]

    def _scratch_map(self, rows: int, columns: int, device: torch.device) -> Tensor:
        if self._scratch.numel() < rows * columns or self._scratch.device != device:
            with torch.inference_mode(False):
                self._scratch = torch.empty(rows * columns, device=device)
        return self._scratch[: rows * columns].view(rows, columns)


def _batch_and_side(latents: torch.Size) -> tuple[int, int]:
    """Of latents (batch, channels, side, side); ``SeediffError`` if they are of a video or of an image not square."""
    if len(latents) != 4:
        raise SeediffError(
            f"Attention is recorded for images only; the latents have {len(latents)} dimensions, as of a video."
        )
    batch, _, height, width = latents
    if height != width:
        raise SeediffError(
            f"Attention is recorded for square images only; the latents are {height} high and {width} wide.\n"
            "Ask for an image whose height equals its width."
        )
    return batch, height
