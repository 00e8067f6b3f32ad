"""Formats that anyone's data can have: which classes and splits there are is read from the folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seediff.datasets.formats import Format
from seediff.datasets.items import Item, check_folder
from seediff.errors import SeediffError
from seediff.names import nearest

ANY_SIZE = ((1, 1), (2**31, 2**31))
"""Of images, in ``Format.sizes``."""

ALL = "all"
"""The split of a folder that is not split."""


@dataclass(frozen=True)
class CustomFormat(ABC):
    """A way to lay out images with their labels.

    ``title``, ``files``, ``layout``, ``listed``: its name, the kinds of its files, what a folder of it holds, and where
    its classes are listed, for people.
    """

    name: str
    title: str
    files: str
    layout: str
    listed: str

    @abstractmethod
    def present_splits(self, folder: Path) -> list[str]:
        """The splits that a folder has, by the names of folders and files alone; none if it is laid out otherwise."""

    @abstractmethod
    def split_parts(self, folder: Path, split: str) -> tuple[Path, ...]:
        """The file or folder that makes a split, then the others that it also needs."""

    @abstractmethod
    def read(self, folder: Path, split: str) -> Format:
        """The format of one of the ``present_splits``, with its classes; ``SeediffError`` if they are unclear."""

    def recognises(self, folder: Path) -> bool:
        return bool(self.present_splits(folder))

    def of(self, folder: Path, split: str) -> Format:
        """The format of that split of the folder; ``SeediffError`` if there is none, or if its classes are unclear."""
        check_folder(folder, self.layout)
        if not (known := self.present_splits(folder)):
            raise SeediffError(f"{folder} is not laid out as {self.name}.\nIt should hold {self.layout}.")
        if split not in known:
            raise SeediffError(f"{folder} has no split {split!r}.\n{nearest(split, known)}")
        return self.read(folder, split)

    def described(
        self,
        folder: Path,
        labels: Mapping[int, str | None],
        find_items: Callable[[Path, str], list[Item]],
        **others: Any,
    ) -> Format:
        """The format of a folder: what is known of all custom data, and ``others`` of its fields."""
        return Format(
            name=self.name,
            title=self.title,
            files=self.files,
            source=(),
            place=folder,
            layout=self.layout,
            holds=(),
            splits=dict.fromkeys(self.present_splits(folder)),
            sizes=ANY_SIZE,
            split_parts=self.split_parts,
            find_items=find_items,
            labels=labels,
            **others,
        )
