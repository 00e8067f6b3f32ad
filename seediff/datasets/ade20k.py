"""ADE20K's scene parsing benchmark: ``folder`` is the one with images and annotations (ADEChallengeData2016)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from seediff.datasets.formats import Format
from seediff.datasets.images import decode_mask
from seediff.datasets.items import Item, check_folder, pairs_below
from seediff.errors import SeediffError

CLASSES: tuple[str, ...] = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk",
    "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
    "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase",
    "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel", "light",
    "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television receiver", "airplane", "dirt track",
    "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van",
    "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool", "barrel",
    "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank", "trade name",
    "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce",
    "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board",
    "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
"""The 150 classes of ADE20K's scene parsing benchmark, by the first of their names; label k + 1 is entry k."""

LABELS: dict[int, str | None] = {0: None, **dict(enumerate(CLASSES, start=1))}
"""Pixel value -> class name; 0, 'other objects', counts nowhere, as in the benchmark's own evaluation."""

SPLITS = {"train": "training", "val": "validation"}
"""Split -> its folders' name; a split of another name has folders of that name."""


def split_parts(folder: Path, split: str) -> tuple[Path, Path]:
    """The folders of the split's images and label files."""
    name = SPLITS.get(split, split)
    return folder / "images" / name, folder / "annotations" / name


def check_not_full(folder: Path) -> None:
    """Raise ``SeediffError`` for the full ADE20K: its list of classes is a pickle, and pickles are never opened."""
    if (folder / "images" / "ADE").is_dir():
        raise SeediffError(
            f"{folder} is the full ADE20K, which is not read: its list of classes is a pickle, which may hold code.\n"
            "Use ADEChallengeData2016.zip, the same images with the labels of 150 classes (`seediff data list`)."
        )


def find_items(folder: Path, split: str) -> list[Item]:
    """The split's images and label files by name, wherever there is at least one of the two."""
    check_not_full(folder)
    images, labels = split_parts(folder, split)
    check_folder(images, "the split's *.jpg")
    return pairs_below(images, ".jpg", labels, ".png")


FORMAT = Format(
    name="ade20k",
    title="ADE20K for scene parsing",
    files="JPEG images, grey PNGs of label ids",
    source=("MIT Scene Parsing Benchmark, http://sceneparsing.csail.mit.edu/:", "ADEChallengeData2016.zip"),
    place=Path("data/ADEChallengeData2016"),
    layout="ADE20K for scene parsing: images and annotations",
    holds=("images", "annotations"),
    splits={"train": 20210, "val": 2000},
    sizes=((50, 50), (6000, 6000)),
    split_parts=split_parts,
    find_items=find_items,
    decode=partial(decode_mask, known=frozenset(LABELS)),
    labels=LABELS,
    aliases={
        "aeroplane": ("airplane",),
        "diningtable": ("table",),
        "motorbike": ("minibike",),
        "pottedplant": ("plant",),
        "tvmonitor": ("television receiver", "crt screen", "monitor"),  # VOC's is either kind of screen
    },
    absent=("bird", "cat", "cow", "dog", "horse", "sheep", "train"),
)
