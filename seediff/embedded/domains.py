"""The embedded benchmarks: domains of pictogram scenes, written in the formats of the real data sets.

    voc         the natural scenes the diffusion model was trained on: the near domain
    cityscapes  a street in dull colours with small traffic in its lower half: the far domain
    ade20k      rooms, with the seven of the ten classes that ADE20K has
    imagenet_s  an object of one of five classes, in the folder of its class, and sometimes an object of no class

A stand-in is read by the same reader as the real data set. Every image follows from the seed and its own number alone.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from seediff.datasets import ade20k, cityscapes, imagenet_s, voc
from seediff.datasets.classes import IGNORE_LABEL
from seediff.datasets.formats import STAND_IN_SIGN, Format
from seediff.datasets.images import Pair, encode_ids, encode_jpeg, encode_labels, encode_mask, encode_png
from seediff.datasets.items import RECORD
from seediff.embedded.scenes import RADII, SIDE, Placement, natural_scene, render, road, room, scatter
from seediff.embedded.vocabulary import CLASSES
from seediff.errors import SeediffError
from seediff.files.sealed import disk_full, is_disk_full, write_json, write_text
from seediff.names import nearest
from seediff.rng import derive_seed

Array = NDArray[np.uint8]

VERSION = 1
"""Raised whenever the images or labels drawn below change."""

OBJECT_ODDS = (0.5, 0.3, 0.2)
"""Odds of one, two and three objects in a natural or indoor scene."""
STREET_CLASSES = ("person", "car", "bus", "motorbike", "train")
STREET_RADII = (6.0, 12.0)
"""Half-extent in pixels from far away to near."""
PORTRAYED = tuple(name for name in CLASSES if imagenet_s.FORMATS[0].own_names(name))
"""The classes of ImageNet-S."""
BYSTANDER_ODDS = 0.3
"""How often a portrait has an object of another class beside it."""
INDOOR_CLASSES = tuple(name for name in CLASSES if ade20k.FORMAT.own_names(name))

_SIGN_TEXT = """\
Not {format}: an embedded stand-in in its format, drawn by seediff from coloured pictograms.
It is made anew at any time, so it may be deleted, and is replaced when it is drawn again.
"""


@dataclass(frozen=True)
class Domain:
    """``draw`` makes the scene with the given number, ``files`` its two files, by path below the folder."""

    draw: Callable[[Generator, int], tuple[Array, NDArray[Any]]]
    files: Callable[[str, int, Array, NDArray[Any]], dict[str, bytes]]


def write_domain(format: str, folder: Path, train: int, val: int, rng_seed: int) -> None:
    """Write ``train`` and ``val`` images of the format's domain as ``folder``, whole or not at all.

    ``domain.json`` in it records what was drawn. An earlier stand-in is replaced. Raises ``SeediffError`` if the folder
    holds anything else, for an unknown format, and if the disk is full.
    """
    if format not in DOMAINS:
        raise SeediffError(f"There is no embedded domain in the format {format!r}.\n{nearest(format, DOMAINS)}")
    with _whole_folder(folder) as unfinished:
        write_text(unfinished / STAND_IN_SIGN, _SIGN_TEXT.format(format=format))
        counts = {"train": train, "val": val}
        splits = {split: _write_split(format, unfinished, split, counts[split], rng_seed) for split in counts}
        record = {"version": VERSION, "format": format, "rng_seed": rng_seed, "splits": splits}
        write_json(unfinished / RECORD, record)


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary neighbour of ``folder``, which takes its place on success and is removed on failure."""
    if not folder.name:
        raise SeediffError(f"{str(folder)!r} cannot be the name of a new folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / STAND_IN_SIGN).is_file():
        raise SeediffError(f"{folder} holds something other than a stand-in and is left alone.\nMove it or delete it.")
    unfinished, outdated = (folder.with_name(folder.name + suffix) for suffix in (".partial", ".outdated"))
    for leftover in (unfinished, outdated):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if folder.exists():
            folder.rename(outdated)
        unfinished.rename(folder)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError) and is_disk_full(error):
            raise disk_full(folder) from None
        raise
    shutil.rmtree(outdated, ignore_errors=True)


def _write_split(format: str, folder: Path, split: str, number: int, rng_seed: int) -> dict[str, str]:
    """Draw and write one split; returns the sha256 of every image and label file, in their order."""
    domain, digests = DOMAINS[format], {}
    for index in range(number):
        rng = np.random.default_rng(derive_seed(rng_seed, "domain", format, split, index))
        for path, content in domain.files(split, index, *domain.draw(rng, index)).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            digests[path] = hashlib.sha256(content).hexdigest()
    if format == "voc":
        names = "".join(f"{_voc_name(split, index)}\n" for index in range(number))
        write_text(folder / "ImageSets" / "Segmentation" / f"{split}.txt", names)
    return digests


def _some_classes(rng: Generator, index: int, classes: tuple[str, ...]) -> list[str]:
    """One to three different classes. The first follows from the index, so that all are equally frequent."""
    others = [name for name in rng.permutation(classes).tolist() if name != classes[index % len(classes)]]
    count = 1 + int(rng.choice(len(OBJECT_ODDS), p=OBJECT_ODDS))
    return [classes[index % len(classes)], *others][:count]


def natural_pair(rng: Generator, index: int) -> Pair:
    """A natural scene with VOC's labels and a void line, one pixel wide, along the edges."""
    scene = natural_scene(rng, _some_classes(rng, index, CLASSES))
    labels = _VOC_LABELS[scene.labels]
    labels[edges(scene.labels)] = IGNORE_LABEL
    return scene.image, labels


def edges(labels: Array) -> NDArray[np.bool_]:
    """Pixels (H, W) whose right or lower neighbour has another label.

    The line is one pixel wide and runs inside an object as often as outside, so it favours neither.
    """
    found = np.zeros(labels.shape, bool)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found


def street_pair(rng: Generator, index: int) -> Pair:
    """A street scene with Cityscapes' label ids; beside the objects, houses above and road below."""
    image, labels = street_scene(rng, index)
    ids = _CITYSCAPES_IDS[labels]
    return image, _with_surroundings(ids, above=_cityscapes_id("building"), below=_cityscapes_id("road"))


def street_scene(rng: Generator, index: int) -> Pair:
    """A street scene with the embedded world's own labels (0 background, k + 1 for ``CLASSES[k]``)."""
    image, labels = render(rng, road(rng), _traffic(rng, index))
    return dull(image), labels


def _traffic(rng: Generator, index: int) -> list[Placement]:
    """Two to four objects side by side in the lower half, near ones larger and in front."""
    count = int(rng.integers(2, 5))
    names = [STREET_CLASSES[index % len(STREET_CLASSES)], *rng.choice(STREET_CLASSES, count - 1).tolist()]
    nearness = np.sort(rng.uniform(size=count))
    radii = STREET_RADII[0] + nearness * (STREET_RADII[1] - STREET_RADII[0])
    bottoms = SIDE / 2 + 10 + nearness * (SIDE / 2 - 12)
    lanes = (rng.permutation(count) + rng.uniform(0.3, 0.7, count)) * SIDE / count
    columns = np.clip(lanes, radii, SIDE - radii)
    order = rng.permutation(count)
    return [
        Placement(names[k], float(x), float(bottom - radius), float(radius))
        for k, x, bottom, radius in zip(order, columns, bottoms, radii)
    ]


def dull(image: Array) -> Array:
    """The image with its colours half way to grey, and darker: hazy weather."""
    grey = image.mean(axis=2, keepdims=True, dtype=np.float32)
    return (0.85 * (0.5 * image + 0.5 * grey)).astype(np.uint8)


def indoor_pair(rng: Generator, index: int) -> Pair:
    """A room with ADE20K's labels; beside the objects, wall above and floor below."""
    image, labels = indoor_scene(rng, index, INDOOR_CLASSES)
    return image, _with_surroundings(_ADE20K_LABELS[labels], above=_ade20k_label("wall"), below=_ade20k_label("floor"))


def indoor_scene(rng: Generator, index: int, classes: tuple[str, ...]) -> Pair:
    """A room with one to three of the classes and the embedded world's own labels."""
    names = _some_classes(rng, index, classes)
    return render(rng, room(rng), scatter(rng, names, RADII[len(names)]))


def portrait_pair(subset: int, rng: Generator, index: int) -> tuple[Array, NDArray[np.uint16]]:
    """A natural scene of one of ImageNet-S' classes with its subset's ids; edges are ignored, like VOC's void."""
    others = [name for name in CLASSES if name not in PORTRAYED]
    beside = [str(rng.choice(others))] if rng.random() < BYSTANDER_ODDS else []
    scene = natural_scene(rng, [_portrayed(index), *beside])
    ids, known = np.zeros(len(CLASSES) + 1, np.uint16), list(imagenet_s.NAMES[subset].values())
    for name in PORTRAYED:
        ids[CLASSES.index(name) + 1] = known.index(_imagenet_name(name)) + 1
    labels = ids[scene.labels]
    labels[edges(scene.labels)] = imagenet_s.IGNORED
    return scene.image, labels


def _portrayed(index: int) -> str:
    return PORTRAYED[index % len(PORTRAYED)]


def _imagenet_name(name: str) -> str:
    return imagenet_s.FORMATS[0].own_names(name)[0]


def _with_surroundings(labels: Array, above: int, below: int) -> Array:
    surroundings = np.where(np.arange(SIDE)[:, None] < SIDE // 2, np.uint8(above), np.uint8(below))
    return np.where(labels == 0, surroundings, labels)


def _voc_label(name: str) -> int:
    return voc.CLASSES.index(name) + 1


def _cityscapes_id(name: str) -> int:
    return next(label for label, known in cityscapes.IDS.items() if known == name)


def _ade20k_label(name: str) -> int:
    return ade20k.CLASSES.index(name) + 1


def _table(format: Format, classes: tuple[str, ...], label: Callable[[str], int]) -> Array:
    """The format's label for each label of a rendered scene; 0 for those the domain does not draw."""
    return np.array([0, *(label(format.own_names(name)[0]) if name in classes else 0 for name in CLASSES)], np.uint8)


_VOC_LABELS = _table(voc.FORMAT, CLASSES, _voc_label)
_CITYSCAPES_IDS = _table(cityscapes.FORMAT, STREET_CLASSES, _cityscapes_id)
_ADE20K_LABELS = _table(ade20k.FORMAT, INDOOR_CLASSES, _ade20k_label)


def _voc_name(split: str, index: int) -> str:
    return f"{split}_{index:06d}"


def voc_files(split: str, index: int, image: Array, labels: Array) -> dict[str, bytes]:
    name = _voc_name(split, index)
    return {f"JPEGImages/{name}.jpg": encode_jpeg(image), f"SegmentationClass/{name}.png": encode_mask(labels)}


def cityscapes_files(split: str, index: int, image: Array, labels: Array) -> dict[str, bytes]:
    place = f"{split}/pictogram/pictogram_{index:06d}_000019"
    return {
        f"leftImg8bit/{place}{cityscapes.IMAGE_SUFFIX}": encode_png(image),
        f"gtFine/{place}{cityscapes.LABEL_SUFFIX}": encode_labels(labels),
    }


def ade20k_files(split: str, index: int, image: Array, labels: Array) -> dict[str, bytes]:
    place = f"{ade20k.SPLITS[split]}/ADE_{split}_{index + 1:08d}"
    return {f"images/{place}.jpg": encode_jpeg(image), f"annotations/{place}.png": encode_labels(labels)}


def imagenet_s_files(split: str, index: int, image: Array, labels: NDArray[np.uint16]) -> dict[str, bytes]:
    name = _imagenet_name(_portrayed(index))
    wnid = next(wnid for wnid, known in imagenet_s.NAMES[50].items() if known == name)
    folder, place = imagenet_s.SPLITS[split], f"{wnid}/{split}_{index:08d}"
    return {
        f"{folder}/{place}.JPEG": encode_jpeg(image),
        f"{folder}-segmentation/{place}.png": encode_ids(labels),
    }


DOMAINS: dict[str, Domain] = {
    "voc": Domain(natural_pair, voc_files),
    "cityscapes": Domain(street_pair, cityscapes_files),
    "ade20k": Domain(indoor_pair, ade20k_files),
    **{
        f"imagenet_s{subset}": Domain(partial(portrait_pair, subset), imagenet_s_files) for subset in imagenet_s.SUBSETS
    },
}
