"""The mask quality table: every variant against exact annotation, with the baselines it has to beat."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from seediff.errors import SeediffError
from seediff.files.sealed import read_json
from seediff.workflow.layout import MASK_QUALITY, below
from seediff.workflow.reporting.formats import Heading, Note, TextGrid, best, number
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


def mask_quality_grid(spec: MaskQualityTable, frame: pd.DataFrame) -> TextGrid:
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
    bold = best(frame["iou"], 1) | best(frame["best_iou"], 3) | best(frame["auc"], 5)
    caption = f"{spec.caption} IoU in percent, mean over {frame['n'].max()} masks with its standard error.".strip()
    notes = (
        Note("The best threshold is chosen on the same images, one for all: an upper bound, not a result."),
        Note("Baselines: a disc in the centre, and SeeDiff with its self-attention replaced by mere distance."),
    )
    return TextGrid(spec.name, spec.title, caption, columns, rows, bold, notes)
