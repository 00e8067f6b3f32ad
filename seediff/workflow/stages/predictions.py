"""Stage: what the segmenters of a table predict on images of its benchmark, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from seediff.workflow import layout, plan
from seediff.workflow.stage import Files, Work
from seediff.workflow.stages.evaluate import Tested, tested
from seediff.workflow.study import Study
from seediff.workflow.study.values import Count

VERSION = 1
JOB, STATE, TIMED, GPUS = "{table}", "", True, 1


class Spec(Tested):
    """``labels``: of the rows, in the order of their models."""

    labels: tuple[str, ...]
    images: Count


def spec(study: Study, table: str) -> Spec:
    runs = plan.pictured_runs(study, table)
    first = next(iter(runs.values()))
    return Spec(
        labels=tuple(runs),
        images=study.segmenter_tables[table].predictions,
        **tested(study, first.recipe, first.benchmark),
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
    from seediff.segmenter.evaluate import load_segmenter, predict
    from seediff.workflow.reporting.predictions import Predicted, write_predictions

    benchmark = spec.open()
    places = [k * len(benchmark) // spec.images for k in range(min(spec.images, len(benchmark)))]
    pairs = [benchmark[place] for place in places]
    found = {"truth": [labels for _, labels in pairs]}
    for label, model in zip(spec.labels, models, strict=True):
        segmenter = load_segmenter(model.parent)
        found[label] = [predict(segmenter, image[None])[0] for image, _ in pairs]
    names = [benchmark.items[place].name for place in places]
    write_predictions(Predicted(names, [image for image, _ in pairs], found), spec.classes, output)
