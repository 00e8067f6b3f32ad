"""Stage: the training set of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seediff.datasets.training_sets import assemble, assemble_real


def assemble_recipe(spec: Mapping[str, Any], images: Sequence[Path], masks: Sequence[Path], output: Path) -> None:
    """List the drawn images with their masks, or the annotated images of a benchmark."""
    if spec["kind"] == "real":
        assemble_real(spec["format"], Path(spec["folder"]), spec["split"], spec["classes"], spec["number"], output)
    else:
        assemble(images, masks, spec["per_class"], output)
