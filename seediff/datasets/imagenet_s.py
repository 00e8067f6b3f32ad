"""ImageNet-S (Gao et al. 2022): ``folder`` is ImageNetS50, ImageNetS300 or ImageNetS919 as its scripts prepare them.

Images lie in a folder for each class, named by its WordNet id, and label files beside them: RGB PNGs in which red and
256 times green make the class id. Ids count the WordNet ids of a subset in their order, from 1; 0 is any other thing,
1000 is ignored. ``imagenet_s.txt`` has them all: WordNet id, the smallest subset that it is in, and the name, which is
ImageNet's in lower case without apostrophes. ImageNet calls two classes 'crane' and two 'cardigan': here they are
'crane bird' and 'construction crane', 'cardigan corgi' and 'cardigan'.
"""

from __future__ import annotations

from pathlib import Path

from seediff.datasets.classes import BACKGROUND
from seediff.datasets.items import Item, check_folder, check_items, pairs_below

SUBSETS = (50, 300, 919)
"""Numbers of classes; each subset's are among those of the next."""

IGNORED = 1000

SPLITS = {"train": "train-semi", "val": "validation"}
"""The annotated ones: ten training images a class, and the validation set. Labels of the test set are kept secret."""


def _read_names() -> dict[int, dict[str, str]]:
    """Subset -> WordNet id -> class name, in the order of the class ids."""
    text = (Path(__file__).parent / "imagenet_s.txt").read_text(encoding="utf-8")
    rows = [line.split(" ", 2) for line in text.splitlines()]
    return {size: {wnid: name for wnid, least, name in rows if int(least) <= size} for size in SUBSETS}


NAMES = _read_names()


def labels(subset: int) -> dict[int, str | None]:
    """Class id -> name; None is ignored, as in ImageNet-S' own evaluation."""
    return {0: BACKGROUND, **dict(enumerate(NAMES[subset].values(), start=1)), IGNORED: None}


def list_items(folder: Path, split: str) -> list[Item]:
    """The split's images by name, which mixes the validation set's classes, none of them missing."""
    check_folder(folder, "ImageNet-S: train-semi, validation, and -segmentation of both")
    return check_items(find_items(folder, split), folder, split_parts(folder, split)[0])


def split_parts(folder: Path, split: str) -> tuple[Path, Path]:
    """The folders of the split's images and label files; those of 'train' begin with 'train-semi'."""
    name = SPLITS.get(split, split)
    return folder / name, folder / f"{name}-segmentation"


def find_items(folder: Path, split: str) -> list[Item]:
    """The split's images and label files by name, wherever there is at least one of the two."""
    images, labels = split_parts(folder, split)
    check_folder(images, "a folder a class, with *.JPEG")
    items = pairs_below(images, ".JPEG", labels, ".png")
    return sorted(items, key=lambda item: item.name)
