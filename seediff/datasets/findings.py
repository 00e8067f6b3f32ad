"""The findings of a data set check: problems of the same kind make one finding, which names the first file."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from seediff.names import visible

AGAIN = "Unpack the archive again; `seediff data list` says which, and where to get it."
OWN = "Put the right file in its place."
"""What is said instead of ``AGAIN`` of data that come from no known archive."""


@dataclass(frozen=True)
class Finding:
    """``severity`` error: results from this copy would be wrong or impossible."""

    severity: Literal["error", "warning", "note"]
    text: str
    remedy: str = ""

    def of_own_data(self) -> Finding:
        """The same of data that come from no known archive."""
        return replace(self, remedy=self.remedy.replace(AGAIN, OWN))

    def __str__(self) -> str:
        """One or two lines, even if file names contain control characters."""
        return f"{self.severity}: {visible(self.text)}" + (f"\n  {visible(self.remedy)}" if self.remedy else "")


@dataclass(frozen=True)
class Report:
    """``checked``: for each split, what was checked."""

    heading: str
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def text(self) -> str:
        lines = [visible(self.heading), *(f"  {line}" for line in self.checked), *map(str, self.findings)]
        if self.checked:
            lines.append(
                "The checksums cover the sampled files, names and order included: two copies checked with the same\n"
                "options can be compared by them. No official checksums of the files are known."
            )
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        numbers = Counter(finding.severity for finding in self.findings)
        counts = [
            f"{numbers[kind]} {kind}{'s' * (numbers[kind] > 1)}" for kind in ("error", "warning") if numbers[kind]
        ]
        return f"{', '.join(counts)}." if counts else "No problem was found."


class Problem(Enum):
    """Kinds of problems with a file, each with its remedy."""

    NO_IMAGE = "missing image", AGAIN
    NO_LABELS = "missing label file", AGAIN
    TWICE = "image listed twice", "Its pixels would count twice. Keep one of the two."
    TWINS = "files whose names differ in case or ending alone", "Keep the one that is the data set's own."
    UNREADABLE = "file that cannot be read", "Check its permissions and the disk."
    BROKEN = "broken or cut off file", AGAIN
    UNUSUAL = "image that cannot be taken as RGB", "Save it as one picture of 8 bits a colour, without transparency."
    NO_PNG = "label file that is not a PNG", "Other formats may change labels when they are saved. " + AGAIN
    PALETTE = "label file in colours of its own", "Save the label ids as grey PNG, or in VOC's colours."
    PICTURE = "colour picture in place of label ids", "Use the label files of 8-bit label ids, not renderings of them."
    NO_IDS = "label file without class ids", "Use the label files as they come: RGB, red + 256 green, without blue."
    UNEQUAL = "image and label file of different sizes", "Was one of the two folders resized? " + AGAIN
    TURNED = (
        "image that its EXIF orientation turns, and whose labels fit it either way",
        "Save it the way it was annotated, without the orientation.",
    )
    TURNED_LABELS = (
        "label file that its EXIF orientation turns",
        "Save it as it lies on its image, without the orientation.",
    )
    SIZE = "image of a size that the data set does not have", "Was it resized or converted? " + AGAIN
    VALUES = "values that are not labels of the data set", "Were the labels converted or resized smoothly? " + AGAIN


class Problems:
    """Collects the files that have problems."""

    def __init__(self) -> None:
        self._cases: defaultdict[Problem, list[str]] = defaultdict(list)

    def add(self, problem: Problem, case: str) -> None:
        """``case``: the file, with details if needed."""
        self._cases[problem].append(case)

    def drop(self, problem: Problem) -> None:
        self._cases.pop(problem, None)

    def findings(self, split: str) -> list[Finding]:
        return [_finding(split, problem, cases) for problem, cases in self._cases.items()]


def _finding(split: str, problem: Problem, cases: list[str]) -> Finding:
    what, remedy = problem.value
    more = f", and {len(cases) - 1:,} more" if len(cases) > 1 else ""
    return Finding("error", f"{split}: {what}: {cases[0]}{more}", remedy)
