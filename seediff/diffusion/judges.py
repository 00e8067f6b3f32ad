"""Two judges of masks: exact annotation, and a segmenter that was trained on it long enough to be relied on.

- Scenes: images of a benchmark, noised, recorded and compared with their annotation, by how many classes they show. The
  annotation is exact, but noised scenes are not what the model draws.
- A reference: drawn images with the scores recorded while they were drawn, compared with what the segmenter says is in
  them. These are the pairs that training uses, but the judge errs as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from seediff.datasets.benchmarks import Benchmark
from seediff.datasets.classes import IGNORE_LABEL
from seediff.datasets.images import Array, decode_rgb
from seediff.datasets.shards import check_same_model, read_manifest, read_shard
from seediff.diffusion.looking import check_looks
from seediff.diffusion.scenes import AnnotatedScene, annotated_scenes, class_maps, record_scenes
from seediff.errors import SeediffError
from seediff.finite import naming, within
from seediff.masks.judging import Verdict, judge
from seediff.masks.refinement import Refinement, refine_all
from seediff.masks.shards import SCORES, class_of, read_score
from seediff.masks.variants import apply, calls_of, recordings_of
from seediff.segmenter.evaluate import Segmenter, predict

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from torch import Tensor

Row = tuple[str, str]
"""Variant and refinement of a row of a table."""

DRAWN = "drawn"
"""The one stratum of drawn images."""


def stratum(classes: int) -> str:
    """The name of the scenes that show so many classes."""
    return "one class" if classes == 1 else f"{classes} classes"


@dataclass(frozen=True)
class Judgement:
    """One object of an image (H, W, 3): where it is (H, W), and each row's mask (H, W) and the verdict on it."""

    stratum: str
    name: str
    image: Array
    truth: NDArray[np.bool_]
    masks: Mapping[Row, NDArray[np.bool_]]
    verdicts: Mapping[Row, Verdict]


def judge_scenes(
    pipe: StableDiffusionPipeline,
    benchmark: Benchmark,
    words: Mapping[str, str],
    variants: Mapping[str, Any],
    refinements: Mapping[str, Refinement],
    rows: Sequence[Row],
    images: Sequence[int],
    timesteps: Sequence[int],
    rng_seed: int,
    batch_size: int = 8,
) -> Iterator[Judgement]:
    """Judge every row on the first ``images[k - 1]`` images that show k classes, which the prompts name.

    ``words``: class -> the word that asks for it, in label order from 1. ``timesteps``: those that stand for a
    denoising run. ``SeediffError`` if the benchmark has fewer images.
    """
    labels = {name: label for label, name in enumerate(words, start=1)}
    check_looks(pipe)
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    scenes = [*scenes_by_classes(benchmark, words, images, side)]
    for start in tqdm(range(0, len(scenes), batch_size), unit="batch", mininterval=5):
        batch = scenes[start : start + batch_size]
        with naming([scene.name for scene in batch]):
            recorded = record_scenes(pipe, batch, timesteps, recordings_of(variants), rng_seed)
        for scene, maps in zip(batch, recorded, strict=True):
            for shown, of_class in class_maps(scene, maps, words):
                truth, valid = scene.labels == labels[shown], scene.labels != IGNORE_LABEL
                with naming([scene.name]):
                    scores = {name: _score(name, steps, of_class[calls_of(steps)]) for name, steps in variants.items()}
                    masks, verdicts = _judged(rows, scores, refinements, scene.image, truth, valid)
                yield Judgement(stratum(len(scene.classes)), shown, scene.image, truth, masks, verdicts)


def scenes_by_classes(
    benchmark: Benchmark, words: Mapping[str, str], images: Sequence[int], side: int
) -> Iterator[AnnotatedScene]:
    """The benchmark's first ``images[k - 1]`` images that show k classes, in its order."""
    missing = {classes: number for classes, number in enumerate(images, start=1) if number}
    for scene in annotated_scenes(benchmark, words, side):
        if missing.get(len(scene.classes)):
            missing[len(scene.classes)] -= 1
            yield scene
        if not any(missing.values()):
            return
    short = ", ".join(f"{number} with {stratum(classes)}" for classes, number in missing.items() if number)
    raise SeediffError(f"The benchmark lacks images: {short}.\nAsk for fewer, or give it more.")


def _score(variant: str, steps: Any, maps: Any) -> Tensor:
    with within(f"variant {variant!r}"):
        return apply(steps, maps)


def _judged(
    rows: Sequence[Row],
    scores: Mapping[str, Tensor],
    refinements: Mapping[str, Refinement],
    image: Array,
    truth: NDArray[np.bool_],
    valid: NDArray[np.bool_],
) -> tuple[dict[Row, NDArray[np.bool_]], dict[Row, Verdict]]:
    """Every row's mask, and the verdict on it."""
    masks, verdicts = {}, {}
    for name, refinement in refinements.items():
        of_name = [row for row in rows if row[1] == name]
        refined = refine_all([scores[variant] for variant, _ in of_name], image, refinement).cpu().numpy()
        for row, soft in zip(of_name, refined, strict=True):
            masks[row] = soft >= refinement.final_threshold
            verdicts[row] = judge(soft, truth, valid, refinement.final_threshold)
    return masks, verdicts


def judge_drawn(
    segmenter: Segmenter,
    images: Sequence[Path],
    scores: Sequence[Path],
    refinements: Mapping[str, Refinement],
    rows: Sequence[Row],
) -> Iterator[Judgement]:
    """Judge every row on the drawn images of all shards.

    ``scores``: a shard for each shard of images. An image in which the segmenter sees nothing of its class is left out:
    there is nothing to compare its mask with. ``SeediffError`` if that is so in all of them.
    """
    check_same_model((path, read_manifest(path).model) for path in (*images, *scores))
    variants, sees_nothing = {variant for variant, _ in rows}, True
    for shard, of_shard in zip(tqdm(images, unit="shard", mininterval=5), scores, strict=True):
        for sample, scored in zip(read_shard(shard), read_shard(of_shard), strict=True):
            if sample.key != scored.key:
                raise SeediffError(f"{shard} and {of_shard} hold different images ({sample.key}, {scored.key}).")
            image = decode_rgb(sample.files.get("png", b""), f"{sample.key}.png in {shard}")
            name = class_of(sample, shard, segmenter.classes)
            truth = predict(segmenter, image[None])[0] == segmenter.classes.index(name)
            if truth.any():
                sees_nothing = False
                written, content = f"{scored.key}.{SCORES} in {of_shard}", scored.files.get(SCORES, b"")
                scores_of = {variant: read_score(content, written, variant) for variant in variants}
                masks, verdicts = _judged(rows, scores_of, refinements, image, truth, np.ones_like(truth))
                yield Judgement(DRAWN, name, image, truth, masks, verdicts)
    if sees_nothing:
        raise SeediffError("The judge sees nothing of their classes in any of the images.\nTrain it longer.")
