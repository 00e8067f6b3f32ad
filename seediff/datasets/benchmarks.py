"""Benchmarks: annotated images of any known format, with their labels in the label space of a study."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from seediff.datasets.classes import IGNORE_LABEL, LabelSpace, label_space
from seediff.datasets.formats import Format
from seediff.datasets.images import Pair, decode_photograph, read_file
from seediff.datasets.items import Item, recorded_checksums
from seediff.datasets.registry import find_format
from seediff.errors import SeediffError


@dataclass(frozen=True)
class Benchmark:
    """Annotated images of a ``format``; ``label_of`` maps every pixel value to its label.

    ``checksums``: the sha256 of those files whose content is known beforehand.
    """

    name: str
    label_space: LabelSpace
    items: Sequence[Item]
    format: Format = field(repr=False)
    label_of: NDArray[Any] = field(repr=False)
    checksums: Mapping[Path, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def classes(self) -> tuple[str, ...]:
        """What label 1 and the following stand for."""
        return self.label_space.names[1:]

    @property
    def names(self) -> list[str]:
        """The images' names, in their order."""
        return [item.name for item in self.items]

    @property
    def identity(self) -> str:
        """A text that changes with the classes, the files' names and sizes, and the contents of ``Format.digest``."""
        sizes = (f"{item.name} {item.image.stat().st_size} {item.labels.stat().st_size}" for item in self.items)
        own = [self.format.digest] if self.format.digest else []
        return "\n".join([self.name, *own, *self.label_space.names, *sizes])

    def __getitem__(self, index: int) -> Pair:
        """Image (H, W, 3) uint8 and labels (H, W) uint8: indices into ``label_space.names``, or 255, ignored.

        With more than 254 classes labels are uint16, and 65535 is ignored. Raises ``SeediffError`` naming the file if
        it is broken, has changed, is of another size than its image, or holds a value the data set does not define.
        An image that EXIF turns is turned, unless its labels were drawn on it as it is stored.
        """
        item = self.items[index]
        photograph = decode_photograph(self._content(item.image), str(item.image))
        values = self.label_values(item)
        image = photograph.under_labels(values, str(item.image), self.format.labels_name(item))
        if not (valid := self.format.known[values]).all():
            raise SeediffError(f"{item.labels} holds the value {values[~valid][0]}, which is no label of {self.name}.")
        return image, self.label_of[values]

    def label_values(self, item: Item) -> NDArray[Any]:
        """The pixel values (H, W) of the item's labels, as the data set has them."""
        return self.format.label_values(item, self._content)

    def _content(self, path: Path) -> bytes:
        content = read_file(path)
        if path in self.checksums and hashlib.sha256(content).hexdigest() != self.checksums[path]:
            raise SeediffError(f"{path} is not as it was drawn.\nDelete the folder of the stand-in and run again.")
        return content


def open_benchmark(
    format: str, folder: Path, split: str, classes: Sequence[str], lacks: Collection[str] = ()
) -> Benchmark:
    """Open one split of a data set with its labels by name in the label space of ``classes``.

    The data set's classes that are not among ``classes`` become background, as VOC's protocol has it for objects
    that a model does not know; what the data set itself ignores is 255. Raises ``SeediffError`` for a class that the
    data set does not have, unless the format says so (``Format.absent``) or ``lacks`` does, and where no label file can
    be about classes (``are_object_masks``).
    """
    space, known = label_space(classes), find_format(format).of(folder, split)
    labels = known.label_by_name(classes, lacks)
    items = known.list_items(folder, split)
    benchmark = Benchmark(
        name=f"{format} {split}",
        label_space=space,
        items=items,
        format=known,
        label_of=known.label_table(labels, space.ignore_label),
        checksums=recorded_checksums(folder, split, items),
    )
    if are_object_masks(map(benchmark.label_values, items)):
        raise SeediffError(f"{benchmark.name}, {items[0].labels.parent}: {OBJECT_MASKS[0]}.\n{OBJECT_MASKS[1]}")
    return benchmark


OBJECT_MASKS = (
    "all label files hold 0 and 255 alone, as masks of one object do, but 255 means 'ignore'",
    "Give the objects' pixels the label of their class; `seediff data list` says which files are read.",
)
"""What is wrong, and what to do about it."""


def are_object_masks(labels: Iterable[NDArray[Any]]) -> bool:
    """Whether 0 and 255 are all that a split's label files hold, as far as the first that holds more.

    One such file may be sound: a background with objects that the data set ignores. All of them cannot be, for there is
    nothing in them to learn or to test.
    """
    ignored = False
    for values in labels:
        others = values[values != 0]
        if (others != IGNORE_LABEL).any():
            return False
        ignored |= others.size > 0
    return ignored
