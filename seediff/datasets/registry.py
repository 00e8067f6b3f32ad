"""All data set formats, by the name that a study gives them; what of each data set is here (``seediff data list``).

``FORMATS`` are those of single data sets, ``CUSTOM`` those that anyone's data can have.

Nothing is downloaded: each data set has terms of its own, to be agreed to on its home page.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seediff.datasets import ade20k, cityscapes, coco, folder, imagenet_s, voc, voc_like
from seediff.datasets.classes import BACKGROUND
from seediff.datasets.custom import CustomFormat
from seediff.datasets.formats import STAND_IN_SIGN, Format
from seediff.datasets.items import check_folder
from seediff.errors import SeediffError
from seediff.names import nearest

FORMATS: dict[str, Format] = {
    format.name: format for format in (voc.FORMAT, cityscapes.FORMAT, ade20k.FORMAT, *imagenet_s.FORMATS)
}


CUSTOM: dict[str, CustomFormat] = {
    format.name: format for format in (folder.FOLDER, folder.LABELME, coco.COCO, voc_like.VOC_LIKE)
}


def known_formats() -> Mapping[str, Format | CustomFormat]:
    return {**FORMATS, **CUSTOM}


def find_format(name: str) -> Format | CustomFormat:
    """The format of that name, whose ``of`` gives that of a folder; ``SeediffError`` with the nearest name."""
    if (found := known_formats().get(name)) is None:
        raise SeediffError(f"There is no data set format {name!r}.\n{nearest(name, known_formats())}")
    return found


def recognise(folder: Path) -> Format | CustomFormat:
    """The format of a folder, by the names of folders and files in it; ``SeediffError`` if none or several fit."""
    check_folder(folder, "images with their labels")
    ade20k.check_not_full(folder)
    fitting = [format for format in known_formats().values() if format.recognises(folder)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " or ".join(format.name for format in fitting)
        raise SeediffError(f"{folder} could be {names}.\nSay which it is, as the format.")
    layouts = "; ".join(f"{name} ({format.layout})" for name, format in known_formats().items())
    raise SeediffError(f"{folder} is laid out like no data set that is known.\nKnown: {layouts}.")


def is_stand_in(folder: Path) -> bool:
    return (folder / STAND_IN_SIGN).is_file()


def list_datasets(root: Path) -> str:
    """Every data set and what of it is below ``root``, where the studies expect it; text for the terminal.

    The formats for data of one's own come last.
    """
    return "\n\n".join([*(_entry(format, root) for format in FORMATS.values()), *map(_custom_entry, CUSTOM.values())])


def _custom_entry(format: CustomFormat) -> str:
    facts = {"files": f"{format.files}; format {format.name}", "folder": format.layout, "classes": format.listed}
    return _facts(format, facts)


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
    return _facts(format, facts)


def _facts(format: Format | CustomFormat, facts: Mapping[str, str]) -> str:
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
