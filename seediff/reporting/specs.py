"""What a table is to show: plain JSON of the study, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, get_args

from seediff.errors import SeediffError
from seediff.names import check_name, nearest

Metric = Literal["miou", "miou_listed"]


@dataclass(frozen=True)
class Row:
    """One line: the run it stands for and the number the paper reports for it (percent, or None)."""

    label: str
    recipe: str
    segmenter: str
    benchmark: str
    paper: float | None = None


@dataclass(frozen=True)
class TableSpec:
    """What a table shows: ``repeats`` runs a row, in the metric whose numbers the paper prints.

    ``embedded``: the study's images come from the embedded world, so that its numbers and the paper's must not be
    subtracted. ``listed_classes``: those the paper prints; ``reported_on``: the benchmark of the reported numbers.
    """

    name: str
    title: str
    caption: str
    rows: tuple[Row, ...]
    study: str
    repeats: int = 1
    metric: Metric = "miou"
    embedded: bool = False
    listed_classes: tuple[str, ...] = ()
    reported_on: str = ""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TableSpec:
        """Read plain JSON; unknown and absent keys, unknown metrics and unusable names are a ``SeediffError``."""
        _check_keys(cls, content, "The table")
        for row in content["rows"]:
            _check_keys(Row, row, f"A row of table {content['name']!r}")
        spec = cls(**{
            **content,
            "rows": tuple(Row(**row) for row in content["rows"]),
            "listed_classes": tuple(content.get("listed_classes", ())),
        })  # fmt: skip
        if spec.metric not in get_args(Metric):
            raise SeediffError(
                f"Table {spec.name!r}: unknown metric {spec.metric!r}.\n{nearest(spec.metric, get_args(Metric))}"
            )
        if spec.metric == "miou_listed" and not spec.listed_classes:
            raise SeediffError(
                f"Table {spec.name!r} wants the mean over listed classes, and 'listed_classes' is empty."
            )
        for row in spec.rows:
            for kind in ("recipe", "segmenter", "benchmark"):
                check_name(kind, getattr(row, kind))
        return spec


@dataclass(frozen=True)
class MaskQualitySpec:
    """A table of ``mask_quality/<benchmark>.json``: masks against exact annotation, no segmenter in between."""

    name: str
    title: str
    caption: str
    benchmark: str
    study: str

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> MaskQualitySpec:
        _check_keys(cls, content, "The mask quality table")
        check_name("benchmark", content["benchmark"])
        return cls(**content)


def _check_keys(kind: type, content: Mapping[str, Any], where: str) -> None:
    known = {field.name: field.default is MISSING for field in fields(kind)}
    if unknown := [key for key in content if key not in known]:
        raise SeediffError(f"{where} has the unknown key {unknown[0]!r}.\n{nearest(unknown[0], known)}")
    if absent := [key for key, required in known.items() if required and key not in content]:
        raise SeediffError(f"{where} lacks the key {absent[0]!r}.")
