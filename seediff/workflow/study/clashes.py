"""Names of a study that would be one file or folder on a file system that ignores case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seediff.errors import SeediffError
from seediff.names import MASK_QUALITY, slug
from seediff.workflow.study.sections import Study


def check_clashes(study: Study) -> None:
    """Raise ``SeediffError`` if two names of one kind differ in capital letters alone."""
    for kind, names in _names_of_files(study):
        if clash := _alike(names):
            raise SeediffError(
                f"{kind} has {clash[0]!r} and {clash[1]!r}, which are one name on some file systems.\n"
                "Rename one of them."
            )


def _names_of_files(study: Study) -> Iterator[tuple[str, Iterable[str]]]:
    """Each kind of names that lie in one folder; classes as they stand in paths."""
    sections = (
        "adaptations", "prompt_sets", "image_sets", "passes", "filters", "recipes", "segmenters", "benchmarks",
    )  # fmt: skip
    yield from ((section, getattr(study, section)) for section in sections)
    yield "tables", [*study.tables, MASK_QUALITY]
    yield "classes", map(slug, study.every_class())


def _alike(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two that differ in capital letters alone."""
    seen: dict[str, str] = {}
    for name in names:
        if (first := seen.setdefault(name.lower(), name)) != name:
            return first, name
    return None
