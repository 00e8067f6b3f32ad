"""COCO: ``annotations/instances_<split>.json``, and images in ``<split>``, ``images/<split>`` or ``images``.

Every object is drawn with its class. Where objects overlap, the smaller one is in front, as a cup is in front of the
table it stands on. Regions of crowds are ignored where no object by itself is annotated. Pixels of no object, and
images without annotations, are background.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from seediff.datasets.class_lists import BACKGROUND_NAMES
from seediff.datasets.classes import BACKGROUND
from seediff.datasets.custom import CustomFormat
from seediff.datasets.formats import Format
from seediff.datasets.images import read_file
from seediff.datasets.items import Item, check_below
from seediff.datasets.segments import Segment, read_segment
from seediff.errors import SeediffError
from seediff.extras import require_extra
from seediff.names import check_text, reason, repeated

PREFIX = "instances_"
IGNORED = 2**16 - 1
"""The pixel value of crowds. Those of classes count the categories by their ids, from 1; 0 is background."""

ALIASES: dict[str, tuple[str, ...]] = {
    "aeroplane": ("airplane",),
    "diningtable": ("dining table",),
    "motorbike": ("motorcycle",),
    "pottedplant": ("potted plant",),
    "sofa": ("couch",),
    "tvmonitor": ("tv",),
}
"""What COCO calls classes of VOC; used where there is a category of that name, and none of VOC's."""


@dataclass(frozen=True)
class CocoImage:
    """An image of the JSON: ``place`` below the folder of images, and (pixel value, segment) of each object."""

    place: str
    height: int
    width: int
    objects: list[tuple[int, Segment]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return Path(self.place).with_suffix("").as_posix().replace("/", "_")

    def draw(self) -> NDArray[np.uint16]:
        """Pixel values (height, width): crowds first, then objects from the largest to the smallest."""
        values = np.zeros((self.height, self.width), np.uint16)
        drawn = [(value, segment, segment.runs()) for value, segment in self.objects]
        for value, segment, runs in sorted(drawn, key=lambda each: (each[0] != IGNORED, -each[2][1::2].sum())):
            values[segment.mask(runs)] = value
        return values


@dataclass(frozen=True)
class Annotations:
    """What a JSON file holds: ``categories`` in the order of their ids, ``images`` in its own; ``digest``: sha256."""

    path: Path
    categories: tuple[str, ...]
    images: tuple[CocoImage, ...]
    digest: str

    @property
    def labels(self) -> dict[int, str | None]:
        """Pixel value -> class."""
        named = (BACKGROUND if name.lower() in BACKGROUND_NAMES else name for name in self.categories)
        return {0: BACKGROUND, IGNORED: None, **dict(enumerate(named, start=1))}

    def draw(self, by_name: Mapping[str, CocoImage], item: Item) -> NDArray[np.uint16]:
        return by_name[item.name].draw()


def read_annotations(path: Path) -> Annotations:
    """The annotations in a JSON file, all of them checked; read again only if the file has changed.

    Raises ``SeediffError`` naming the first entry that makes no sense.
    """
    if not path.is_file():
        raise SeediffError(f"There is no file {path}.")
    state = path.stat()
    return _read(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2)
def _read(path: Path, size: int, changed: int) -> Annotations:
    content = read_file(path)
    try:
        found = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SeediffError(f"{path} is not readable JSON ({reason(error)}).") from None
    try:
        images, categories, annotations = (_entries(found, key) for key in ("images", "categories", "annotations"))
        names = _by_id(categories, "category", _category)
        if twice := repeated(names.values()):
            raise ValueError(f"two categories are called {twice[0]!r}")
        by_id = _by_id(images, "image", _image)
        _add_objects(by_id, sorted(names), annotations)
    except ValueError as error:
        raise SeediffError(f"{path}: {reason(error)}.\nRepair or remove it; docs/data-sets.md says more.") from None
    ordered = tuple(names[number] for number in sorted(names))
    return Annotations(path, ordered, tuple(by_id.values()), hashlib.sha256(content).hexdigest())


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _entries(found: Any, key: str) -> list[dict[str, Any]]:
    """A list of the JSON's objects."""
    entries = found.get(key) if isinstance(found, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"these are no instances of COCO, for there is no list {key!r}")
    return entries


def _by_id(entries: Iterable[dict[str, Any]], what: str, read: Callable[[dict[str, Any]], Any]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for entry in entries:
        if (number := _number(entry, "id", what)) in found:
            raise ValueError(f"the id {number} is that of two {what} entries")
        found[number] = read(entry)
    if not found:
        raise ValueError(f"it has no {what} entries")
    return found


def _number(entry: dict[str, Any], key: str, what: str) -> int:
    if type(number := entry.get(key)) is not int:
        raise ValueError(f"the {key!r} of {what} {entry.get('id')!r} is {number!r}, not a whole number")
    return number


def _category(entry: dict[str, Any]) -> str:
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"category {entry['id']} has no name")
    return check_text(name.strip())


def _image(entry: dict[str, Any]) -> CocoImage:
    what = f"image {entry['id']}"
    if not isinstance(place := entry.get("file_name"), str):
        raise ValueError(f"{what} has no 'file_name'")
    height, width = _number(entry, "height", "image"), _number(entry, "width", "image")
    if min(height, width) < 1 or height * width > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise ValueError(f"{what} would have {width} x {height} pixels")
    return CocoImage(check_below(place), height, width)


def _add_objects(by_id: Mapping[int, CocoImage], categories: list[int], annotations: list[dict[str, Any]]) -> None:
    """Give every image its objects."""
    if twice := repeated(number for entry in annotations if type(number := entry.get("id")) is int):
        raise ValueError(f"the id {twice[0]} is that of two annotations")
    values = {number: value for value, number in enumerate(categories, start=1)}
    for entry in tqdm(annotations, "annotations", mininterval=5, disable=None):
        what = f"annotation {entry.get('id')}"
        image = by_id.get(_number(entry, "image_id", "annotation"))
        value = values.get(_number(entry, "category_id", "annotation"))
        if image is None or value is None:
            missing = "image_id" if image is None else "category_id"
            raise ValueError(f"{what} has the {missing} {entry[missing]}, which does not exist")
        try:
            segment = read_segment(entry.get("segmentation"), image.height, image.width)
        except ValueError as error:
            raise ValueError(f"{what} of {image.place!r} {error}") from None
        image.objects.append((IGNORED if entry.get("iscrowd") else value, segment))


# --- the format


@dataclass(frozen=True)
class CocoFormat(CustomFormat):
    """The layout of COCO's own archives."""

    def present_splits(self, folder: Path) -> list[str]:
        files = sorted((folder / "annotations").glob(f"{PREFIX}?*.json"))
        return [path.stem.removeprefix(PREFIX) for path in files]

    def split_parts(self, folder: Path, split: str) -> tuple[Path, ...]:
        return folder / "annotations" / f"{PREFIX}{split}.json", _image_folder(folder, split)

    def read(self, folder: Path, split: str) -> Format:
        require_extra("coco")
        annotations = read_annotations(self.split_parts(folder, split)[0])
        names = {*annotations.categories}
        return self.described(
            folder,
            annotations.labels,
            self.find_items,
            draw=partial(annotations.draw, {image.name: image for image in annotations.images}),
            values=IGNORED + 1,
            aliases={name: own for name, own in ALIASES.items() if name not in names and {*own} <= names},
            digest=annotations.digest,
        )

    def find_items(self, folder: Path, split: str) -> list[Item]:
        """The images that the JSON lists, in its order, whether their files are there or not."""
        path, images = self.split_parts(folder, split)
        return [Item(image.name, images / image.place, path) for image in read_annotations(path).images]


def _image_folder(folder: Path, split: str) -> Path:
    """The first of the three possible folders that exists."""
    places = folder / split, folder / "images" / split
    found = [place for place in places if place.is_dir()]
    if len(found) > 1:
        raise SeediffError(f"The images of {split!r} could be in {found[0]} or in {found[1]}.\nKeep one of them.")
    return found[0] if found else folder / "images"


COCO = CocoFormat(
    name="coco",
    title="COCO instances",
    files="images, and a JSON of polygons and runs",
    layout="annotations/instances_<split>.json, and images in <split>, images/<split> or images",
    listed="the JSON's categories",
)
