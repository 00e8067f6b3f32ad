"""Cityscapes (fine annotation): ``folder`` is the one with leftImg8bit and gtFine.

Its labels are read from *_labelIds.png, which come with it. Where a split has none of them, they are read from
*_labelTrainIds.png, which Cityscapes' scripts make of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from seediff.datasets.classes import IGNORE_LABEL
from seediff.datasets.formats import Format
from seediff.datasets.images import decode_mask
from seediff.datasets.items import Item, check_folder, pairs_below

TRAIN_IDS: dict[str, int] = {
    "road": 0, "sidewalk": 1, "building": 2, "wall": 3, "fence": 4, "pole": 5, "traffic light": 6, "traffic sign": 7,
    "vegetation": 8, "terrain": 9, "sky": 10, "person": 11, "rider": 12, "car": 13, "truck": 14, "bus": 15, "train": 16,
    "motorcycle": 17, "bicycle": 18,
}  # fmt: skip
"""Cityscapes' evaluated classes in the order of their training ids."""

IDS: dict[int, str] = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""Label id -> name of the evaluated classes; the other ids up to 33 are void."""

LABEL_COUNT = 34
"""Label ids run from 0 to 33."""

LABELS: dict[int, str | None] = {label: IDS.get(label) for label in range(LABEL_COUNT)}
"""Pixel value of a labelIds file -> class name; None is void, as in Cityscapes' own evaluation."""

TRAIN_ID_LABELS: dict[int, str | None] = {**{number: name for name, number in TRAIN_IDS.items()}, IGNORE_LABEL: None}
"""Pixel value of a labelTrainIds file -> class name."""

IMAGE_SUFFIX, LABEL_SUFFIX = "_leftImg8bit.png", "_gtFine_labelIds.png"
TRAIN_ID_SUFFIX = "_gtFine_labelTrainIds.png"


def split_parts(folder: Path, split: str) -> tuple[Path, Path]:
    """The folders of the split's images and label files."""
    return folder / "leftImg8bit" / split, folder / "gtFine" / split


def find_items(folder: Path, split: str, label_suffix: str = LABEL_SUFFIX) -> list[Item]:
    """The split's images and label files, city by city, wherever there is at least one of the two."""
    images, labels = split_parts(folder, split)
    check_folder(images, f"a folder a city, with *{IMAGE_SUFFIX}")
    return pairs_below(images, IMAGE_SUFFIX, labels, label_suffix)


@dataclass(frozen=True)
class Cityscapes(Format):
    """The format of label ids, or of training ids where a split has these alone."""

    def of(self, folder: Path, split: str) -> Format:
        labels = split_parts(folder, split)[1]
        by_ids, by_train_ids = (any(labels.glob(f"*/*{suffix}")) for suffix in (LABEL_SUFFIX, TRAIN_ID_SUFFIX))
        return BY_TRAIN_IDS if by_train_ids and not by_ids else self


FORMAT = Cityscapes(
    name="cityscapes",
    title="Cityscapes",
    files="PNG images, grey PNGs of label ids (*_gtFine_labelIds.png, or *_labelTrainIds.png alone)",
    source=(
        "The Cityscapes Dataset, https://www.cityscapes-dataset.com (registration required):",
        "gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip",
    ),
    place=Path("data/cityscapes"),
    layout="Cityscapes: leftImg8bit and gtFine",
    holds=("leftImg8bit", "gtFine"),
    splits={"train": 2975, "val": 500},
    sizes=((2048, 1024), (2048, 1024)),
    split_parts=split_parts,
    find_items=find_items,
    decode=partial(decode_mask, known=frozenset(LABELS)),
    labels=LABELS,
    aliases={
        "motorbike": ("motorcycle",),
        # The groups of the paper's Table 3; Cityscapes' own category 'vehicle' has the two-wheelers too.
        "human": ("person", "rider"),
        "vehicle": ("car", "bus", "truck", "train"),
    },
    absent=(
        "aeroplane", "bird", "boat", "bottle", "cat", "chair", "cow", "diningtable", "dog", "horse", "pottedplant",
        "sheep", "sofa", "tvmonitor",
    ),
    converted=frozenset({*TRAIN_IDS.values(), IGNORE_LABEL}),
)  # fmt: skip

BY_TRAIN_IDS = replace(
    FORMAT,
    find_items=partial(find_items, label_suffix=TRAIN_ID_SUFFIX),
    decode=partial(decode_mask, known=frozenset(TRAIN_ID_LABELS)),
    labels=TRAIN_ID_LABELS,
    converted=frozenset(),
)
"""The same images with labels of 0 to 18."""
