"""What a table keeps as data for the report: dataclasses in sealed JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from seediff.errors import SeediffError
from seediff.files.sealed import read_json

Kind = TypeVar("Kind")


def as_json(content: Any) -> dict[str, Any]:
    """The fields of a dataclass, ready for JSON; sets become sorted lists."""
    fields = TypeAdapter(type(content)).dump_python(content, mode="json")
    return {
        name: sorted(value) if isinstance(getattr(content, name), frozenset) else value
        for name, value in fields.items()
    }


def read_stored(path: Path, what: str, kind: type[Kind]) -> Kind:
    """The dataclass that the file holds; ``SeediffError`` naming it as ``what`` if it is not as it was written."""
    content = read_json(path, what)
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise SeediffError(f"{what} {path} is broken (at {where!r}).\nDelete it and run the workflow again.") from None
