"""Stage: a LoRA adapter of the diffusion model, learnt from the target images of an adaptation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from pydantic import model_validator

from seediff.adaptation.settings import AdapterSettings
from seediff.versions import VERSIONS
from seediff.workflow import layout, plan
from seediff.workflow.sources import adaptation_data, fingerprint_of
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.sections import Format
from seediff.workflow.study.values import Fingerprint, Name, Seed, Text

VERSION = VERSIONS["adapter"]
JOB, STATE, TIMED, GPUS = "{adaptation}", layout.ADAPTER_STATE, True, 1


class Images(BaseSpec):
    """The images of a split of a data set of that format, or of a plain folder."""

    folder: Text
    format: Format | None
    split: Name | None
    data: Fingerprint = None

    @model_validator(mode="after")
    def _has_both_or_none(self) -> Images:
        if (self.format is None) != (self.split is None):
            raise ValueError("a data set has a 'format' and a 'split', a plain folder neither")
        return self


class Spec(BaseSpec):
    model: Text
    images: Images
    settings: AdapterSettings
    rng_seed: Seed


def spec(study: Study, adaptation: str) -> Spec:
    section = study.adaptations[adaptation]
    data = fingerprint_of(study, adaptation_data(study, adaptation))
    images = Images(folder=str(section.folder), format=None, split=None, data=data)
    if section.benchmark:
        folder, format = plan.benchmark_folder(study, section.benchmark), study.benchmarks[section.benchmark].format
        images = Images(folder=folder, format=format, split=section.split, data=data)
    settings = AdapterSettings(**{field.name: getattr(section, field.name) for field in fields(AdapterSettings)})
    return Spec(model=study.diffusion.reference, images=images, settings=settings, rng_seed=study.rng_seed)


def inputs(study: Study, adaptation: str) -> Files:
    benchmark = study.adaptations[adaptation].benchmark
    images = plan.domain_files(study, benchmark) if benchmark else []
    return {"images": images, "diffusion": plan.diffusion_files(study)}


def outputs(study: Study) -> Files:
    return {"weights": layout.ADAPTER_WEIGHTS, "history": layout.ADAPTER_HISTORY}


def work(study: Study) -> Iterator[Work]:
    for name, section in study.adaptations.items():
        yield Work({"adaptation": name}, kind=name, amount=section.iterations)


def run(spec: Spec, checkpoints: Path, output: Path) -> None:
    """Train an adapter; goes on from a state in the checkpoints where the same call was stopped earlier."""
    from seediff.adaptation.train import train_adapter
    from seediff.datasets.unlabelled import benchmark_images, folder_images

    where, folder = spec.images, Path(spec.images.folder)
    if where.format and where.split:
        images = benchmark_images(where.format, folder, where.split)
    else:
        images = folder_images(folder)
    train_adapter(spec.model, images, spec.settings, output, checkpoints, spec.rng_seed, VERSION)
