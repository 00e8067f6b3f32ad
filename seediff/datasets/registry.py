"""All data set formats, by the name that a study gives them; what of each data set is here (``seediff data list``).

Nothing is downloaded: each data set has terms of its own, to be agreed to on its home page.
"""

from __future__ import annotations

from pathlib import Path

from seediff.datasets import ade20k, cityscapes, imagenet_s, voc
from seediff.datasets.classes import BACKGROUND
from seediff.datasets.formats import STAND_IN_SIGN, Format
from seediff.errors import SeediffError
from seediff.names import nearest

FORMATS: dict[str, Format] = {
    format.name: format for format in (voc.FORMAT, cityscapes.FORMAT, ade20k.FORMAT, *imagenet_s.FORMATS)
}


def find_format(name: str) -> Format:
    """The format of that name; ``SeediffError`` with the nearest name if there is none."""
    if name not in FORMATS:
        raise SeediffError(f"There is no data set format {name!r}.\n{nearest(name, FORMATS)}")
    return FORMATS[name]


def is_stand_in(folder: Path) -> bool:
    return (folder / STAND_IN_SIGN).is_file()


def list_datasets(root: Path) -> str:
    """Every data set and what of it is below ``root``, where the studies expect it; text for the terminal."""
    return "\n\n".join(_entry(format, root) for format in FORMATS.values())


def _entry(format: Format, root: Path) -> str:
    background = " and background" if BACKGROUND in format.labels.values() else ""
    facts = {
        "files": f"{format.files}; format {format.name}",
        "folder": f"holds {', '.join(format.holds)}",
        "splits": ", ".join(f"{split} {number:,}" for split, number in format.splits.items()) + " images",
        "classes": f"{len(format.class_names)}{background}",
        "source": f"\n{'':11}".join(format.source),
        "place": f"{format.place}: {_found(format, root / format.place)}",
    }
    return f"{format.name}: {format.title}\n" + "\n".join(f"  {key + ':':9}{text}" for key, text in facts.items())


def _found(format: Format, folder: Path) -> str:
    """What is there, from its lists of files alone."""
    if not folder.is_dir():
        return "not there"
    splits = format.present_splits(folder)
    if not splits:
        return f"found, but none of the splits {', '.join(format.splits)}"
    numbers = ", ".join(_number(format, folder, split) for split in splits)
    kind = "a stand-in with " if is_stand_in(folder) else ""
    return f"found: {kind}splits {', '.join(splits)} ({numbers} images)"


def _number(format: Format, folder: Path, split: str) -> str:
    try:
        return str(len(format.find_items(folder, split)))
    except (SeediffError, OSError):
        return "unreadable"
