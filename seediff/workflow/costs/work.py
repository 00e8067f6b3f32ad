"""How much work each job of a study does, in units that have prices: calls of the UNet, masks, crops of a segmenter.

The counts are those of the study's settings. What a unit costs differs between studies at full scale (``full_size``)
and embedded ones (``embedded``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from seediff.attention.calls import LookAgain
from seediff.masks.refinement import Refinement
from seediff.masks.variants import calls_of
from seediff.segmenter.settings import SegmenterSettings
from seediff.workflow import plan
from seediff.workflow.graph import Job
from seediff.workflow.study import Study
from seediff.workflow.study.data_formats import number_of_images
from seediff.workflow.study.mask_sets import Filtered, MaskSet, compared
from seediff.workflow.study.outputs import SceneJudge

EVERY_STAGE = 5
"""Of a ResNet, its stem counted as the first."""
STORED = "stored "
"""How units begin that take up room on the disk, and no time beyond that of making them."""


@dataclass(frozen=True)
class Work:
    """What a job does: ``number`` of ``things``, for people, and how often each unit of work is done."""

    number: float
    things: str
    units: Mapping[str, float]


def work_of(study: Study, job: Job) -> Work:
    """The work of one job of the study."""
    counted = _COUNTED[job.stage](study, job) if job.stage in _COUNTED else Work(job.amount, "", {})
    return Work(counted.number, counted.things, {f"start of {job.stage}": 1, **counted.units})


def network_name(segmenter: SegmenterSettings) -> str:
    """A kind of network, as units name it."""
    return f"{segmenter.architecture} {segmenter.backbone}"


def learnt_name(segmenter: SegmenterSettings) -> str:
    """What of the network is learnt, as units name it: all of it, or its head, if the whole backbone is frozen."""
    name = network_name(segmenter)
    return f"head of {name}" if segmenter.freeze_at == EVERY_STAGE else name


def crop_area(segmenter: SegmenterSettings) -> float:
    """A crop's area, by that of 512 x 512 pixels."""
    return prod(segmenter.crop_size) / 512**2


def _adapter(study: Study, job: Job) -> Work:
    adaptation = study.adaptations[job.wildcards["adaptation"]]
    images = adaptation.iterations * adaptation.batch_size
    units = {"encoded image": images, "adapting call": images, "stored adapter rank": adaptation.rank}
    return Work(adaptation.iterations, f"iterations of {job.kind}", units)


def _synthesize(study: Study, job: Job) -> Work:
    image_set = job.wildcards["image_set"]
    variants = study.image_sets[image_set].variants
    drawn, looks = _drawing(study, job.amount), _looking(study, variants, job.amount)
    stored = {"stored image": job.amount, "stored score": job.amount * len(variants)}
    return Work(job.amount, f"images of {image_set}", _sum(drawn, looks, stored))


def _replay(study: Study, job: Job) -> Work:
    section = study.passes[job.wildcards["pass_name"]]
    looks = _looking(study, section.variants, job.amount)
    finished = all(isinstance(calls_of(study.steps(variant)), LookAgain) for variant in section.variants)
    drawn = {} if finished else _drawing(study, job.amount)
    stored = {"stored score": job.amount * len(section.variants)}
    return Work(job.amount, f"images of {section.image_set}", _sum(drawn, looks, stored))


def _drawing(study: Study, images: float) -> dict[str, float]:
    """Classifier-free guidance calls the UNet with and without the prompt; PNDM takes one more step."""
    halves = 2 if study.diffusion.guidance_scale > 1 else 1
    steps = study.diffusion.num_inference_steps + (0 if study.embedded else 1)
    return {"UNet call": images * halves * steps, "prompt": images * halves, "drawn image": images}


def _looking(study: Study, variants: tuple[str, ...], images: float) -> dict[str, float]:
    """Every other look at finished images calls the UNet once."""
    looks = {calls for calls in (calls_of(study.steps(name)) for name in variants) if isinstance(calls, LookAgain)}
    return _looks(images, len(looks)) if looks else {}


def _looks(images: float, calls: int) -> dict[str, float]:
    return {"encoded image": images, "prompt": images, "UNet call": images * calls}


def _refine(study: Study, job: Job) -> Work:
    masks = _masks(study.refinement(job.wildcards["refinement"]), job.amount)
    return Work(job.amount, "masks", {**masks, "stored mask": job.amount})


def _masks(refinement: Refinement, number: float) -> dict[str, float]:
    """A round of PAMR compares each pixel with its neighbours at one distance, once."""
    rounds = refinement.pamr.iterations * len(refinement.pamr.dilations) if refinement.pamr else 0
    return {"mask": number, "round of PAMR": number * rounds}


def _filter(study: Study, job: Job) -> Work:
    names = job.wildcards
    masks = MaskSet(names["image_set"], names["variant"], names["refinement"])
    others = compared(study, Filtered(masks, names["filter"]))
    return Work(job.amount, "pairs", {"measured mask": job.amount * (1 + len(others))})


def _train(study: Study, job: Job) -> Work:
    """With two networks, each looks at the batch once more, for the online labels."""
    segmenter = study.segmenters[job.wildcards["segmenter"]]
    name, networks = network_name(segmenter), 2 if study.is_robust(job.wildcards["recipe"]) else 1
    crops = networks * segmenter.iterations * segmenter.batch_size * crop_area(segmenter)
    units = {
        f"iteration of {name}": networks * segmenter.iterations,
        f"crop learnt by {learnt_name(segmenter)}": crops,
        f"crop seen by {name}": crops if networks > 1 else 0.0,
        f"stored network {name}": float(networks),
    }
    return Work(segmenter.iterations, "iterations", units)


def _evaluate(study: Study, job: Job) -> Work:
    names = job.wildcards
    segmenter, images = study.segmenters[names["segmenter"]], _images_of(study, names["benchmark"])
    crops = images * _crops(study, segmenter, names["benchmark"]) * (2 if study.is_robust(names["recipe"]) else 1)
    units = {"annotated image": images, f"crop seen by {network_name(segmenter)}": crops}
    return Work(images, "images", units)


def _images_of(study: Study, benchmark: str) -> int:
    section = study.benchmarks[benchmark]
    if section.embedded:
        return int(getattr(section.embedded, section.split))
    return number_of_images(section)


def _crops(study: Study, segmenter: SegmenterSettings, benchmark: str) -> float:
    """About how many 512 x 512 crops have to be predicted for one image."""
    if study.benchmarks[benchmark].embedded:
        return (64 / 512) ** 2
    edge = segmenter.test_edge or 512
    elongation = 2.0 if study.benchmarks[benchmark].format == "cityscapes" else 1.4
    overlap = 1.5 if segmenter.test_window else 1.0
    return elongation * overlap * (edge / 512) ** 2


def _domain(study: Study, job: Job) -> Work:
    section = study.benchmarks[job.wildcards["benchmark"]].embedded
    images = section.train + section.val if section else 0
    return Work(images, "images", {"rendered image": images})


def _judge(study: Study, job: Job) -> Work:
    name = job.wildcards["judge"]
    judge, rows = study.judges[name], study.judged_rows(name)
    if isinstance(judge, SceneJudge):
        images = sum(judge.images)
        objects = sum(shown * number for shown, number in enumerate(judge.images, start=1))
        looks = _looks(images, len(judge.timesteps))
    else:
        images = objects = sum(shard.count for shard in plan.shards(study, judge.image_set))
        area = (64 / 512) ** 2 if study.embedded else 1.0
        looks = {f"crop seen by {network_name(study.segmenters[judge.segmenter])}": images * area}
    masks = [_masks(study.refinement(refinement), objects) for _, refinement in rows]
    return Work(objects * len(rows), f"masks by {name}", _sum(looks, *masks))


def _strips(study: Study, job: Job) -> Work:
    classes = study.image_set_classes(next(iter(study.image_sets)))
    return Work(len(classes), "images", _drawing(study, len(classes)))


def _figures(study: Study, job: Job) -> Work:
    shown = study.figures
    images = len(shown.classes) * shown.candidates + len(shown.open) if shown else 0
    return Work(images, "images", _drawing(study, images))


def _sum(*parts: Mapping[str, float]) -> dict[str, float]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0.0) for part in parts) for name in names}


_COUNTED: dict[str, Callable[[Study, Job], Work]] = {
    "domain": _domain,
    "adapter": _adapter,
    "synthesize": _synthesize,
    "replay": _replay,
    "refine": _refine,
    "filter": _filter,
    "train": _train,
    "evaluate": _evaluate,
    "judge": _judge,
    "strips": _strips,
    "figures": _figures,
}
"""By stage; the others take little beyond their start."""
