"""Benchmarks: annotated images of any known format, with their labels in the label space of a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seediff.datasets import ade20k, cityscapes, voc
from seediff.datasets.classes import LabelSpace, label_by_name, label_space
from seediff.datasets.images import check_same_size, read_mask, read_rgb
from seediff.datasets.items import Item
from seediff.datasets.pairs import Pair
from seediff.errors import SeediffError
from seediff.label_values import IGNORE_LABEL
from seediff.names import nearest

Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Format:
    """How a data set lies on disk, and what its pixel values stand for (None: ignored)."""

    list_items: Callable[[Path, str], list[Item]]
    labels: Mapping[int, str | None]


FORMATS: dict[str, Format] = {
    "voc": Format(voc.list_items, voc.LABELS),
    "cityscapes": Format(cityscapes.list_items, cityscapes.LABELS),
    "ade20k": Format(ade20k.list_items, ade20k.LABELS),
}


@dataclass(frozen=True)
class Benchmark:
    """Annotated images; ``label_of`` maps the 256 pixel values to labels, ``known`` says which of them may occur."""

    name: str
    label_space: LabelSpace
    items: Sequence[Item]
    label_of: Array
    known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def identity(self) -> str:
        """A text that changes with the classes, the files' names and their sizes."""
        sizes = (f"{item.name} {item.image.stat().st_size} {item.labels.stat().st_size}" for item in self.items)
        return "\n".join([self.name, *self.label_space.names, *sizes])

    def __getitem__(self, index: int) -> Pair:
        """Image (H, W, 3) uint8 and labels (H, W) uint8: indices into ``label_space.names``, or 255, ignored.

        Raises ``SeediffError`` naming the file if it is broken, of another size than its image, or holds a value
        the data set does not define.
        """
        item = self.items[index]
        image, values = read_rgb(item.image), read_mask(item.labels)
        check_same_size(image, values, str(item.image), str(item.labels))
        if not (valid := self.known[values]).all():
            raise SeediffError(f"{item.labels} holds the value {values[~valid][0]}, which is no label of {self.name}.")
        return image, self.label_of[values]


def open_benchmark(format: str, folder: Path, split: str, classes: Sequence[str]) -> Benchmark:
    """Open one split of a data set with its labels by name in the label space of ``classes``.

    The data set's classes that are not among ``classes`` become background, as VOC's protocol has it for objects
    that a model does not know; what the data set itself ignores is 255.
    """
    if format not in FORMATS:
        raise SeediffError(f"There is no format {format!r}.\n{nearest(format, FORMATS)}")
    known = FORMATS[format]
    return Benchmark(
        name=f"{format} {split}",
        label_space=label_space(classes),
        items=known.list_items(folder, split),
        label_of=_label_table(format, known.labels, classes),
        known=np.isin(np.arange(256), list(known.labels)),
    )


def _label_table(format: str, names: Mapping[int, str | None], classes: Sequence[str]) -> Array:
    """Label for each of the 256 pixel values."""
    labels = label_by_name(format, [name for name in names.values() if name], classes)
    table = np.full(256, IGNORE_LABEL, np.uint8)
    for value, name in names.items():
        if name is not None:
            table[value] = labels.get(name, 0)
    return table
