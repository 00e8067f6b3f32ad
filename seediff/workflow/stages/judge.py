"""Stage: masks judged by exact annotation, or by a segmenter that has learnt from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field, Tag

from seediff.masks.refinement import Refinement
from seediff.workflow import layout, plan
from seediff.workflow.layout import fill, manifest
from seediff.workflow.sources import benchmark_data, fingerprint_of
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.outputs import ReferenceJudge, SceneJudge, Timesteps
from seediff.workflow.study.sections import Format
from seediff.workflow.study.values import AnyNames, Fingerprint, Name, Names, Seed, Text, VariantSteps

if TYPE_CHECKING:
    from seediff.diffusion.judges import Judgement

VERSION = 1
JOB, STATE, TIMED, GPUS = "{judge}", "", True, 1


class Judged(BaseSpec):
    """``rows``: the variant and refinement of every row."""

    rows: Annotated[tuple[tuple[Name, Name], ...], Field(min_length=1)]
    refinements: Annotated[dict[Name, Refinement], Field(min_length=1)]


class Scenes(Judged):
    """``words``: of the prompts, where they are not the classes' names."""

    benchmark: Name
    format: Format
    folder: Text
    split: Name
    data: Fingerprint = None
    images: tuple[int, ...]
    timesteps: Timesteps
    classes: Names
    words: dict[Name, Text]
    lacks: AnyNames
    rng_seed: Seed
    model: Text
    variants: VariantSteps


class Reference(Judged):
    """``model``: the diffusion model that drew the images, which are judged."""

    model: Text


def _kind(content: Any) -> str:
    is_of_scenes = "timesteps" in content if isinstance(content, dict) else isinstance(content, Scenes)
    return "Scenes" if is_of_scenes else "Reference"


Spec = Annotated[Annotated[Scenes, Tag("Scenes")] | Annotated[Reference, Tag("Reference")], Discriminator(_kind)]


def spec(study: Study, judge: str) -> Scenes | Reference:
    section, rows = study.judges[judge], tuple(study.judged_rows(judge))
    refinements = {name: study.refinement(name) for _, name in rows}
    if isinstance(section, ReferenceJudge):
        return Reference(rows=rows, refinements=refinements, model=study.diffusion.reference)
    benchmark = study.benchmarks[section.benchmark]
    return Scenes(
        rows=rows,
        refinements=refinements,
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
        model=section.model or study.diffusion.reference,
        variants={variant: study.steps(variant) for variant, _ in rows},
    )


def inputs(study: Study, judge: str) -> Files:
    section = study.judges[judge]
    if isinstance(section, SceneJudge):
        model = section.model or study.diffusion.model
        return {
            "benchmark": plan.domain_files(study, section.benchmark),
            "diffusion": plan.model_files(model),
            "images": [],
            "scores": [],
            "model": [],
        }
    shards = plan.shards(study, section.image_set)
    of_set = {"study": study.name, "image_set": section.image_set}
    images = [fill(layout.IMAGES, **of_set, **shard.wildcards) for shard in shards]
    scores = [fill(layout.SCORES, **of_set, **shard.wildcards) for shard in shards]
    run = plan.run_of_reference(section)
    trained = [plan.model_file(study, template, run.model) for template in (layout.WEIGHTS_FILE, layout.SEGMENTER)]
    return {
        "benchmark": [],
        "diffusion": plan.diffusion_files(study),
        "images": images,
        "scores": scores,
        "manifests": [manifest(path) for path in (*images, *scores)],
        "model": trained,
    }


def outputs(study: Study) -> Files:
    return {"judged": layout.JUDGED, "picture": layout.JUDGED_PICTURE}


def work(study: Study) -> Iterator[Work]:
    yield from (Work({"judge": name}, name) for name in plan.judges(study))


CANDIDATES = 200
"""The first objects, from which those of the picture are taken."""


def run(
    spec: Spec, images: Sequence[Path], scores: Sequence[Path], model: Sequence[Path], output: Path, picture: Path
) -> None:
    """Judge every row's masks, and show some of them."""
    from seediff.files.sealed import write_json
    from seediff.masks.judging import Verdict, summarise
    from seediff.workflow.records import provenance
    from seediff.workflow.reporting.judged_picture import write_picture

    found: dict[tuple[str, str], dict[str, list[Verdict]]] = {row: {} for row in spec.rows}
    shown: list[Judgement] = []
    for judgement in _scenes(spec) if isinstance(spec, Scenes) else _drawn(spec, images, scores, model):
        for row, verdict in judgement.verdicts.items():
            found[row].setdefault(judgement.stratum, []).append(verdict)
        shown += [judgement] if len(shown) < CANDIDATES else []
    rows = {
        f"{variant}-{refinement}": {name: summarise(strata[name]) for name in sorted(strata, key=_by_classes)}
        for (variant, refinement), strata in found.items()
    }
    write_picture(shown, picture)
    write_json(output, {"rows": rows, "provenance": provenance(spec.model)})


def _by_classes(stratum: str) -> tuple[bool, str]:
    """One class before two classes, which are written as a number."""
    return stratum[0].isdigit(), stratum


def _scenes(spec: Scenes) -> Iterator[Judgement]:
    from seediff.datasets.benchmarks import open_benchmark
    from seediff.diffusion.judges import judge_scenes
    from seediff.diffusion.loading import load

    return judge_scenes(
        load(spec.model),
        open_benchmark(spec.format, Path(spec.folder), spec.split, spec.classes, spec.lacks),
        {name: spec.words.get(name, name) for name in spec.classes},
        spec.variants,
        spec.refinements,
        spec.rows,
        spec.images,
        spec.timesteps,
        spec.rng_seed,
    )


def _drawn(
    spec: Reference, images: Sequence[Path], scores: Sequence[Path], model: Sequence[Path]
) -> Iterator[Judgement]:
    from seediff.diffusion.judges import judge_drawn
    from seediff.segmenter.evaluate import load_segmenter

    return judge_drawn(load_segmenter(model[0].parent), images, scores, spec.refinements, spec.rows)
