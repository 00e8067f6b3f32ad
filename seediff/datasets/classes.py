"""Class names: those of the data sets, the label space a study gives its own, and how one finds the other.

A study names its classes as VOC does. ``ALIASES`` says what a class is called elsewhere; a class may take in several
classes of a data set, which also expresses groups (Cityscapes' human and vehicle). ``ABSENT`` says which of VOC's
classes another data set has nothing of. A class that neither a data set nor these two know of is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from seediff.datasets.label_values import IGNORE_LABEL, LARGE_IGNORE_LABEL, MOST_CLASSES
from seediff.errors import SeediffError
from seediff.names import nearest, repeated

BACKGROUND = "background"

VOC_CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""PASCAL VOC's classes; label k + 1 is ``VOC_CLASSES[k]``."""

CITYSCAPES_TRAIN_IDS: dict[str, int] = {
    "road": 0, "sidewalk": 1, "building": 2, "wall": 3, "fence": 4, "pole": 5, "traffic light": 6, "traffic sign": 7,
    "vegetation": 8, "terrain": 9, "sky": 10, "person": 11, "rider": 12, "car": 13, "truck": 14, "bus": 15, "train": 16,
    "motorcycle": 17, "bicycle": 18,
}  # fmt: skip
"""Cityscapes' evaluated classes in the order of their training ids."""

CITYSCAPES_IDS: dict[int, str] = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""Label id -> name of the evaluated classes; the other ids up to 33 are void."""

CITYSCAPES_LABEL_COUNT = 34
"""Label ids run from 0 to 33."""

ADE20K_CLASSES: tuple[str, ...] = (
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

ALIASES: dict[str, dict[str, tuple[str, ...]]] = {
    "voc": {},
    "cityscapes": {
        "motorbike": ("motorcycle",),
        "human": ("person", "rider"),
        "vehicle": ("car", "bus", "truck", "train"),
    },
    "ade20k": {
        "aeroplane": ("airplane",),
        "diningtable": ("table",),
        "motorbike": ("minibike",),
        "pottedplant": ("plant",),
        "tvmonitor": ("television receiver", "crt screen", "monitor"),
    },
    "imagenet_s50": {
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
    },
    "imagenet_s300": {},
    "imagenet_s919": {},
}
"""Format -> class of a study -> what the data set calls it. Everything else goes by its own name.

The groups are the paper's (Table 3): its vehicles are car, bus, truck and train; Cityscapes' own category of that
name has the two-wheelers too. VOC's tvmonitor is either kind of screen, which ADE20K tells apart. ImageNet-S 50 has a
kind or two of most of VOC's classes; of the larger ones all kinds would have to be listed, so their classes go by their
own names alone.
"""

ABSENT: dict[str, tuple[str, ...]] = {
    "voc": (),
    "cityscapes": (
        "aeroplane", "bird", "boat", "bottle", "cat", "chair", "cow", "diningtable", "dog", "horse", "pottedplant",
        "sheep", "sofa", "tvmonitor",
    ),
    "ade20k": ("bird", "cat", "cow", "dog", "horse", "sheep", "train"),
    "imagenet_s50": ("bicycle", "bus", "chair", "cow", "horse", "person", "pottedplant", "sheep", "sofa"),
    "imagenet_s300": (),
    "imagenet_s919": (),
}  # fmt: skip
"""Format -> classes of VOC that the data set has nothing of.

A model that knows them can be tested there (the paper's Tables S2 and S3 do so); none can be trained on them.
"""


@dataclass(frozen=True)
class LabelSpace:
    """``names[k]`` is what label k stands for; label 0 is the background, ``ignore_label`` counts nowhere."""

    names: tuple[str, ...]
    ignore_label: int = IGNORE_LABEL


def check_classes(classes: Sequence[str]) -> None:
    """Raise ``SeediffError`` unless there are classes, each once, none of them the background."""
    if not classes:
        raise SeediffError("There are no classes.")
    if BACKGROUND in classes:
        raise SeediffError(
            f"{BACKGROUND!r} is among the classes, but is the name of what belongs to no class.\nLeave it out."
        )
    if twice := repeated(classes):
        raise SeediffError(f"The classes hold {twice[0]!r} twice.")


def label_space(classes: Sequence[str]) -> LabelSpace:
    """The label space of a study: the background, then its classes in order."""
    check_classes(classes)
    return LabelSpace((BACKGROUND, *classes), IGNORE_LABEL if len(classes) <= MOST_CLASSES else LARGE_IGNORE_LABEL)


def own_names(format: str, name: str) -> tuple[str, ...]:
    """What a data set of this format calls the class ``name`` of a study; nothing if it is known to have none of it."""
    if name in ABSENT[format]:
        return ()
    return ALIASES[format].get(name, (name,))


def label_by_name(
    format: str, known: Collection[str], classes: Sequence[str], lacks: Collection[str] = ()
) -> Mapping[str, int]:
    """The data set's class names -> labels of the study; those that the study does not have are left out.

    ``lacks``: the classes that the data set is said not to have. Raises ``SeediffError`` for another one that it does
    not have, if two classes claim the same one of the data set, or if none is left.
    """
    labels: dict[str, int] = {}
    for label, name in enumerate(classes, start=1):
        for own in _names_in(format, known, name, lacks):
            if own in labels:
                raise SeediffError(f"Both {classes[labels[own] - 1]!r} and {name!r} stand for {format}'s {own!r}.")
            labels[own] = label
    if not labels:
        raise SeediffError(f"{format} has none of the classes {', '.join(classes)}.")
    return labels


def _names_in(format: str, known: Collection[str], name: str, lacks: Collection[str]) -> tuple[str, ...]:
    names = own_names(format, name)
    if name in lacks:
        if names and {*names} <= {*known}:
            raise SeediffError(f"{format} has {name!r}, which is said to be lacking.\nTake it out of 'lacks'.")
        return ()
    if foreign := [own for own in names if own not in known]:
        raise SeediffError(f"{format} has no class {name!r}.\n{nearest(foreign[0], known)}")
    return names


def check_learnable(format: str, classes: Sequence[str]) -> None:
    """Raise ``SeediffError`` for a class that a data set of this format is known to have nothing of."""
    if absent := [name for name in classes if not own_names(format, name)]:
        raise SeediffError(
            f"{format} has no class {absent[0]!r} to learn from.\nLeave it out of the recipe's 'classes'."
        )
