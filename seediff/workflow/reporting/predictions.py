"""A picture of what segmenters predict: the same images of a benchmark, their truth, and each row's label maps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seediff.datasets.images import Array
from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.files.sealed import partial
from seediff.workflow.reporting.grids import PictureGrid, PictureRow, picture


@dataclass(frozen=True)
class Predicted:
    """``names`` and ``images`` (H, W, 3) of a benchmark; ``labels``: the label map of every image, by row."""

    names: Sequence[str]
    images: Sequence[Array]
    labels: Mapping[str, Sequence[NDArray[Any]]]


def write_predictions(predicted: Predicted, classes: Sequence[str], path: Path) -> None:
    """A row for each segmenter, a column for each image; the same bytes for the same labels."""
    content = io.BytesIO()
    picture(_grid(predicted, classes)).savefig(content, format="png", metadata={"Software": None})
    with partial(path) as unfinished:
        palette = Image.open(content).convert("RGB").quantize(256, dither=Image.Dither.NONE)  # fewer bytes
        palette.save(unfinished, "PNG", optimize=True)


def _grid(predicted: Predicted, classes: Sequence[str]) -> PictureGrid:
    rows = [PictureRow("image", "", _tiles(predicted, predicted.images))]
    for label, labels in predicted.labels.items():
        pairs = zip(predicted.images, labels, strict=True)
        rows.append(
            PictureRow(label, "", _tiles(predicted, [overlay(image, part, VOC_COLOURS) for image, part in pairs]))
        )
    present = sorted(
        {int(label) for labels in predicted.labels.values() for part in labels for label in np.unique(part)} - {0, 255}
    )
    named = ", ".join(classes[label - 1] for label in present)
    return PictureGrid(rows, f"Images at equal distances in the benchmark; in colours: {named or 'nothing'}.")


def _tiles(predicted: Predicted, tiles: Sequence[Array]) -> dict[str, Array]:
    return {f"{place}: {name}": tile for place, (name, tile) in enumerate(zip(predicted.names, tiles, strict=True), 1)}
