"""A picture of what segmenters predict: the same images of a benchmark, their truth, and each row's label maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.classes import BACKGROUND_LABEL, IGNORE_LABEL
from seediff.datasets.images import Array
from seediff.datasets.palettes import VOC_COLOURS
from seediff.workflow.reporting.grids import PictureGrid, PictureRow, picture, write_palette_png


@dataclass(frozen=True)
class Predicted:
    """``names`` and ``images`` (H, W, 3) of a benchmark; ``labels``: the label map of every image, by row."""

    names: Sequence[str]
    images: Sequence[Array]
    labels: Mapping[str, Sequence[NDArray[Any]]]


def write_predictions(predicted: Predicted, classes: Sequence[str], path: Path) -> None:
    """A row for each segmenter, a column for each image; the same bytes for the same labels."""
    write_palette_png(picture(_grid(predicted, classes)), path)


def _grid(predicted: Predicted, classes: Sequence[str]) -> PictureGrid:
    truth = next(iter(predicted.labels.values()))
    titles = [f"{place}: {_named(labels, classes)}" for place, labels in enumerate(truth, start=1)]
    rows = [PictureRow("image", "", dict(zip(titles, predicted.images, strict=True)))]
    for label, maps in predicted.labels.items():
        tiles = [_coloured(image, labels) for image, labels in zip(predicted.images, maps, strict=True)]
        rows.append(PictureRow(label, "", dict(zip(titles, tiles, strict=True))))
    names = ", ".join(predicted.names)
    return PictureGrid(
        rows, f"Images at equal distances in the benchmark: {names}. A class has the colour of its truth."
    )


def _named(labels: NDArray[Any], classes: Sequence[str]) -> str:
    present = [int(label) for label in np.unique(labels) if label not in (BACKGROUND_LABEL, IGNORE_LABEL)]
    return ", ".join(classes[label - 1] for label in present) or "background"


def _coloured(image: Array, labels: NDArray[Any]) -> Array:
    """Classes in plain colours, over the image with its colours faded to a quarter."""
    faded = 191 + image // 4
    return np.where((labels == BACKGROUND_LABEL)[..., None], faded, VOC_COLOURS[labels]).astype(np.uint8)
