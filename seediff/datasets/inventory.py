"""The real data sets: what they are officially, where to get them, and what of them is there (``seediff data list``).

Nothing is downloaded: each has terms of its own, to be agreed to on its home page. ``datasets.verification`` checks a
copy against what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from seediff.datasets import ade20k, cityscapes, imagenet_s, voc
from seediff.datasets.benchmarks import FORMATS, class_names
from seediff.datasets.classes import BACKGROUND, CITYSCAPES_TRAIN_IDS
from seediff.datasets.items import Item
from seediff.datasets.label_values import IGNORE_LABEL
from seediff.errors import SeediffError
from seediff.names import nearest

REQUIRED_SPLITS = ("train", "val")
"""Splits that every copy has; the others are asked for only where they are."""

STAND_IN_SIGN = "STAND-IN.txt"
"""The file that tells an embedded stand-in from the real data set."""

Size = tuple[int, int]


@dataclass(frozen=True)
class DataSet:
    """Official facts about a data set, and how its files are found whether they are all there or not.

    ``holds``: the subfolders without which a folder is no copy. ``split_parts``: what makes a split, a file or folder,
    then the folders that it needs besides. ``sizes``: bounds of the images' (width, height). ``converted``: values that
    label files have after the customary conversion to training ids, which is not what is read here; empty if there is
    none.
    """

    title: str
    files: str
    place: Path
    holds: tuple[str, ...]
    splits: Mapping[str, int]
    source: tuple[str, ...]
    sizes: tuple[Size, Size]
    split_parts: Callable[[Path, str], tuple[Path, ...]]
    find_items: Callable[[Path, str], list[Item]]
    converted: frozenset[int] = frozenset()

    def split_path(self, folder: Path, split: str) -> Path:
        """The file or folder that makes a split."""
        return self.split_parts(folder, split)[0]

    def present_splits(self, folder: Path) -> list[str]:
        return [split for split in self.splits if self.split_path(folder, split).exists()]

    def missing_folders(self, folder: Path) -> list[str]:
        return [name for name in self.holds if not (folder / name).is_dir()]


def data_set(name: str) -> DataSet:
    """The data set of that name; ``SeediffError`` with the nearest one if there is none."""
    if name not in DATA_SETS:
        raise SeediffError(f"There is no data set {name!r}.\n{nearest(name, DATA_SETS)}")
    return DATA_SETS[name]


def is_stand_in(folder: Path) -> bool:
    return (folder / STAND_IN_SIGN).is_file()


def list_datasets(root: Path) -> str:
    """Every data set and what of it is below ``root``, where the studies expect it; text for the terminal."""
    return "\n\n".join(_entry(name, known, root) for name, known in DATA_SETS.items())


def _entry(name: str, known: DataSet, root: Path) -> str:
    background = " and background" if BACKGROUND in FORMATS[name].labels.values() else ""
    facts = {
        "files": known.files,
        "folder": f"holds {', '.join(known.holds)}",
        "splits": ", ".join(f"{split} {number:,}" for split, number in known.splits.items()) + " images",
        "classes": f"{len(class_names(name))}{background}",
        "source": f"\n{'':11}".join(known.source),
        "place": f"{known.place}: {_found(known, root / known.place)}",
    }
    return f"{name}: {known.title}\n" + "\n".join(f"  {key + ':':9}{text}" for key, text in facts.items())


def _found(known: DataSet, folder: Path) -> str:
    """What is there, by a look at the lists alone."""
    if not folder.is_dir():
        return "not there"
    splits = known.present_splits(folder)
    if not splits:
        return f"found, but none of the splits {', '.join(known.splits)}"
    numbers = ", ".join(_number(known, folder, split) for split in splits)
    kind = "a stand-in with " if is_stand_in(folder) else ""
    return f"found: {kind}splits {', '.join(splits)} ({numbers} images)"


def _number(known: DataSet, folder: Path, split: str) -> str:
    try:
        return str(len(known.find_items(folder, split)))
    except (SeediffError, OSError):
        return "unreadable"


def _imagenet_s(subset: int, train: int, val: int) -> DataSet:
    return DataSet(
        title=f"ImageNet-S {subset}",
        files=f"JPEG images, RGB PNGs of class ids; format imagenet_s{subset}",
        place=Path(f"data/ImageNetS{subset}"),
        holds=("train-semi", "train-semi-segmentation", "validation", "validation-segmentation"),
        splits={"train": train, "val": val},
        source=(
            "ImageNet-S, https://github.com/LUSSeg/ImageNet-S: the labels, and scripts that take the images",
            "from a copy of ImageNet-1k (https://www.image-net.org, registration required); data_preparation.sh",
        ),
        sizes=((10, 10), (10_000, 10_000)),
        split_parts=imagenet_s.split_parts,
        find_items=imagenet_s.find_items,
    )


DATA_SETS: dict[str, DataSet] = {
    "voc": DataSet(
        title="PASCAL VOC 2012",
        files="JPEG images, palette PNGs of label ids; format voc",
        place=Path("data/VOCdevkit/VOC2012"),
        holds=("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
        splits={"train": 1464, "val": 1449, "trainval": 2913, "trainaug": 10582},
        source=(
            "The PASCAL Visual Object Classes Homepage, http://host.robots.ox.ac.uk/pascal/VOC/voc2012/:",
            "VOCtrainval_11-May-2012.tar",
            "trainaug: with SBD, the Semantic Boundaries Dataset (annotations in .mat files),",
            "http://home.bharathh.info/pubs/codes/SBD/download.html. What is read here is made from it and handed",
            "round without an official place: SegmentationClassAug (PNGs) and ImageSets/Segmentation/trainaug.txt",
        ),
        sizes=((50, 50), (500, 500)),
        split_parts=voc.split_parts,
        find_items=voc.find_items,
    ),
    "cityscapes": DataSet(
        title="Cityscapes",
        files="PNG images, grey PNGs of label ids (*_gtFine_labelIds.png); format cityscapes",
        place=Path("data/cityscapes"),
        holds=("leftImg8bit", "gtFine"),
        splits={"train": 2975, "val": 500},
        source=(
            "The Cityscapes Dataset, https://www.cityscapes-dataset.com (registration required):",
            "gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip",
        ),
        sizes=((2048, 1024), (2048, 1024)),
        split_parts=cityscapes.split_parts,
        find_items=cityscapes.find_items,
        converted=frozenset({*CITYSCAPES_TRAIN_IDS.values(), IGNORE_LABEL}),
    ),
    "ade20k": DataSet(
        title="ADE20K for scene parsing",
        files="JPEG images, grey PNGs of label ids; format ade20k",
        place=Path("data/ADEChallengeData2016"),
        holds=("images", "annotations"),
        splits={"train": 20210, "val": 2000},
        source=("MIT Scene Parsing Benchmark, http://sceneparsing.csail.mit.edu/:", "ADEChallengeData2016.zip"),
        sizes=((50, 50), (6000, 6000)),
        split_parts=ade20k.split_parts,
        find_items=ade20k.find_items,
    ),
    "imagenet_s50": _imagenet_s(50, train=500, val=752),
    "imagenet_s300": _imagenet_s(300, train=3000, val=4097),
    "imagenet_s919": _imagenet_s(919, train=9190, val=12419),
}
