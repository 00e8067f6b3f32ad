"""Scenes: a benchmark's annotated images, noised and shown to the UNet, whose attention to their classes is recorded.

An image is encoded, noised to a few timesteps, and shown to the UNet with a prompt that names its classes. So masks can
be compared with exact annotation, without a segmenter in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seediff.attention.calls import Calls
from seediff.attention.maps import AttentionMaps, ClassMaps, competing
from seediff.datasets.benchmarks import Benchmark
from seediff.diffusion.looking import look_as
from seediff.finite import naming
from seediff.prompts.words import caption
from seediff.rng import derive_seed

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SMALLEST_SHARE = 0.01
"""A class that covers less of an image is not asked for."""


@dataclass(frozen=True)
class AnnotatedScene:
    """One benchmark image: ``image`` (S, S, 3) uint8, ``labels`` (S, S), the classes present, and its prompt.

    ``starts``: the characters of the prompt at which the classes' words begin.
    """

    index: int
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: tuple[str, ...]
    prompt: str
    starts: tuple[int, ...]

    @property
    def name(self) -> str:
        """As an error names it."""
        return f"Image {self.index} of the benchmark ({self.prompt!r})"


def annotated_scenes(benchmark: Benchmark, words: Mapping[str, str], side: int) -> Iterator[AnnotatedScene]:
    """Every image that shows a class, in the benchmark's order, resized to the pipeline's image side.

    ``words``: the word that the prompt has for each class, in label order from 1.
    """
    for index in range(len(benchmark)):
        image, labels = benchmark[index]
        image = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
        labels = np.asarray(Image.fromarray(labels).resize((side, side), Image.Resampling.NEAREST))
        shares = np.bincount(labels.ravel(), minlength=256)[1 : len(words) + 1] / labels.size
        present = tuple(name for name, share in zip(words, shares) if share >= SMALLEST_SHARE)
        if present:
            yield AnnotatedScene(index, image, labels, present, *caption([words[name] for name in present]))


def record_scenes(
    pipe: StableDiffusionPipeline,
    scenes: Sequence[AnnotatedScene],
    timesteps: Sequence[int],
    recordings: Sequence[Calls],
    rng_seed: int,
) -> list[dict[Calls, AttentionMaps]]:
    """Attention of the UNet on each of the noised scenes, by recording.

    ``timesteps`` stand for those of a denoising run; another look adds its own.
    """
    images, prompts = np.stack([scene.image for scene in scenes]), [scene.prompt for scene in scenes]
    return look_as(
        pipe, images, prompts, timesteps, recordings, lambda at, timestep: _seed(rng_seed, scenes[at], timestep)
    )


def _seed(rng_seed: int, scene: AnnotatedScene, timestep: int) -> int:
    return derive_seed(rng_seed, "mask quality", scene.index, timestep)  # another text would change every judged number


def class_maps(
    scene: AnnotatedScene, recorded: Mapping[Calls, AttentionMaps], words: Mapping[str, str]
) -> Iterator[tuple[str, dict[Calls, ClassMaps]]]:
    """Each class of the scene with its word's maps in every recording, in competition with the other classes' words."""
    places = list(zip(scene.classes, scene.starts, strict=True))
    with naming([scene.name]):
        found = {
            calls: competing([maps.for_word(words[name], [place]) for name, place in places])
            for calls, maps in recorded.items()
        }
    for at, name in enumerate(scene.classes):
        yield name, {calls: maps[at] for calls, maps in found.items()}
