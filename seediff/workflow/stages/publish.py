"""Stages: tables and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seediff.datasets.images import read_png
from seediff.names import MASK_QUALITY, slug
from seediff.workflow.plan import models
from seediff.workflow.provenance import provenance
from seediff.workflow.reporting.figures import bar_chart, training_curves
from seediff.workflow.reporting.mask_quality import read_mask_quality
from seediff.workflow.reporting.report import stage_times, write_report
from seediff.workflow.reporting.specs import MaskQualitySpec, TableSpec
from seediff.workflow.reporting.tables import write_table
from seediff.workflow.study import Study


def tabulate_results(spec: Mapping[str, Any], results: Path, output: Path) -> None:
    """Write one table in its five forms; ``output`` is their common path without suffix."""
    kind = MaskQualitySpec if spec["name"] == MASK_QUALITY else TableSpec
    write_table(kind.from_dict(spec), results, output)


def publish_report(spec: Mapping[str, Any], results: Path, output: Path) -> None:
    """Write the report from the study's tables, strips and histories."""
    study = Study.model_validate(spec["study"])
    write_report(
        study_info=_about(study),
        tables=[results / "tables" / f"{table}.html" for table in spec["tables"]],
        strips=[(name, read_png(results / "strips" / f"{slug(name)}.png")) for name in spec["strips"]],
        figures=_figures(spec["figures"], results),
        curves=_charts(study, results),
        provenance=provenance(study.diffusion.reference),
        out=output,
        stages=stage_times(results),
    )


def _figures(names: Sequence[str], results: Path) -> list[tuple[str, str, bytes]]:
    """Title, caption and picture of every figure."""
    from seediff.workflow.reporting.galleries import GALLERIES

    titles = {name: f"Figure {name.removeprefix('figure')}: {GALLERIES[name].title}" for name in names}
    folder = results / "figures"
    return [(titles[name], GALLERIES[name].caption, read_png(folder / f"{name}.png")) for name in names]


def _charts(study: Study, results: Path) -> dict[str, bytes]:
    """Mask quality as bars, where the study measures it, and the training curves."""
    histories: dict[str, list[Path]] = {}
    for model in models(study):
        histories.setdefault(model.rsplit("/", 1)[0], []).append(results / "models" / model / "history.csv")
    caption = "Training loss of every recipe, a line for each repeat; grey: the range of all runs of the same segmenter"
    curves = {caption: training_curves(histories)}
    if study.mask_quality is None:
        return curves
    quality = read_mask_quality(results / "mask_quality" / f"{study.mask_quality.benchmark}.json")
    return {"Mask quality: IoU with exact masks, with its standard error": bar_chart(quality), **curves}


def _about(study: Study) -> dict[str, Any]:
    images = {name: study.prompt_sets[one.prompt_set].per_class for name, one in study.image_sets.items()}
    facts = {
        "diffusion_model": study.diffusion.reference,
        "denoising_steps": study.diffusion.num_inference_steps,
        "guidance_scale": study.diffusion.guidance_scale,
        "classes": list(study.classes),
        "images_per_class": images,
        "segmenters": [f"{key} ({one.backbone}, {one.iterations} iterations)" for key, one in study.segmenters.items()],
        "thresholds": study.thresholds.model_dump(),
    }
    shared = {"name": study.name, "title": study.title, "embedded": study.embedded, "repeats": study.repeats}
    return {**shared, "rng_seed": study.rng_seed, "facts": facts, "notes": study.notes}
