"""Training sets: the image-label pairs a recipe trains on, listed in one JSON file and read at random.

The file, ``training_sets/<recipe>.json``, has a list of entries, read one after the other:

    {"kind": "pairs", "images": <shard>, "masks": <shard>, "keys": [...]}      drawn images and their masks
    {"kind": "benchmark", "format": ..., "folder": ..., "split": ..., "classes": [...], "names": [...]}

Shards are given relative to the file, so that a results folder can be moved whole; a benchmark's folder is as the
study gives it, relative to the working directory. A real one's entry has ``data``, too: its fingerprint. Where images
were drawn several times, the entries of a draw have its number as ``draw``; a training learns from one of the draws.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.classes import MOST_CLASSES
from seediff.datasets.flaws import Flaw
from seediff.datasets.images import Pair, Pairs, check_same_size, decode_mask, decode_rgb
from seediff.datasets.shards import (
    ShardIndex,
    check_same_keys,
    check_same_model,
    class_of,
    draws_of,
    flaw_in,
    open_shard,
    shards_by_key,
)
from seediff.errors import SeediffError
from seediff.files.sealed import read_json, write_json

Array = NDArray[np.uint8]
Entry = dict[str, Any]

FORMAT_VERSION = 1
RELIABILITY = "reliability_png"
"""The extension of what masks of a robust recipe have beside them: the reliability of each pixel, 1 to 255."""
CACHED_BYTES = 256 * 2**20
"""A training set whose pairs take less than this is kept in memory once decoded."""


class Source(Pairs, Protocol):
    """Pairs of one origin; ``identity`` is a text that changes whenever they do."""

    @property
    def identity(self) -> str: ...


@dataclass(frozen=True)
class ShardPairs:
    """The samples ``keys`` of an image shard, with their masks from a mask shard."""

    images: ShardIndex
    masks: ShardIndex
    keys: Sequence[str]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def identity(self) -> str:
        return "\n".join([self.images.sha256, self.masks.sha256, *self.keys])

    def __getitem__(self, index: int) -> Pair:
        return self.read(index, "png")

    def read(self, index: int, extension: str) -> Pair:
        """An image and what the mask shard has of it under the extension."""
        key = self.keys[index]
        image_name, mask_name = f"{key}.png in {self.images.path}", f"{key}.{extension} in {self.masks.path}"
        image = decode_rgb(self.images.read(key, "png"), image_name)
        mask = decode_mask(self.masks.read(key, extension), mask_name)
        check_same_size(image, mask, image_name, mask_name)
        return image, mask


@dataclass(frozen=True)
class Uncertainty:
    """The images of shard pairs with uncertainty in place of labels: 255 - reliability for each pixel, 0 to 254."""

    pairs: ShardPairs

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def identity(self) -> str:
        return self.pairs.identity

    def __getitem__(self, index: int) -> Pair:
        image, reliability = self.pairs.read(index, RELIABILITY)
        if not reliability.all():
            raise SeediffError(f"The reliability of {self.pairs.keys[index]} in {self.pairs.masks.path} holds a 0.")
        return image, 255 - reliability


@dataclass(frozen=True)
class TrainingSet:
    """Pairs from several sources under one numbering; a small set is decoded once and then kept."""

    sources: Sequence[Source]
    _cache: dict[int, Pair] = field(default_factory=dict, repr=False)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self.sources)))

    @property
    def digest(self) -> str:
        """Changes whenever a pair does: what was learnt from one training set is not gone on with on another."""
        return hashlib.sha256(os.fsencode("\n".join(source.identity for source in self.sources))).hexdigest()

    @property
    def uncertainty(self) -> TrainingSet:
        """The same images in the same order, with uncertainty in place of labels; masks must come with reliability."""
        shards = [source for source in self.sources if isinstance(source, ShardPairs)]
        if len(shards) < len(self.sources):
            raise SeediffError("Annotated images have no reliability: only drawn ones can be trained on robustly.")
        return TrainingSet([Uncertainty(source) for source in shards])

    @property
    def flaws(self) -> dict[str, Flaw]:
        """Key -> flaw of those drawn images that have one, as was noted when they were drawn."""
        drawn = [source for source in self.sources if isinstance(source, ShardPairs)]
        found = ((key, flaw_in(source.images, key)) for source in drawn for key in source.keys)
        return {key: flaw for key, flaw in found if flaw}

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Pair:
        """Image (H, W, 3) uint8 and labels (H, W) uint8; both the caller's own.

        Raises ``SeediffError`` naming the file if its bytes are broken or the two differ in size.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{index} is not between 0 and {len(self) - 1}")
        image, labels = self._cache.get(index) or self._read(index)
        if len(self) * (image.nbytes + labels.nbytes) <= CACHED_BYTES:
            self._cache[index] = image, labels
            return image.copy(), labels.copy()
        return image, labels

    def _read(self, index: int) -> Pair:
        source = bisect_right(self._ends, index)
        return self.sources[source][index - self._ends[source] + len(self.sources[source])]


def assemble(
    image_shards: Sequence[Path],
    mask_shards: Sequence[Path],
    per_class: int | None,
    out: Path,
    kept: Mapping[str, bool] | None = None,
    draw_size: int | None = None,
) -> None:
    """Write the training set of all images with their masks, or of the first ``per_class`` images of each class.

    ``kept``: which keys a filter keeps; all without one. ``draw_size``: images of each class in a draw; each draw then
    has entries of its own, and its own first images. Raises ``SeediffError`` if the shards do not match (see
    ``pair_entries``) or the first pair differs in size.
    """
    write_training_set(pair_entries(image_shards, mask_shards, per_class, out.parent, kept, draw_size), out)


def assemble_real(
    format: str,
    folder: Path,
    split: str,
    classes: Sequence[str],
    number: int | None,
    out: Path,
    data: str | None = None,
) -> None:
    """Write the training set of a benchmark's own images and labels; see ``benchmark_entry``.

    ``data``: the fingerprint of its files, so that the training set is another one whenever they are.
    """
    entry = benchmark_entry(format, folder, split, classes, number)
    write_training_set([{**entry, "data": data} if data else entry], out)


def write_training_set(entries: Sequence[Entry], out: Path) -> None:
    """Write the list of entries, once it is sure that all can be opened and the first pair fits together."""
    training_set = _open_entries(entries, out.parent)
    training_set[0]
    write_json(out, {"format_version": FORMAT_VERSION, "number": len(training_set), "entries": list(entries)})


def load_training_set(path: Path, draw: int = 0) -> TrainingSet:
    """Open a draw of a training set: every shard's manifest is read and checked now, its images when they are used.

    Raises ``SeediffError`` if the file, or anything it lists, is missing or broken, or if there is no such draw.
    """
    content = read_json(path, "The training set")
    if isinstance(content, dict) and content.get("format_version") != FORMAT_VERSION:
        raise SeediffError(f"The training set {path} has another format version.\nDelete it and run again.")
    entries = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise SeediffError(f"{path} is not a training set.\nDelete it and run again to make it anew.")
    of_draw = [entry for entry in entries if entry.get("draw", 0) == draw]
    if entries and not of_draw:
        raise SeediffError(f"The training set {path} has no draw {draw}.\nDelete it and run again to make it anew.")
    return _open_entries(of_draw, path.parent)


_KINDS: dict[str, dict[str, type]] = {
    "pairs": {"images": str, "masks": str, "keys": list},
    "benchmark": {"format": str, "folder": str, "split": str, "classes": list, "names": list},
}
"""What an entry of each kind has to hold; lists hold texts."""


def _is_entry(entry: Any) -> bool:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        return False
    for name, wanted in _KINDS[kind].items():
        value = entry.get(name)
        if not isinstance(value, wanted) or (isinstance(value, list) and not all(isinstance(x, str) for x in value)):
            return False
    data, draw = entry.get("data"), entry.get("draw", 0)
    if not isinstance(draw, int) or isinstance(draw, bool) or draw < 0:
        return False
    return kind == "pairs" or (1 <= len(entry["classes"]) <= MOST_CLASSES and (data is None or isinstance(data, str)))


def pair_entries(
    image_shards: Sequence[Path],
    mask_shards: Sequence[Path],
    per_class: int | None,
    root: Path,
    kept: Mapping[str, bool] | None = None,
    draw_size: int | None = None,
) -> list[Entry]:
    """Images with their masks, paired and ordered by key, however they are divided into shards.

    ``root`` is the folder the training set will be in. Raises ``SeediffError`` if an image has no mask or a mask no
    image, if a key comes twice, if ``kept`` is of other keys, or if a class has fewer than ``per_class`` images.
    """
    images, masks = shards_by_key(image_shards), shards_by_key(mask_shards)
    check_same_model((shard.path, shard.model) for shard in images.values())
    check_same_keys(images, masks, "image", "mask")
    if kept is not None and (foreign := sorted(images.keys() ^ kept.keys())):
        raise SeediffError(f"The filter's table is of other images ({foreign[0]}).\nDelete it and run again.")
    by_class: dict[str, list[str]] = {}
    for key in sorted(images):
        by_class.setdefault(class_of(images[key], key), []).append(key)
    chosen: dict[int, list[str]] = {}
    for name, keys in by_class.items():
        for draw, drawn in enumerate(draws_of(keys, draw_size)):
            left = drawn if kept is None else [key for key in drawn if kept[key]]
            chosen.setdefault(draw, []).extend(_first(left, per_class, name))
    return [
        {**_entry(*paths, list(same), root), **({} if draw_size is None else {"draw": draw})}
        for draw, keys in sorted(chosen.items())
        for paths, same in groupby(sorted(keys), key=lambda key: (images[key].path, masks[key].path))
    ]


def _entry(images: Path, masks: Path, keys: list[str], root: Path) -> Entry:
    return {
        "kind": "pairs",
        "images": os.path.relpath(images, root),
        "masks": os.path.relpath(masks, root),
        "keys": keys,
    }


def _first(keys: Sequence[str], number: int | None, name: str) -> Sequence[str]:
    """The first keys of a class: a smaller set is part of every larger one."""
    if number is not None and len(keys) < number:
        raise SeediffError(f"{number} images of each class were asked for, but {name!r} has {len(keys)}.")
    return keys[:number]


def benchmark_entry(format: str, folder: Path, split: str, classes: Sequence[str], number: int | None) -> Entry:
    """A benchmark's own images: all, or ``number`` of them, evenly over the split (so from every year or city).

    Raises ``SeediffError`` if the split has fewer, for a class that the data set does not have, or if there are more
    classes than labels of a byte can tell apart.
    """
    if len(classes) > MOST_CLASSES:
        raise SeediffError(f"A training set has {MOST_CLASSES} classes at most, not {len(classes)}: labels are bytes.")
    benchmark = open_benchmark(format, folder, split, classes)
    benchmark.format.check_learnable(classes)
    names = benchmark.names
    if number is not None and number > len(names):
        raise SeediffError(f"{number} images were asked for, but split {split!r} of {folder} has {len(names)}.")
    chosen = names if number is None else [names[k * len(names) // number] for k in range(number)]
    source = {"format": format, "folder": str(folder), "split": split, "classes": list(classes)}
    return {"kind": "benchmark", **source, "names": chosen}


def _open_entries(entries: Sequence[Entry], root: Path) -> TrainingSet:
    shard = cache(lambda path: open_shard(Path(os.path.normpath(root / path))))  # a mask shard may serve many entries
    sources = [_open_entry(entry, shard) for entry in entries]
    if not any(map(len, sources)):
        raise SeediffError("The training set would hold no images.")
    return TrainingSet(sources)


def _open_entry(entry: Entry, shard: Callable[[str], ShardIndex]) -> Source:
    if entry["kind"] == "pairs":
        return ShardPairs(shard(entry["images"]), shard(entry["masks"]), entry["keys"])
    benchmark = open_benchmark(entry["format"], Path(entry["folder"]), entry["split"], entry["classes"])
    items = {item.name: item for item in benchmark.items}
    for name in entry["names"]:
        if name not in items:
            raise SeediffError(f"{name} is no longer in split {entry['split']!r} of {entry['folder']}.\nRun again.")
    return replace(benchmark, items=[items[name] for name in entry["names"]])
