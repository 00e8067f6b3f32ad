"""What the demo page looks at: an image with its recorded attention, from which every mask follows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from seediff.attention.calls import Calls, Record
from seediff.attention.maps import AttentionMaps, competing, normalize
from seediff.datasets.images import Array
from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.diffusion.looking import check_looks
from seediff.diffusion.photographs import Query, look_at_photographs
from seediff.diffusion.synthesis import Sampling, draw
from seediff.errors import SeediffError
from seediff.masks.make import make_labels
from seediff.masks.refinement import PamrSettings, Refinement
from seediff.masks.variants import VARIANTS, calls_of, fitted, mask_steps, recordings_of, resolve, scores_by_step
from seediff.prompts.prompt_sets import Prompt
from seediff.prompts.words import caption, place_word

COLOURS = "viridis"
LEAST_SIDE = 256
"""Pictures are enlarged to this, in pixels, so that small ones can be seen."""


@dataclass(frozen=True)
class Look:
    """An image (H, W, 3) as the denoiser saw it, the attention of every recording, and the words that are looked for.

    ``original``: the photograph that it is of, at its own size, or the image itself. ``starts``: where each word begins
    in the prompt.
    """

    image: Array
    original: Array
    words: tuple[str, ...]
    starts: tuple[tuple[int, ...], ...]
    recorded: dict[Calls, AttentionMaps]

    @property
    def variants(self) -> list[str]:
        """Those that can be made of what was recorded."""
        return [name for name, steps in VARIANTS.items() if calls_of(resolve(steps)) in self.recorded]


def words_in(text: str) -> tuple[str, ...]:
    """Words as people type them, with commas between."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise SeediffError("Name at least one word to look for; several with commas between.")
    return words


def draw_look(pipe: Any, prompt: str, words: Sequence[str], seed: int, sampling: Sampling) -> Look:
    """Draw a prompt, which has the words; without one, 'a photo of a cat and a dog'."""
    text, starts = (prompt, [()] * len(words)) if prompt.strip() else _captioned(words)
    for word in words:
        place_word(text, word)
    wanted = Prompt("demo-000000", words[0], 0, text, words[0], seed, starts[0])
    ((drawn),) = draw(pipe, [wanted], sampling, _recordings(pipe))
    return Look(drawn.image, drawn.image, tuple(words), tuple(starts), dict(drawn.recorded))


def _captioned(words: Sequence[str]) -> tuple[str, list[tuple[int, ...]]]:
    text, starts = caption(words)
    return text, [(start,) for start in starts]


def look_at(pipe: Any, photograph: Array, words: Sequence[str]) -> Look:
    """Look at a photograph, noised a little."""
    query = Query(tuple(words))
    ((image, recorded),) = look_at_photographs(pipe, [photograph], query, _recordings(pipe))
    return Look(image, photograph, tuple(words), tuple(query.starts), recorded)


def _recordings(pipe: Any) -> list[Calls]:
    """What all variants are made from, as far as the pipeline can record it."""
    wanted = recordings_of({name: resolve(steps) for name, steps in VARIANTS.items()})
    try:
        check_looks(pipe)
    except SeediffError:
        return [calls for calls in wanted if isinstance(calls, Record)]
    return wanted


# --- what is shown of it


def labels_of(look: Look, variant: str, alpha: float, beta: float, pamr: bool) -> NDArray[np.uint8]:
    """The label map at the size of the original, (H, W): 0 background, k for the k-th word."""
    maps = look.recorded[calls_of(resolve(VARIANTS[variant]))]
    refinement = Refinement(PamrSettings() if pamr else None, threshold=beta)
    size = look.original.shape[:2]
    return make_labels(
        maps, look.words, look.image, variant, alpha, refinement=refinement, starts=look.starts, size=size
    )


def image_picture(look: Look) -> Image.Image:
    """The original."""
    return _enlarged(Image.fromarray(look.original))


def mask_picture(look: Look, labels: NDArray[np.uint8]) -> Image.Image:
    """The label map over the original."""
    return _enlarged(overlay(look.original, labels, VOC_COLOURS))


def step_pictures(look: Look, word: str, variant: str, alpha: float) -> list[tuple[Image.Image, str]]:
    """The score after each mask step, from dark (0) to bright (1), with the step's name."""
    maps = look.recorded[calls_of(resolve(VARIANTS[variant]))]
    steps = resolve(fitted(variant, maps), alpha=alpha)
    places = [maps.for_word(name, starts) for name, starts in zip(look.words, look.starts, strict=True)]
    scores = scores_by_step(steps, competing(places)[look.words.index(word)])
    names = [f"{name.replace('_', ' ')} {params.get('resolution', '')}".strip() for name, params in mask_steps(steps)]
    return [(_heat(score), name) for score, name in zip(scores, names, strict=True)]


def attention_picture(look: Look, down: float, right: float) -> Image.Image:
    """Where a position of the image, (0, 0) to (1, 1), looks: its row of the finest self-attention."""
    maps = next(iter(look.recorded.values()))
    size = max(maps.self_attention)
    row, column = (min(int(share * side), side - 1) for share, side in zip((down, right), size, strict=True))
    return _heat(normalize(maps.self_attention[size][row * size[1] + column]).view(size))


def _heat(score: torch.Tensor) -> Image.Image:
    colours = matplotlib.colormaps[COLOURS](score.double().cpu().numpy(), bytes=True)
    return _enlarged(Image.fromarray(np.ascontiguousarray(colours[..., :3])))


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = -(-LEAST_SIDE // min(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
