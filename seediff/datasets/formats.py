"""What a data set format is: how the files of a data set are found, what their pixel values mean, official facts.

A study names its classes as VOC does. ``aliases`` says what the data set calls a class; a class may stand for several
classes of the data set, which also expresses groups (Cityscapes' human and vehicle). ``absent`` says which of VOC's
classes the data set does not have. A class that neither the data set nor these two know is an error.

Each format is one module that makes one ``Format``; ``datasets.registry`` lists them. Formats that anyone's data can
have are in ``datasets.custom``: they make a ``Format`` of what each folder holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.classes import BACKGROUND
from seediff.datasets.images import decode_mask, read_file
from seediff.datasets.items import Item, check_folder, check_items
from seediff.errors import SeediffError
from seediff.names import check_texts, nearest

Size = tuple[int, int]

REQUIRED_SPLITS = ("train", "val")
"""Splits that every copy has; the others are asked for only where they are."""

STAND_IN_SIGN = "STAND-IN.txt"
"""The file that tells an embedded stand-in from the real data set."""


@dataclass(frozen=True)
class Format:
    """A data set that can be read: its files, its pixel values, and what is officially in it.

    Files and pixel values:

    ``layout``: what a folder of it should hold, in words.
    ``holds``: the subfolders that every copy has.
    ``split_parts``: (folder, split) -> the file or folder that makes the split, then the folders that it also needs.
    ``find_items``: (folder, split) -> the split's images and label files, whether they are there or not.
    ``distinctive``: folder -> whether it is this data set and not another one with the same folders.
    ``decode``: a label file's bytes, and its name for errors -> pixel values (H, W), all below ``values``.
    ``draw``: item -> the same, where the labels of all images are in one file; then nothing is decoded.
    ``labels``: pixel value -> class name; None: ignored.
    ``aliases``: class of a study -> the data set's own names of it, where they differ.
    ``absent``: classes of VOC that the data set does not have. A model that knows them can be tested there (the paper's
    Tables S2 and S3 do so); none can be trained on them.

    Official facts:

    ``title``, ``files``, ``source``: its name, the kinds of its files and where to get it, for people. Custom data have
    no source.
    ``place``: the folder where the studies expect it.
    ``splits``: split -> number of images; None: no official one.
    ``sizes``: smallest and largest (width, height) of its images.
    ``converted``: values that label files have after the customary conversion to training ids, which is not what is
    read here; empty if there is no such conversion.

    Of custom data, whose classes come from their folder:

    ``digest``: a text that changes with the list of classes, and with the annotations if ``draw`` is given; empty for a
    known data set.
    """

    name: str
    title: str
    files: str
    source: tuple[str, ...]
    place: Path
    layout: str
    holds: tuple[str, ...]
    splits: Mapping[str, int | None]
    sizes: tuple[Size, Size]
    split_parts: Callable[[Path, str], tuple[Path, ...]]
    find_items: Callable[[Path, str], list[Item]]
    labels: Mapping[int, str | None]
    decode: Callable[[bytes, str], NDArray[Any]] = decode_mask
    draw: Callable[[Item], NDArray[Any]] | None = None
    distinctive: Callable[[Path], bool] = Path.is_dir
    values: int = 256
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    converted: frozenset[int] = frozenset()
    digest: str = ""

    def of(self, folder: Path, split: str) -> Format:
        """The format of that split of the folder: itself, unless the label files of copies differ."""
        return self

    # --- files

    def recognises(self, folder: Path) -> bool:
        """Whether the folder looks like a copy, by the names of folders and files alone."""
        whole = any(all(path.exists() for path in self.split_parts(folder, split)) for split in self.splits)
        return whole and not self.missing_folders(folder) and self.distinctive(folder)

    def list_items(self, folder: Path, split: str) -> list[Item]:
        """The split's images in their order; ``SeediffError`` if a file is missing or another is in its place."""
        check_folder(folder, self.layout)
        return check_items(self.find_items(folder, split), folder, self.split_path(folder, split), not self.source)

    def split_path(self, folder: Path, split: str) -> Path:
        """The file or folder that makes a split."""
        return self.split_parts(folder, split)[0]

    def present_splits(self, folder: Path) -> list[str]:
        return [split for split in self.splits if self.split_path(folder, split).exists()]

    def missing_folders(self, folder: Path) -> list[str]:
        return [name for name in self.holds if not (folder / name).is_dir()]

    # --- classes

    @property
    def classes(self) -> tuple[str, ...]:
        """The data set's classes in the order of their pixel values, without the background."""
        return tuple(name for _, name in sorted(self.labels.items()) if name and name != BACKGROUND)

    @cached_property
    def class_names(self) -> set[str]:
        """The data set's classes, without the background."""
        return {*self.classes}

    def own_names(self, name: str) -> tuple[str, ...]:
        """What the data set calls the class ``name`` of a study; empty if it is known not to have the class."""
        return () if name in self.absent else self.aliases.get(name, (name,))

    def label_by_name(self, classes: Sequence[str], lacks: Collection[str] = ()) -> Mapping[str, int]:
        """The data set's class names -> labels of the study, 1 for the first; names that the study lacks are left out.

        ``lacks``: the classes that the data set is said not to have. Raises ``SeediffError`` for any other class that
        it does not have, if two classes claim the same class of the data set, or if none is left.
        """
        check_texts("The classes", classes)
        check_texts("'lacks'", lacks)
        labels: dict[str, int] = {}
        for label, name in enumerate(classes, start=1):
            for own in self._names_of(name, lacks):
                if own in labels:
                    twice = f"{classes[labels[own] - 1]!r} and {name!r}"
                    raise SeediffError(f"Both {twice} stand for {self.name}'s {own!r}.")
                labels[own] = label
        if not labels:
            raise SeediffError(f"{self.name} has none of the classes {', '.join(classes)}.")
        return labels

    def _names_of(self, name: str, lacks: Collection[str]) -> tuple[str, ...]:
        names, known = self.own_names(name), self.class_names
        if name in lacks:
            if names and known.issuperset(names):
                raise SeediffError(f"{self.name} has {name!r}, which is said to be lacking.\nTake it out of 'lacks'.")
            return ()
        if foreign := [own for own in names if own not in known]:
            raise SeediffError(f"{self.name} has no class {name!r}.\n{nearest(foreign[0], known)}")
        return names

    def check_learnable(self, classes: Sequence[str]) -> None:
        """Raise ``SeediffError`` for a class that the data set is known not to have."""
        if absent := [name for name in classes if not self.own_names(name)]:
            raise SeediffError(
                f"{self.name} has no class {absent[0]!r} to learn from.\nLeave it out of the recipe's 'classes'."
            )

    # --- pixel values

    def label_values(self, item: Item, read: Callable[[Path], bytes] = read_file) -> NDArray[Any]:
        """The pixel values (H, W) of an image's labels; ``read`` gives the content of a label file."""
        return self.draw(item) if self.draw else self.decode(read(item.labels), str(item.labels))

    def labels_name(self, item: Item) -> str:
        """Where an image's labels are, for errors."""
        return f"its annotation in {item.labels}" if self.draw else str(item.labels)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(values,): which pixel values may occur in a label file."""
        return np.isin(np.arange(self.values), list(self.labels))

    def label_table(self, labels: Mapping[str, int], ignore_label: int) -> NDArray[Any]:
        """(values,): the label of each pixel value, in the smallest type that holds them all.

        Classes of the data set that are not among ``labels`` become background.
        """
        table = np.full(self.values, ignore_label, np.min_scalar_type(ignore_label))
        for value, name in self.labels.items():
            if name is not None:
                table[value] = labels.get(name, 0)
        return table
