"""A picture of the masks that a judge has compared: those of every row on the same images, failures included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.images import Array
from seediff.datasets.palettes import overlay
from seediff.workflow.reporting.grids import PictureGrid, PictureRow, picture, write_palette_png
from seediff.workflow.reporting.strips import Tile

if TYPE_CHECKING:
    from seediff.diffusion.judges import Judgement

SHOWN = 6
RED = (214, 39, 40)
TINT = np.array([(255, 255, 255), RED], np.uint8)


def write_picture(judgements: Sequence[Judgement], path: Path) -> None:
    """The masks of every row on the same images, from the worst to the best by their mean IoU."""
    write_palette_png(picture(_grid(_from_worst_to_best(judgements))), path)


def _from_worst_to_best(judgements: Sequence[Judgement]) -> list[Judgement]:
    """``SHOWN`` of them at equal distances in the order of their mean IoU."""
    ranked = sorted(judgements, key=lambda judgement: np.mean([v.iou for v in judgement.verdicts.values()]))
    places = np.linspace(0, len(ranked) - 1, min(SHOWN, len(ranked))).round().astype(int)
    return [ranked[place] for place in places]


def _grid(shown: Sequence[Judgement]) -> PictureGrid:
    """A row for each variant; a column for each image, the worst on the left."""
    titles = [f"{number}: {judgement.name}" for number, judgement in enumerate(shown, start=1)]
    rows = [
        PictureRow("image", "", dict(zip(titles, (judgement.image for judgement in shown), strict=True))),
        PictureRow("judge", "", dict(zip(titles, (_tinted(each.image, each.truth) for each in shown), strict=True))),
    ]
    for variant, refinement in shown[0].masks:
        key = variant, refinement
        tiles = {title: _tinted(each.image, each.masks[key]) for title, each in zip(titles, shown, strict=True)}
        note = f"{refinement}; IoU {', '.join(f'{100 * each.verdicts[key].iou:.0f}' for each in shown)}"
        rows.append(PictureRow(variant, note, tiles))
    return PictureGrid(rows, "From the image whose masks are worst, on average over all rows, to the best.")


def _tinted(image: Array, mask: NDArray[np.bool_]) -> Tile:
    return overlay(image, mask.astype(np.uint8), TINT)
