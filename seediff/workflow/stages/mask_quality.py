"""Stage: masks compared with a benchmark's exact annotation, without a segmenter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seediff.masks.refinement import Refinement
from seediff.workflow import layout, plan
from seediff.workflow.sources import benchmark_data, fingerprint_of
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.outputs import MaskQuality, Timesteps
from seediff.workflow.study.sections import Format
from seediff.workflow.study.values import AnyNames, Count, Fingerprint, Name, Names, Seed, Text, VariantSteps

VERSION = 2
JOB, STATE, TIMED, GPUS = "{benchmark}", "", True, 1


class Spec(BaseSpec):
    """``words``: of the prompts, where they are not the classes' names."""

    benchmark: Name
    format: Format
    folder: Text
    split: Name
    data: Fingerprint = None
    images: Count
    timesteps: Timesteps
    classes: Names
    words: Annotated[dict[Name, Text], Field(exclude_if=lambda words: not words)] = Field(default_factory=dict)
    lacks: Annotated[AnyNames, Field(exclude_if=lambda names: not names)] = ()
    rng_seed: Seed
    model: Text
    variants: VariantSteps
    refinements: Annotated[dict[Name, Refinement], Field(min_length=1)]


def spec(study: Study) -> Spec:
    """The words are those that the first image set is drawn with."""
    section = study.mask_quality
    assert isinstance(section, MaskQuality)
    benchmark = study.benchmarks[section.benchmark]
    return Spec(
        benchmark=section.benchmark,
        format=benchmark.format,
        folder=plan.benchmark_folder(study, section.benchmark),
        split=benchmark.split,
        data=fingerprint_of(study, benchmark_data(study, section.benchmark, benchmark.split)),
        images=section.images,
        timesteps=section.timesteps,
        classes=study.classes,
        words=study.prompt_set_of(next(iter(study.image_sets))).words,
        lacks=plan.lacking(study, section.benchmark, study.classes),
        rng_seed=study.rng_seed,
        model=study.diffusion.reference,
        variants={variant: study.steps(variant) for variant in section.variants},
        refinements={name: study.refinement(name) for name in section.refinements},
    )


def inputs(study: Study, benchmark: str) -> Files:
    return {"benchmark": plan.domain_files(study, benchmark), "diffusion": plan.diffusion_files(study)}


def outputs(study: Study) -> Files:
    return {"mask_quality": layout.MASK_QUALITY}


def work(study: Study) -> Iterator[Work]:
    if study.mask_quality:
        yield Work({"benchmark": study.mask_quality.benchmark})


def run(spec: Spec, output: Path) -> None:
    """Compare every variant with exact masks, no segmenter in between."""
    from seediff.datasets.benchmarks import open_benchmark
    from seediff.diffusion.mask_quality import measure
    from seediff.diffusion.synthesis import load
    from seediff.files.sealed import write_json
    from seediff.workflow.records import provenance

    result = measure(
        load(spec.model),
        open_benchmark(spec.format, Path(spec.folder), spec.split, spec.classes, spec.lacks),
        {name: spec.words.get(name, name) for name in spec.classes},
        spec.variants,
        spec.refinements,
        images=spec.images,
        timesteps=spec.timesteps,
        rng_seed=spec.rng_seed,
    )
    about = {"benchmark": spec.benchmark, "timesteps": list(spec.timesteps)}
    data = {"data": spec.data} if spec.data else {}
    write_json(output, {**about, **data, **result, "provenance": provenance(spec.model)})
