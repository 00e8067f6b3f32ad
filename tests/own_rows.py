"""A call of a pipeline is recorded exactly: its maps against the oracle of ``test_families``, its images to the bit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from seediff.attention.maps import AttentionMaps
from seediff.attention.recording import record_attention
from tests.attention_oracle import SEQUENCES, Oracle, assert_exact, expected, oracle
from tests.tiny_pipelines import FAMILIES

LAST = -1
PROMPT = "a photo of a cat"
GUIDED = {"guidance_scale": 4.0, "negative_prompt": "sand"}


@dataclass(frozen=True)
class Own:
    """Which rows of which calls are the images' own.

    ``images``: how many. ``start``: the first row's place in the batch, or ``LAST`` where they end it. ``calls``: the
    numbers of the denoiser's calls, or each.
    """

    images: int = 1
    start: int = 0
    calls: Iterable[int] | None = None

    def of(self, found: Oracle) -> Oracle:
        """What was seen of these rows alone; a second attention of a layer is to an image prompt, or perturbed."""
        own, first = Oracle(), {(seen.layer, seen.call): seen for seen in reversed(found.seen)}
        wanted = {call for _, call in first} if self.calls is None else {*self.calls}
        for seen in first.values():
            start = len(seen.probabilities) - self.images if self.start == LAST else self.start
            if seen.call in wanted:
                own.seen.append(replace(seen, probabilities=seen.probabilities[start : start + self.images]))
        return own


def assert_recorded(name: str, pipe: Any, draw: Callable[[], Tensor], own: Own, **options: Any) -> list[AttentionMaps]:
    """The maps of a call of a pipeline of the family ``name``, after they have been compared; ``options``: those of
    ``record_attention``."""
    plain = draw()
    with oracle(pipe) as found, record_attention(pipe, **options) as recording:
        image = draw()
    assert torch.equal(torch.as_tensor(plain), torch.as_tensor(image))
    maps, seen = recording.maps, own.of(found)
    assert len(maps) == own.images
    sequence = replace(SEQUENCES[name], rows="first")
    for number, each in enumerate(maps):
        assert_exact(each, expected(seen, sequence, number, own.images, each))
    return maps


def drawing(pipe: Any, **options: Any) -> Callable[[], Tensor]:
    """A call of the pipeline with these options, from the same seed each time."""
    standard = {"prompt": PROMPT, "num_inference_steps": 1, "output_type": "pt", "return_dict": False}

    def draw() -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            images: Tensor = pipe(**{**standard, **options})[0]
        return images

    return draw


@cache
def built(name: str) -> Any:
    """The family's tiny pipeline, for calls that leave it as it is."""
    return FAMILIES[name]()


def in_form(kind: type, pipe: Any, **parts: Any) -> Any:
    """A pipeline of another kind from the parts of this one, with further parts and settings."""
    known = inspect.signature(kind.__init__).parameters
    given = {**pipe.components, **parts}
    form = kind(**{part: value for part, value in given.items() if part in known})
    form.set_progress_bar_config(disable=True)
    return form


def picture(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def left_half(height: int, width: int) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask
