"""Stage: what the segmenters of a table predict on images of its benchmark, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seediff.workflow import layout, plan
from seediff.workflow.sources import benchmark_data, fingerprint_of
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.sections import Format
from seediff.workflow.study.values import AnyNames, Count, Fingerprint, Name, Names, Text

VERSION = 1
JOB, STATE, TIMED, GPUS = "{table}", "", True, 1


class Spec(BaseSpec):
    """``labels``: of the rows, in the order of their models."""

    labels: tuple[str, ...]
    images: Count
    format: Format
    folder: Text
    split: Name
    data: Fingerprint = None
    classes: Names
    lacks: Annotated[AnyNames, Field(exclude_if=lambda names: not names)] = ()


def spec(study: Study, table: str) -> Spec:
    runs = plan.pictured_runs(study, table)
    first = next(iter(runs.values()))
    section, classes = study.benchmarks[first.benchmark], study.recipe_classes(first.recipe)
    return Spec(
        labels=tuple(runs),
        images=study.segmenter_tables[table].predictions,
        format=section.format,
        folder=plan.benchmark_folder(study, first.benchmark),
        split=section.split,
        data=fingerprint_of(study, benchmark_data(study, first.benchmark, section.split)),
        classes=classes,
        lacks=plan.lacking(study, first.benchmark, classes),
    )


def inputs(study: Study, table: str) -> Files:
    runs = [*plan.pictured_runs(study, table).values()]
    return {
        "benchmark": plan.domain_files(study, runs[0].benchmark),
        "models": [plan.model_file(study, layout.WEIGHTS_FILE, run.model) for run in runs],
        "settings": [plan.model_file(study, layout.SEGMENTER, run.model) for run in runs],
    }


def outputs(study: Study) -> Files:
    return {"predictions": layout.PREDICTIONS}


def work(study: Study) -> Iterator[Work]:
    yield from (Work({"table": name}) for name in plan.pictured_tables(study))


def run(spec: Spec, models: Sequence[Path], output: Path) -> None:
    """Show what segmenters predict on images of a benchmark."""
    from seediff.datasets.benchmarks import open_benchmark
    from seediff.segmenter.evaluate import load_segmenter, predict
    from seediff.workflow.reporting.predictions import Predicted, write_predictions

    benchmark = open_benchmark(spec.format, Path(spec.folder), spec.split, spec.classes, spec.lacks)
    places = [k * len(benchmark) // spec.images for k in range(min(spec.images, len(benchmark)))]
    pairs = [benchmark[place] for place in places]
    found = {"truth": [labels for _, labels in pairs]}
    for label, model in zip(spec.labels, models, strict=True):
        segmenter = load_segmenter(model.parent)
        found[label] = [predict(segmenter, image[None])[0] for image, _ in pairs]
    names = [benchmark.items[place].name for place in places]
    write_predictions(Predicted(names, [image for image, _ in pairs], found), spec.classes, output)
