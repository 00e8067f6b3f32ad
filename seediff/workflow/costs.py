"""What a study costs, before it is run: jobs, GPU hours and disk by stage (``seediff plan``).

Unit costs are floating-point operations counted by ``benchmarks/flops.py``, and seconds and bytes measured on one
core. Operations become hours at a sustained speed that the reader chooses: no GPU was timed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from seediff.datasets.registry import FORMATS
from seediff.errors import SeediffError
from seediff.segmenter.settings import SegmenterSettings
from seediff.workflow import plan
from seediff.workflow.study import Study
from seediff.workflow.study.mask_sets import all_filtered, compared, mask_sets
from seediff.workflow.study.outputs import SceneJudge

UNET_TFLOP, TEXT_TFLOP, DECODER_TFLOP = 0.804, 0.045, 2.515
"""Stable Diffusion 2 at 512 pixels: one prompt at one timestep, one prompt, one image."""
ENCODER_TFLOP, ADAPTING_TFLOP = 1.117, 1.727
"""One image encoded; the UNet forward and backward, its weights frozen."""
ADAPTER_PARAMETERS = 207_488
"""Parameters of an adapter of all attention layers, per rank."""
RECORDING = 1.13
"""A UNet call with recording takes at most this many times as long as a call without."""
REFINE_SECONDS = 0.2
"""One mask at 512 pixels on one core: reading, PAMR with ten rounds, writing."""
FILTER_SECONDS = 0.003
"""One mask at 512 pixels read and measured on one core, without CLIP."""
CLASSES_SHOWN, BASELINES = 1.5, 2
"""Classes that an image of VOC's val shows on average; scores that mask quality compares with the variants'."""
IMAGE_BYTES, MASK_BYTES, SCORE_BYTES = 450e3, 6e3, 2 * 64 * 64
"""A PNG of a photograph at 512 pixels, its mask, one variant's score; the first two are guesses."""


@dataclass(frozen=True)
class Network:
    """TFLOP of one 512 x 512 crop, ``forward`` alone and in ``training`` (forward and backward); its ``parameters``."""

    forward: float
    training: float
    parameters: float


MASK2FORMER = {"resnet-50": Network(0.133, 0.397, 44.0e6), "swin-base": Network(0.275, 0.824, 106.9e6)}
PER_PIXEL = {"resnet-50": Network(0.043, 0.128, 23.6e6), "swin-base": Network(0.187, 0.561, 86.9e6)}
"""By backbone."""
NETWORKS = {"mask2former": MASK2FORMER, "mask2former-official": MASK2FORMER, "pixel": PER_PIXEL}
"""By architecture."""


def network(segmenter: SegmenterSettings) -> Network:
    """The costs of its network; ``KeyError`` for backbones that are not of full size."""
    return NETWORKS[segmenter.architecture][segmenter.backbone]


@dataclass(frozen=True)
class StageCost:
    """``work``: what is done, in words; ``gpu_tflop`` and ``core_seconds``: in total; ``bytes``: on disk."""

    stage: str
    jobs: int
    work: str
    gpu_tflop: float = 0.0
    core_seconds: float = 0.0
    bytes: float = 0.0


def stage_costs(study: Study) -> list[StageCost]:
    """The stages that cost something, in their order; ``SeediffError`` for a study that is not at full scale."""
    backbones = {segmenter.backbone for segmenter in study.segmenters.values()}
    if study.embedded or not backbones <= MASK2FORMER.keys():
        raise SeediffError(
            f"The costs of study {study.name!r} are not known: unit costs are known for Stable Diffusion 2 at 512\n"
            "pixels and for full-size backbones. The study mini takes about an hour on two cores: run it."
        )
    return [
        *_adapting(study),
        *_denoising(study),
        _refining(study),
        *_filtering(study),
        _training(study),
        _evaluating(study),
        *_measuring(study),
        *_judging(study),
    ]


def _adapting(study: Study) -> Iterator[StageCost]:
    for name, adaptation in study.adaptations.items():
        images = adaptation.iterations * adaptation.batch_size
        work, size = f"{adaptation.iterations:,} iterations of {name}", 4 * adaptation.rank * ADAPTER_PARAMETERS
        yield StageCost("adapter", 1, work, images * (ENCODER_TFLOP + ADAPTING_TFLOP), bytes=size)


def _denoising(study: Study) -> Iterator[StageCost]:
    runs = [("synthesize", name, drawn.variants, IMAGE_BYTES) for name, drawn in study.image_sets.items()]
    runs += [("replay", later.image_set, later.variants, 0.0) for later in study.passes.values()]
    calls = 2 * (study.diffusion.num_inference_steps + 1)  # with and without the prompt; PNDM takes one more step
    tflop = calls * UNET_TFLOP * RECORDING + 2 * TEXT_TFLOP + DECODER_TFLOP
    for stage, image_set, variants, image_bytes in runs:
        shards = plan.shards(study, image_set)
        images = sum(shard.count for shard in shards)
        size = images * (image_bytes + len(variants) * SCORE_BYTES)
        yield StageCost(stage, len(shards), f"{images:,} images of {image_set}", images * tflop, bytes=size)


def _refining(study: Study) -> StageCost:
    sets = [masks.image_set for masks in mask_sets(study)]
    number = sum(_images(study, image_set) for image_set in sets)
    jobs = sum(len(plan.parts(study, image_set)) for image_set in sets)
    return StageCost(
        "refine", jobs, f"{number:,} masks", core_seconds=number * REFINE_SECONDS, bytes=number * MASK_BYTES
    )


def _filtering(study: Study) -> Iterator[StageCost]:
    found = all_filtered(study)
    pairs = [_images(study, filtered.masks.image_set) for filtered in found]
    masks = sum(number * (1 + len(compared(study, filtered))) for number, filtered in zip(pairs, found, strict=True))
    if found:
        yield StageCost("filter", len(found), f"{sum(pairs):,} pairs", core_seconds=masks * FILTER_SECONDS)


def _images(study: Study, image_set: str) -> int:
    return sum(shard.count for shard in plan.shards(study, image_set))


def _training(study: Study) -> StageCost:
    models = plan.models(study)
    segmenters = [study.segmenters[model.split("/")[1]] for model in models]
    networks = [_networks(study, model.split("/")[0]) for model in models]
    trained = [*zip(segmenters, networks, strict=True)]
    tflop = sum(segmenter.iterations * _iteration_tflop(segmenter, count) for segmenter, count in trained)
    iterations = sum(segmenter.iterations for segmenter in segmenters)
    size = sum(4 * network(segmenter).parameters * count for segmenter, count in trained)
    return StageCost("train", len(models), f"{iterations:,} iterations", tflop, bytes=size)


def _networks(study: Study, recipe: str) -> int:
    return 2 if study.is_robust(recipe) else 1


def _iteration_tflop(segmenter: SegmenterSettings, networks: int) -> float:
    """With two networks, each looks at the batch once more, for the online labels."""
    cost = network(segmenter)
    crop = cost.training if networks == 1 else 2 * (cost.training + cost.forward)
    return segmenter.batch_size * prod(segmenter.crop_size) / 512**2 * crop


def _evaluating(study: Study) -> StageCost:
    runs = plan.runs(study)
    benchmarks = [study.benchmarks[run.benchmark] for run in runs]
    images = [FORMATS[benchmark.format].splits.get(benchmark.split, 0) for benchmark in benchmarks]
    crops = [_crops(study, run) * _networks(study, run.recipe) for run in runs]
    forward = [network(study.segmenters[run.segmenter]).forward for run in runs]
    tflop = sum(n * c * cost for n, c, cost in zip(images, crops, forward, strict=True))
    return StageCost("evaluate", len(runs), f"{sum(images):,} images", tflop)


def _measuring(study: Study) -> Iterator[StageCost]:
    if quality := study.mask_quality:
        calls = quality.images * len(quality.timesteps)
        tflop = calls * UNET_TFLOP * RECORDING + quality.images * (TEXT_TFLOP + ENCODER_TFLOP)
        scores = quality.images * CLASSES_SHOWN * (len(quality.variants) + BASELINES)
        masks = round(scores * len(quality.refinements))
        yield StageCost("mask_quality", 1, f"{masks:,} masks", tflop, core_seconds=masks * REFINE_SECONDS)


def _judging(study: Study) -> Iterator[StageCost]:
    for name, judge in study.judges.items():
        if isinstance(judge, SceneJudge):
            images = sum(judge.images)
            objects = sum(shown * number for shown, number in enumerate(judge.images, start=1))
            calls = images * len(judge.timesteps)
            tflop = calls * UNET_TFLOP * RECORDING + images * (TEXT_TFLOP + ENCODER_TFLOP)
        else:
            images = objects = _images(study, judge.image_set)
            tflop = images * network(study.segmenters[judge.segmenter]).forward
        masks = objects * len(study.judged_rows(name))
        yield StageCost("judge", 1, f"{masks:,} masks by {name}", tflop, core_seconds=masks * REFINE_SECONDS)


def _crops(study: Study, run: plan.Run) -> float:
    """About how many 512 x 512 crops have to be predicted for one image."""
    edge = study.segmenters[run.segmenter].test_edge or 512
    elongation = 2.0 if study.benchmarks[run.benchmark].format == "cityscapes" else 1.4
    overlap = 1.5 if study.segmenters[run.segmenter].test_window else 1.0
    return elongation * overlap * (edge / 512) ** 2


def total(costs: Sequence[StageCost]) -> StageCost:
    return StageCost(
        "all",
        sum(cost.jobs for cost in costs),
        "",
        sum(cost.gpu_tflop for cost in costs),
        sum(cost.core_seconds for cost in costs),
        sum(cost.bytes for cost in costs),
    )
