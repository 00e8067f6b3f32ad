"""Stage: the confusion matrices of a segmenter on a benchmark: that of all images, from which every table's numbers are
derived, and those of single images, which tell how far a number depends on which images there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from seediff.errors import SeediffError
from seediff.workflow import layout, plan
from seediff.workflow.layout import fill
from seediff.workflow.sources import benchmark_data, fingerprint_of
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.sections import Format
from seediff.workflow.study.values import AnyNames, Fingerprint, Name, Names, Repeat, Text

if TYPE_CHECKING:
    from seediff.datasets.benchmarks import Benchmark

VERSION = 2
JOB, STATE, TIMED, GPUS = layout.RUN, "", True, 1


class Tested(BaseSpec):
    """The benchmark that segmenters are tested on, and the classes they know; ``lacks``: those that are tested although
    the benchmark does not have them."""

    format: Format
    folder: Text
    split: Name
    data: Fingerprint = None
    classes: Names
    lacks: Annotated[AnyNames, Field(exclude_if=lambda names: not names)] = ()

    def open(self) -> Benchmark:
        from seediff.datasets.benchmarks import open_benchmark

        return open_benchmark(self.format, Path(self.folder), self.split, self.classes, self.lacks)


def tested(study: Study, recipe: str, benchmark: str) -> dict[str, Any]:
    """What a spec says of the benchmark that the recipe's segmenters are tested on."""
    section, classes = study.benchmarks[benchmark], study.recipe_classes(recipe)
    return {
        "format": section.format,
        "folder": plan.benchmark_folder(study, benchmark),
        "split": section.split,
        "data": fingerprint_of(study, benchmark_data(study, benchmark, section.split)),
        "classes": classes,
        "lacks": plan.lacking(study, benchmark, classes),
    }


class Spec(Tested):
    """``model``: the diffusion model whose images the segmenter was trained on, if any."""

    recipe: Name
    segmenter: Name
    repeat: Repeat
    benchmark: Name
    model: Text | None


def spec(study: Study, recipe: str, segmenter: str, repeat: str, benchmark: str) -> Spec:
    return Spec(
        recipe=recipe,
        segmenter=segmenter,
        repeat=int(repeat),
        benchmark=benchmark,
        model=study.diffusion.reference if plan.learns_from_drawn_images(study, recipe) else None,
        **tested(study, recipe, benchmark),
    )


def inputs(study: Study, recipe: str, segmenter: str, repeat: str, benchmark: str) -> Files:
    where = {"study": study.name, "recipe": recipe, "segmenter": segmenter, "repeat": repeat}
    return {
        "benchmark": plan.domain_files(study, benchmark),
        "model": fill(layout.WEIGHTS_FILE, **where),
        "segmenter": fill(layout.SEGMENTER, **where),
        "diffusion": plan.diffusion_files(study) if plan.learns_from_drawn_images(study, recipe) else [],
    }


def outputs(study: Study) -> Files:
    return {"metrics": layout.METRICS, "images": layout.IMAGE_METRICS}


def work(study: Study) -> Iterator[Work]:
    for run in plan.runs(study):
        yield Work(run.wildcards, f"{plan.network(study, run.recipe, run.segmenter)}/{run.benchmark}")


def run(spec: Spec, model: Path, output: Path, images: Path) -> None:
    """Evaluate a segmenter on a benchmark."""
    from seediff.datasets.flaws import FLAWS
    from seediff.files.sealed import write_json
    from seediff.segmenter.confusions import image_confusions, write_confusions
    from seediff.segmenter.evaluate import confusions, load_segmenter
    from seediff.workflow.records import provenance

    segmenter = load_segmenter(model)
    benchmark = spec.open()
    if segmenter.classes != benchmark.label_space.names:
        raise SeediffError(
            f"The segmenter {model} knows other classes than it is to be evaluated on: "
            f"{', '.join(segmenter.classes)}.\nTrain it again."
        )
    samples = ((item.name, *benchmark[index]) for index, item in enumerate(benchmark.items))
    found = image_confusions(confusions(segmenter, samples), len(segmenter.classes))
    names = spec.model_dump(include={"recipe", "segmenter", "repeat", "benchmark"})
    counts = {"images": len(benchmark), "classes": list(segmenter.classes), "confusion": found.total.tolist()}
    flaws = {FLAWS: dict(segmenter.flaws)} if segmenter.flaws else {}
    data = {"data": spec.data} if spec.data else {}
    write_confusions(images, found)
    write_json(output, {**names, **counts, **flaws, **data, "provenance": provenance(spec.model)})
