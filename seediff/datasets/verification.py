"""Checks a user's copy of a data set against what is officially in it (``seediff data check``).

Nothing stops the check: it ends with all kinds of problems that there are, each said once. A stand-in drawn by
``pictograms.domains`` is checked for its format only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tqdm import tqdm

from seediff.datasets.benchmarks import FORMATS, OBJECT_MASKS, are_object_masks, class_names
from seediff.datasets.findings import AGAIN, Finding, Problem, Problems, Report
from seediff.datasets.images import read_file
from seediff.datasets.inventory import (
    DATA_SETS,
    REQUIRED_SPLITS,
    STAND_IN_SIGN,
    DataSet,
    data_set,
    is_stand_in,
)
from seediff.datasets.items import Item, item_problems
from seediff.datasets.sampling import SampledFiles, spread
from seediff.errors import SeediffError
from seediff.names import nearest


def check_dataset(name: str, folder: Path, splits: Sequence[str] | None = None, sample: int | None = 50) -> Report:
    """Check folders, lists and numbers of files, and read ``sample`` images a split with their labels (None: all).

    ``splits``: train and val and whatever else is there, unless given. Raises ``SeediffError`` for a name of a data
    set or of a split that does not exist; whatever is wrong with the copy is in the report.
    """
    known = data_set(name)
    for split in splits or ():
        if split not in known.splits:
            raise SeediffError(f"{known.title} has no split {split!r}.\n{nearest(split, known.splits)}")
    findings, checked = _structure(known, folder), []
    if folder.is_dir() and len(known.missing_folders(folder)) < len(known.holds):
        findings += _stand_in(known, folder)
        chosen = list(splits or _splits(known, folder))
        for split in chosen:
            line, found = _check_split(name, folder, split, sample)
            checked.append(line)
            findings += found
        findings += _shared_images(known, folder, chosen)
    return Report(f"{known.title} in {folder}", tuple(checked), tuple(findings))


def _splits(known: DataSet, folder: Path) -> list[str]:
    return list(dict.fromkeys([*REQUIRED_SPLITS, *known.present_splits(folder)]))


def _structure(known: DataSet, folder: Path) -> list[Finding]:
    """An error if the folder is not the one that holds the data set, with the one that may be meant."""
    if not folder.is_dir():
        return [Finding("error", f"There is no folder {folder}", f"It should hold {', '.join(known.holds)}. {AGAIN}")]
    if not (missing := known.missing_folders(folder)):
        return []
    return [Finding("error", f"{folder} does not hold {', '.join(missing)}", _place_meant(known, folder, missing))]


def _place_meant(known: DataSet, folder: Path, missing: Sequence[str]) -> str:
    near = sorted([*folder.glob("*/"), *folder.glob("*/*/")], key=lambda path: (path.name != known.place.name, path))
    for place in (*near, *folder.resolve().parents[:2]):
        if not known.missing_folders(place):
            return f"{place} looks right: give that folder."
    for other, candidate in DATA_SETS.items():
        if not candidate.missing_folders(folder):
            return f"This looks like {candidate.title}: give the name {other}."
    tops = {Path(name).parts[0] for name in missing}
    astray = [str(path) for path in near if path.name in tops]
    return f"Move to {folder}: {', '.join(astray)}" if astray else AGAIN


def _stand_in(known: DataSet, folder: Path) -> list[Finding]:
    if not is_stand_in(folder):
        return []
    text = f"{folder} is an embedded stand-in ({STAND_IN_SIGN}), not {known.title}: only its format is checked"
    return [Finding("note", text, "If something is wrong with it, delete it: it is drawn anew when it is needed.")]


def _check_split(name: str, folder: Path, split: str, sample: int | None) -> tuple[str, list[Finding]]:
    """What was looked at, in a line, and what is wrong with it."""
    known, official = DATA_SETS[name], not is_stand_in(folder)
    if not (path := known.split_path(folder, split)).exists():
        return f"{split}: not there", [Finding("error", f"{split}: {path} is missing", AGAIN)]
    try:
        items = known.find_items(folder, split)
    except (SeediffError, OSError) as error:
        text, _, remedy = str(error).partition("\n")
        return f"{split}: not checked", [Finding("error", f"{split}: {text}", remedy)]
    chosen = spread(items, sample)
    seen = SampledFiles(folder, FORMATS[name], known.sizes if official else None)
    for item in tqdm(chosen, split, unit="image", mininterval=5, disable=None):
        seen.add(item)
    classes = f"{len(seen.classes)} of {len(class_names(name))} classes"
    line = f"{split}: {len(items):,} images, {len(chosen):,} read with labels, {classes}\n    sha256 {seen.checksum}"
    findings = [*_number(known, path, split, len(items), official), *_misplaced(folder, split, items)]
    if are_object_masks(_readable_labels(name, items)):
        seen.problems.drop(Problem.VALUES)  # the same thing, said worse
        masks = Finding("error", f"{split}: {OBJECT_MASKS[0]}", OBJECT_MASKS[1])
        return line, [*findings, *seen.problems.findings(split), masks]
    return line, [*findings, *seen.findings(split, known.converted)]


def _readable_labels(name: str, items: Iterable[Item]) -> Iterator[NDArray[Any]]:
    """The label files of a split; those that cannot be read, which are reported elsewhere, left out."""
    for item in items:
        try:
            if item.labels.is_file():  # a pipe would be waited for
                yield FORMATS[name].decode(read_file(item.labels), str(item.labels))
        except (SeediffError, OSError):
            continue


def _number(known: DataSet, path: Path, split: str, number: int, official: bool) -> list[Finding]:
    if number == 0:
        return [Finding("error", f"{split}: {path} lists no images", AGAIN)]
    if official and number != known.splits[split]:
        text = f"{split}: {number:,} images in {path}, officially there are {known.splits[split]:,}"
        return [Finding("error", text, "Numbers from another set of images cannot be compared. " + AGAIN)]
    return []


def _misplaced(folder: Path, split: str, items: Iterable[Item]) -> list[Finding]:
    problems = Problems()
    for problem, path, remark in item_problems(items):
        problems.add(problem, f"{path.relative_to(folder).as_posix()}{remark}")
    return problems.findings(split)


def _shared_images(known: DataSet, folder: Path, splits: Sequence[str]) -> list[Finding]:
    """Errors for images of val in a list to train on, such as SBD's own."""
    findings = []
    for split in (split for split in ("train", "trainaug") if split in splits):
        try:
            both = _images(known, folder, "val") & _images(known, folder, split)
        except (SeediffError, OSError):  # a broken list has been reported
            continue
        if both:
            text = f"{split}: {len(both):,} of its images are in val as well, such as {min(both).name}"
            findings.append(
                Finding("error", text, "Use the list that leaves out val, or nothing trained on it can be tested.")
            )
    return findings


def _images(known: DataSet, folder: Path, split: str) -> set[Path]:
    return {item.image for item in known.find_items(folder, split)}
