"""Evaluated runs as the workflow leaves them: the confusion matrices of all images, and of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seediff.files.sealed import write_json
from seediff.segmenter.confusions import image_confusions, write_confusions


def write_run(path: Path, classes: Sequence[str], matrices: np.ndarray, **more: Any) -> None:
    """Write a metrics file and, beside it, that of its images, from their matrices (N, C, C)."""
    names = [f"val_{number:06d}" for number in range(len(matrices))]
    write_confusions(path.with_suffix(".npz"), image_confusions(zip(names, matrices, strict=True), len(classes)))
    total = np.sum(matrices, axis=0)
    write_json(path, {"images": len(names), "classes": list(classes), "confusion": total.tolist(), **more})
