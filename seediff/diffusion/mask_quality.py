"""Mask quality without a segmenter: annotated images, noised, recorded, and compared with their annotation.

An image of a benchmark is encoded, noised to a few timesteps, and shown to the UNet with a prompt that names its
classes. The attention of those calls goes through every variant, and the mask is compared with the exact one.
Two baselines stand beside them: a disc in the centre, which looks at nothing, and SeeDiff with every
self-attention row replaced by mere distance, which keeps only the seeds of its cross-attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from seediff.attention.calls import Calls
from seediff.attention.maps import AttentionMaps, ClassMaps, competing
from seediff.datasets.benchmarks import Benchmark
from seediff.datasets.classes import IGNORE_LABEL
from seediff.diffusion.looking import look
from seediff.errors import SeediffError
from seediff.finite import naming, within
from seediff.masks.judging import THRESHOLDS, intersection_over_union
from seediff.masks.refinement import Refinement, refine
from seediff.masks.steps import centre_disc
from seediff.masks.variants import apply, calls_of, recordings_of
from seediff.rng import derive_seed

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

SMALLEST_SHARE = 0.01
"""A class that covers less of an image is not asked for."""
REACH = 1 / 8
"""Scale, as a share of the side, over which the distance baseline's self-attention falls to 1/e."""


@dataclass(frozen=True)
class Annotated:
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


def annotated_images(benchmark: Benchmark, words: Mapping[str, str], number: int, side: int) -> Iterator[Annotated]:
    """The first ``number`` images that show a class, resized to the pipeline's image side."""
    found = [*islice(annotated(benchmark, words, side), number)]
    if not found:
        raise SeediffError("No image of the benchmark shows a class of the study: mask quality cannot be measured.")
    yield from found


def annotated(benchmark: Benchmark, words: Mapping[str, str], side: int) -> Iterator[Annotated]:
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
            yield Annotated(index, image, labels, present, *_caption([words[name] for name in present]))


def _caption(words: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """A prompt that names the words, and the characters at which they begin in it."""
    prompt, starts = "a photo of a ", list[int]()
    for word in words:
        starts.append(len(prompt))
        prompt += f"{word} and a "
    return prompt.removesuffix(" and a "), tuple(starts)


def record_annotated(
    pipe: StableDiffusionPipeline,
    batch: Sequence[Annotated],
    timesteps: Sequence[int],
    recordings: Sequence[Calls],
    rng_seed: int,
) -> list[dict[Calls, AttentionMaps]]:
    """Attention of the UNet on each of the noised images, by recording.

    ``timesteps`` stand for those of a denoising run; another look adds its own.
    """
    schedule = sorted(timesteps, reverse=True)
    wanted = {calls: [*map(int, calls.of(schedule))] for calls in recordings}
    every = dict.fromkeys([*timesteps, *chain.from_iterable(wanted.values())])
    seeds = {timestep: [_seed(rng_seed, annotated, timestep) for annotated in batch] for timestep in every}
    images = np.stack([annotated.image for annotated in batch])
    recorded = look(pipe, images, [annotated.prompt for annotated in batch], seeds, wanted)
    return [{calls: maps[at] for calls, maps in recorded.items()} for at in range(len(batch))]


def _seed(rng_seed: int, annotated: Annotated, timestep: int) -> int:
    return derive_seed(rng_seed, "mask quality", annotated.index, timestep)


def class_maps(
    annotated: Annotated, recorded: Mapping[Calls, AttentionMaps], words: Mapping[str, str]
) -> Iterator[tuple[str, dict[Calls, ClassMaps]]]:
    """Each class of the image with its word's maps in every recording, in competition with the other classes' words."""
    places = list(zip(annotated.classes, annotated.starts, strict=True))
    with naming([annotated.name]):
        found = {
            calls: competing([maps.for_word(words[name], [place]) for name, place in places])
            for calls, maps in recorded.items()
        }
    for at, name in enumerate(annotated.classes):
        yield name, {calls: maps[at] for calls, maps in found.items()}


def distance_maps(maps: ClassMaps) -> ClassMaps:
    """The same cross-attention, with self-attention that knows nothing but how far two places are apart."""
    return replace(maps, self_attention={r: _distance_attention(r) for r in maps.self_attention})


def _distance_attention(side: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    places = torch.stack([rows, columns], dim=-1).view(-1, 2).float()
    return torch.exp(-torch.cdist(places, places) / (REACH * side))


def scores_of(recorded: Mapping[Calls, ClassMaps], variants: Mapping[str, Any]) -> dict[str, Tensor]:
    """Every variant's and baseline's score of one class, at the latents' side."""
    scores = {}
    for name, steps in variants.items():
        with within(f"variant {name!r}"):
            scores[name] = apply(steps, recorded[calls_of(steps)])
    first = next(iter(recorded.values()))
    scores["centre_disc"] = centre_disc(None, first)
    if "seediff" in variants:
        steps = variants["seediff"]
        scores["distance"] = apply(steps, distance_maps(recorded[calls_of(steps)]))
    return scores


@dataclass(frozen=True)
class Comparison:
    """One soft mask against the exact one: ``iou`` at each of ``THRESHOLDS`` and at beta; ``auc``."""

    iou: float
    curve: NDArray[np.float64]
    auc: float


def compare(soft: NDArray[np.float32], truth: NDArray[np.bool_], valid: NDArray[np.bool_], beta: float) -> Comparison:
    """Intersection over union and area under the ROC curve over the valid pixels."""
    scores, inside = soft[valid], truth[valid]
    curve = np.array([intersection_over_union(scores >= threshold, inside) for threshold in THRESHOLDS])
    return Comparison(intersection_over_union(scores >= beta, inside), curve, _auc(scores, inside))


def _auc(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Probability that a pixel of the object scores above one outside (ties count half)."""
    from scipy.stats import rankdata  # slow to import, and judges need only the images of this module

    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)[truth].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def measure(
    pipe: StableDiffusionPipeline,
    benchmark: Benchmark,
    words: Mapping[str, str],
    variants: Mapping[str, Any],
    refinements: Mapping[str, Refinement],
    images: int,
    timesteps: Sequence[int],
    rng_seed: int,
    batch_size: int = 8,
) -> dict[str, Any]:
    """Compare every variant under every refinement with the annotation; see ``summarise`` for the result.

    ``words``: class -> the word that asks for it, in label order from 1.
    """
    labels = {name: label for label, name in enumerate(words, start=1)}
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    chosen = list(annotated_images(benchmark, words, images, side))
    comparisons: dict[str, list[tuple[str, Comparison]]] = {}
    for start in tqdm(range(0, len(chosen), batch_size), unit="batch", mininterval=5):
        batch = chosen[start : start + batch_size]
        with naming([annotated.name for annotated in batch]):
            recorded = record_annotated(pipe, batch, timesteps, recordings_of(variants), rng_seed)
        for annotated, maps in zip(batch, recorded, strict=True):
            for name, of_class in class_maps(annotated, maps, words):
                truth, valid = annotated.labels == labels[name], annotated.labels != IGNORE_LABEL
                with naming([annotated.name]):
                    scores = scores_of(of_class, variants)
                for variant, score in scores.items():
                    for key, refinement in refinements.items():
                        soft = refine(score, annotated.image, refinement)
                        result = compare(soft.numpy(), truth, valid, refinement.final_threshold)
                        comparisons.setdefault(f"{variant}-{key}", []).append((name, result))
    return {"images": len(chosen), "variants": {name: summarise(found) for name, found in comparisons.items()}}


def summarise(found: Sequence[tuple[str, Comparison]]) -> dict[str, Any]:
    """Means over objects; ``best_threshold`` maximises the mean IoU over all objects at once."""
    ious = np.array([result.iou for _, result in found])
    curve = np.mean([result.curve for _, result in found], axis=0)
    best = int(curve.argmax())
    names = sorted({name for name, _ in found})
    return {
        "objects": len(found),
        "iou_mean": float(ious.mean()),
        "iou_std": float(ious.std(ddof=1)) if len(ious) > 1 else 0.0,
        "best_threshold": round(float(THRESHOLDS[best]), 2),
        "best_iou": float(curve[best]),
        "auc": float(np.nanmean([result.auc for _, result in found])),
        "per_class": {name: float(np.mean([r.iou for n, r in found if n == name])) for name in names},
    }
