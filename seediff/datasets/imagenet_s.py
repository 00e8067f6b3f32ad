"""ImageNet-S (Gao et al. 2022): ``folder`` is ImageNetS50, ImageNetS300 or ImageNetS919 as its scripts prepare them.

Images lie in a folder for each class, named by its WordNet id, and label files beside them: RGB PNGs in which red and
256 times green make the class id. Ids count the WordNet ids of a subset in their order, from 1; 0 is any other thing,
1000 is ignored. ``imagenet_s.txt`` has them all: WordNet id, the smallest subset that it is in, and the name, which is
ImageNet's in lower case without apostrophes. ImageNet calls two classes 'crane' and two 'cardigan': here they are
'crane bird' and 'construction crane', 'cardigan corgi' and 'cardigan'.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from seediff.datasets.classes import BACKGROUND
from seediff.datasets.formats import Format
from seediff.datasets.images import decode_ids
from seediff.datasets.items import Item, check_folder, pairs_below

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


def split_parts(folder: Path, split: str) -> tuple[Path, Path]:
    """The folders of the split's images and label files; those of 'train' begin with 'train-semi'."""
    name = SPLITS.get(split, split)
    return folder / name, folder / f"{name}-segmentation"


def find_items(folder: Path, split: str) -> list[Item]:
    """The split's images and label files by name, wherever there is at least one of the two.

    This order mixes the validation set's classes.
    """
    images, labels = split_parts(folder, split)
    check_folder(images, "a folder a class, with *.JPEG")
    items = pairs_below(images, ".JPEG", labels, ".png")
    return sorted(items, key=lambda item: item.name)


def has_classes_of(subset: int, folder: Path) -> bool:
    """Whether the folder has the classes of that subset, each in a subfolder of its own."""
    return {path.name for path in (folder / SPLITS["train"]).glob("n*/")} == {*NAMES[subset]}


ALIASES_OF_50: dict[str, tuple[str, ...]] = {
    "aeroplane": ("airliner",),
    "bird": ("goldfinch",),
    "boat": ("container ship", "yawl"),
    "bottle": ("water bottle",),
    "car": ("beach wagon",),
    "cat": ("siamese cat",),
    "diningtable": ("dining table",),
    "dog": ("kuvasz",),
    "motorbike": ("motor scooter",),
    "train": ("bullet train",),
    "tvmonitor": ("television",),
}
"""The smallest subset has a kind or two of most of VOC's classes. Of the larger ones all kinds would have to be listed,
so their classes go by their own names alone."""

ABSENT_FROM_50 = ("bicycle", "bus", "chair", "cow", "horse", "person", "pottedplant", "sheep", "sofa")


def _format(
    subset: int, train: int, val: int, aliases: Mapping[str, tuple[str, ...]], absent: tuple[str, ...]
) -> Format:
    return Format(
        name=f"imagenet_s{subset}",
        title=f"ImageNet-S {subset}",
        files="JPEG images, RGB PNGs of class ids",
        source=(
            "ImageNet-S, https://github.com/LUSSeg/ImageNet-S: the labels, and scripts that take the images",
            "from a copy of ImageNet-1k (https://www.image-net.org, registration required); data_preparation.sh",
        ),
        place=Path(f"data/ImageNetS{subset}"),
        layout="ImageNet-S: train-semi, validation, and -segmentation of both",
        holds=("train-semi", "train-semi-segmentation", "validation", "validation-segmentation"),
        splits={"train": train, "val": val},
        sizes=((10, 10), (10_000, 10_000)),
        split_parts=split_parts,
        find_items=find_items,
        decode=decode_ids,
        distinctive=partial(has_classes_of, subset),
        labels=labels(subset),
        values=2**16,
        aliases=aliases,
        absent=absent,
    )


FORMATS = (
    _format(50, train=500, val=752, aliases=ALIASES_OF_50, absent=ABSENT_FROM_50),
    _format(300, train=3000, val=4097, aliases={}, absent=()),
    _format(919, train=9190, val=12419, aliases={}, absent=()),
)
