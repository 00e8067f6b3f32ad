"""Photographs that people bring: files, and folders of them. What cannot be read is noted, and the others go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seediff.datasets.images import Array, decode_rgb, read_file
from seediff.datasets.unlabelled import folder_images
from seediff.errors import SeediffError
from seediff.names import folded


@dataclass(frozen=True)
class Photograph:
    """A file, its content, and the image (H, W, 3) uint8 as a viewer shows it."""

    path: Path
    content: bytes
    image: Array


def photographs_in(sources: Sequence[Path]) -> list[Path]:
    """The files among the sources, and those in the folders, each once.

    ``SeediffError`` for a source that is not there, and if two photographs have the same name, as their masks would.
    """
    found = dict.fromkeys(path for source in sources for path in _files_of(source))
    first: dict[str, Path] = {}
    for path in found:
        if (other := first.setdefault(folded(path.stem), path)) != path:
            raise SeediffError(
                f"{other} and {path} have the same name, and their masks would too.\nGive one of them another name."
            )
    return list(found)


def _files_of(source: Path) -> Sequence[Path]:
    if source.is_dir():
        return folder_images(source).files
    if not source.exists():
        raise SeediffError(f"There is no photograph {source}.")
    return [source]


def read_photographs(paths: Iterable[Path], failures: list[str]) -> Iterator[Photograph]:
    """The photographs that can be read; why the others cannot goes to ``failures``."""
    for path in paths:
        try:
            content = read_file(path)
            yield Photograph(path, content, decode_rgb(content, str(path)))
        except SeediffError as error:
            failures.append(str(error).replace("\n", " "))
