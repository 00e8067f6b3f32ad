"""Stage: the training set of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seediff.datasets.training_sets import assemble, assemble_real
from seediff.filtering.table import read_kept


def assemble_recipe(spec: Mapping[str, Any], images: Sequence[Path], masks: Sequence[Path], output: Path) -> None:
    """List the drawn images with their masks (those that the filter keeps), or the annotated images of a benchmark."""
    if spec["kind"] == "real":
        source = spec["format"], Path(spec["folder"]), spec["split"]
        assemble_real(*source, spec["classes"], spec["number"], output, spec.get("data"))
    else:
        kept = read_kept(Path(spec["filter"])) if spec.get("filter") else None
        assemble(images, masks, spec["per_class"], output, kept)
