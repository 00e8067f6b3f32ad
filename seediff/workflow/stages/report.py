"""Stage: the report, one self-contained page that shows the whole study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from seediff.names import slug
from seediff.workflow import layout, plan
from seediff.workflow.layout import below
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.stages import figures, strips, tabulate
from seediff.workflow.study import Study
from seediff.workflow.study.references import check_references
from seediff.workflow.study.values import Name

if TYPE_CHECKING:
    from seediff.workflow.reporting.findings import Findings
    from seediff.workflow.reporting.formats import TextGrid

VERSION = 5
JOB, STATE, TIMED, GPUS = "", "", False, 0


def _sound(study: Study) -> Study:
    check_references(study)
    return study


class Spec(BaseSpec):
    study: Annotated[Study, AfterValidator(_sound)]
    tables: list[Name]
    strips: list[Name]
    figures: list[plan.Figure]


def spec(study: Study) -> Spec:
    shown = plan.FIGURES if study.figures else ()
    classes = strips.spec(study).prompts.classes
    return Spec(study=study, tables=[*study.tables], strips=[*classes], figures=[*shown])


def inputs(study: Study) -> Files:
    return {
        "tables": [path for table in study.tables for path in tabulate.files(study, table)],
        "strips": strips.files(study),
        "figures": figures.files(study, ["png"]),
        "judged": [*plan.judged_pictures(study).values()],
        "predictions": [*plan.prediction_pictures(study).values()],
        "diffusion": plan.diffusion_files(study),
        "histories": [plan.model_file(study, layout.HISTORY, model) for model in plan.models(study)],
    }


def outputs(study: Study) -> Files:
    return {"report": layout.REPORT}


def work(study: Study) -> Iterator[Work]:
    yield Work()


def run(spec: Spec, results: Path, output: Path) -> None:
    """Write the report: one self-contained page."""
    from seediff.datasets.images import read_png
    from seediff.workflow.records import provenance
    from seediff.workflow.reporting.report import write_report

    study = spec.study
    write_report(
        study_info=_about(study),
        tables=[_table(results, table) for table in spec.tables],
        strips=[(name, read_png(below(results, layout.STRIP, class_slug=slug(name)))) for name in spec.strips],
        figures=[*_predictions(study, results), *_figures(spec.figures, results), *_judged(study, results)],
        curves=_curves(study, results),
        provenance=_software(provenance(study.diffusion.reference)),
        out=output,
    )


def _table(results: Path, table: str) -> tuple[TextGrid, Findings]:
    from seediff.workflow.reporting.findings import read_findings
    from seediff.workflow.reporting.formats import read_grid

    grid, verdicts = (below(results, layout.TABLE, table=table, suffix=kind) for kind in ("grid.json", "verdicts.json"))
    return read_grid(grid), read_findings(verdicts)


def _software(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What the results follow from; not the machine, which would change a published report without a reason."""
    return {key: value for key, value in provenance.items() if key != "machine"}


def _about(study: Study) -> dict[str, Any]:
    segmenters = study.segmenters.items()
    facts = {
        "diffusion_model": study.diffusion.reference,
        "denoising_steps": study.diffusion.num_inference_steps,
        "guidance_scale": study.diffusion.guidance_scale,
        "classes": list(study.classes),
        "images_per_class": {name: study.prompt_set_of(name).number for name in study.image_sets},
        "segmenters": [f"{name} ({row.backbone}, {row.iterations} iterations)" for name, row in segmenters],
        "thresholds": study.thresholds.model_dump(),
    }
    shared = {"name": study.name, "title": study.title, "embedded": study.embedded, "repeats": study.repeats}
    return {**shared, "rng_seed": study.rng_seed, "facts": facts, "samples": _samples(study), "notes": study.notes}


def _samples(study: Study) -> str:
    """By which rule the images were chosen that the report shows."""
    rules = ["No image was chosen by eye. The strips show the first image of each class."]
    if study.figures:
        rules.append(
            "Figures show the first image of each class, or of each open prompt; Figure 5 the worst of the first "
            f"{study.figures.candidates} of each class, by what its caption says."
        )
    if plan.pictured_tables(study):
        rules.append("Predictions are shown on images at equal distances in the benchmark.")
    if plan.judges(study):
        rules.append("Judged masks are shown at equal distances in their order from the worst to the best.")
    return " ".join(rules)


def _figures(names: Sequence[str], results: Path) -> list[tuple[str, str, bytes]]:
    """Title, caption and picture of every figure."""
    from seediff.datasets.images import read_png
    from seediff.workflow.reporting.galleries import GALLERIES

    titles = {name: f"Figure {name.removeprefix('figure')}: {GALLERIES[name].title}" for name in names}
    files = {name: below(results, layout.FIGURE, figure=name, suffix="png") for name in names}
    return [(titles[name], GALLERIES[name].caption, read_png(files[name])) for name in names]


def _predictions(study: Study, results: Path) -> list[tuple[str, str, bytes]]:
    """Title, caption and picture of what each table's segmenters predict."""
    from seediff.datasets.images import read_png

    caption = "The same benchmark images, their truth, and what the first repeat of each row predicts."
    files = {name: below(results, layout.PREDICTIONS, table=name) for name in plan.pictured_tables(study)}
    return [
        (f"Predictions: {study.segmenter_tables[name].title}", caption, read_png(path)) for name, path in files.items()
    ]


def _judged(study: Study, results: Path) -> list[tuple[str, str, bytes]]:
    """Title, caption and picture of the masks that each judge has compared."""
    from seediff.datasets.images import read_png

    caption = "The same images with the masks of every row, red, from the worst on the left to the best."
    files = {name: below(results, layout.JUDGED_PICTURE, judge=name) for name in plan.judges(study)}
    return [(f"Masks that the judge '{name}' has compared", caption, read_png(path)) for name, path in files.items()]


def _curves(study: Study, results: Path) -> dict[str, bytes]:
    """The training curves by their caption."""
    from seediff.workflow.reporting.charts import training_curves

    files, histories = layout.Results(study.name, results), dict[str, list[Path]]()
    for model in plan.models(study):
        history = files.path(plan.model_file(study, layout.HISTORY, model))
        histories.setdefault(model.rsplit("/", 1)[0], []).append(history)
    caption = "Training loss of every recipe, a line for each repeat; grey: the range of all runs of the same segmenter"
    return {caption: training_curves(histories)}
