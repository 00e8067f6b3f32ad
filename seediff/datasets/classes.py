"""The classes of a study and their labels: 0 is the background, then the classes in order; 255 is ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seediff.errors import SeediffError
from seediff.names import check_texts, repeated

BACKGROUND = "background"
BACKGROUND_LABEL = 0
IGNORE_LABEL = 255
"""Pixels that count nowhere: not in a loss, not in a metric."""

MOST_CLASSES = IGNORE_LABEL - 1
"""Labels are single bytes."""

LARGE_IGNORE_LABEL = 65535
"""What ``IGNORE_LABEL`` is where a benchmark is read with more classes than that, in labels of two bytes."""


@dataclass(frozen=True)
class LabelSpace:
    """``names[k]`` is what label k stands for; label 0 is the background, ``ignore_label`` counts nowhere."""

    names: tuple[str, ...]
    ignore_label: int = IGNORE_LABEL


def check_classes(classes: Sequence[str]) -> None:
    """Raise ``SeediffError`` unless there are classes, each a text, each once, none of them the background."""
    check_texts("The classes", classes)
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
