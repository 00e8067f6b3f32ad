"""The mask quality table: every variant against exact annotation, with the baselines it has to beat."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from seediff.errors import SeediffError
from seediff.files.sealed import read_json
from seediff.workflow.layout import MASK_QUALITY, below
from seediff.workflow.reporting.findings import Findings, standing
from seediff.workflow.reporting.formats import Heading, Note, TextGrid, number
from seediff.workflow.reporting.paired import Difference, difference_of_means
from seediff.workflow.reporting.sentences import sentence
from seediff.workflow.reporting.specs import MaskQualityTable

BASELINES = ("centre_disc", "distance")
"""Scores made without self-attention: a variant that does not beat them shows nothing."""


def is_baseline(name: str) -> bool:
    """Whether a variant's name, with or without its refinement (``distance-pamr``), is one of the baselines."""
    return name.startswith(BASELINES)


class _Variant(BaseModel):
    """What a table and a chart need of a variant."""

    objects: Annotated[int, Field(gt=0)] = 1
    iou_mean: float
    iou_std: float
    best_iou: float
    best_threshold: float
    auc: float


class _MaskQuality(BaseModel):
    images: Annotated[int, Field(gt=0)]
    variants: Annotated[dict[str, _Variant], Field(min_length=1)]


def read_mask_quality(path: Path) -> dict[str, Any]:
    """The content of ``mask_quality/<benchmark>.json``; ``SeediffError`` naming it if it is broken."""
    content = read_json(path, "Mask quality file")
    try:
        _MaskQuality.model_validate(content, strict=True)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise SeediffError(
            f"Mask quality file {path} is broken (at {where!r}).\nDelete it and run the workflow again."
        ) from None
    return dict(content)


def mask_quality_frame(spec: MaskQualityTable, results_folder: Path) -> pd.DataFrame:
    """One line per variant, the best last, then baselines; IoU in percent with its standard error, AUC in [0, 1]."""
    path = below(results_folder, MASK_QUALITY, benchmark=spec.benchmark)
    if not path.is_file():
        raise SeediffError(f"There is no {path}.\nMake it: snakemake --cores all {shlex.quote(str(path))}")
    content = read_mask_quality(path)
    lines = [_mask_quality_line(name, variant, content["images"]) for name, variant in content["variants"].items()]
    return pd.DataFrame(sorted(lines, key=lambda line: (line["baseline"], line["iou"]))).assign(source=str(path))


def _mask_quality_line(name: str, variant: Mapping[str, Any], images: int) -> dict[str, Any]:
    count = variant.get("objects", images)
    return {
        "variant": name,
        "baseline": is_baseline(name),
        "iou": round(100 * variant["iou_mean"], 1),
        "standard_error": round(100 * variant["iou_std"] / math.sqrt(count), 1),
        "best_iou": round(100 * variant["best_iou"], 1),
        "best_threshold": variant["best_threshold"],
        "auc": round(variant["auc"], 3),
        "n": count,
    }


def mask_quality_findings(spec: MaskQualityTable, results_folder: Path) -> Findings:
    """Which variant is ahead of all others, baselines among them.

    Single objects are not kept, so the interval is that of two independent means: wider than need be.
    """
    path = below(results_folder, MASK_QUALITY, benchmark=spec.benchmark)
    content = read_mask_quality(path)
    means = {name: 100 * variant["iou_mean"] for name, variant in content["variants"].items()}
    errors = {
        name: 100 * variant["iou_std"] / math.sqrt(variant.get("objects", content["images"]))
        for name, variant in content["variants"].items()
    }

    def difference(first: str, second: str) -> Difference:
        return difference_of_means(means[first] - means[second], errors[first], errors[second])

    ordered = sorted(means, key=lambda name: -means[name])
    standings = (standing("", ordered, str, difference),) if len(ordered) > 1 else ()
    findings = Findings(spec.name, spec.title, "", "IoU", repeats=0, standings=standings)
    return replace(findings, shows=sentence(findings))


def mask_quality_grid(spec: MaskQualityTable, frame: pd.DataFrame, findings: Findings) -> TextGrid:
    """An IoU is bold that is ahead of all others beyond its interval; of the other columns no interval is known."""
    columns = (
        Heading("variant", numeric=False),
        Heading("IoU", "at β"),
        Heading("standard error"),
        Heading("IoU", "at the best threshold"),
        Heading("best threshold"),
        Heading("AUC"),
    )
    rows = tuple(
        (
            f"{line['variant']} (baseline)" if line["baseline"] else line["variant"],
            number(line["iou"]),
            number(line["standard_error"]),
            number(line["best_iou"]),
            number(line["best_threshold"], ".2f"),
            number(line["auc"], ".3f"),
        )
        for line in frame.to_dict("records")
    )
    ahead = [standing.rows[0] for standing in findings.standings if not standing.level]
    bold = frozenset((place, 1) for place, name in enumerate(frame["variant"]) if name in ahead)
    caption = f"{spec.caption} IoU in percent, mean over {frame['n'].max()} masks with its standard error.".strip()
    notes = (
        Note("The best threshold is chosen on the same images, one for all: an upper bound, not a result."),
        Note("Baselines: a disc in the centre, and SeeDiff with its self-attention replaced by mere distance."),
    )
    return TextGrid(spec.name, spec.title, caption, columns, rows, bold, notes, shows=findings.shows)
