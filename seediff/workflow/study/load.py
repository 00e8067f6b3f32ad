"""Read a study file; every problem names the file, the key, and the nearest valid one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from seediff.errors import SeediffError
from seediff.files.sealed import read_json, write_json
from seediff.files.yaml_files import read_yaml
from seediff.names import cut, nearest, visible
from seediff.settings import wanted
from seediff.workflow.study.references import check_references
from seediff.workflow.study.sections import REFUSED_SETTINGS, Study

TAGS = (
    "SyntheticRecipe", "RealRecipe", "SegmenterTable", "JudgedTable", "Table", "MaskTable",
    "SceneJudge", "ReferenceJudge",
)  # fmt: skip
"""Kinds of sections that are not part of a place in what was written."""


def load_study(path: Path) -> Study:
    """Read and check a study file; every problem is a ``SeediffError`` naming the file and the key."""
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise SeediffError(f"There is no study {path}.\n{nearest(path.stem, known) if known else 'No studies there.'}")
    content = read_yaml(path, "study")
    if not isinstance(content, dict):
        raise SeediffError(f"{path} must be a mapping of keys, found {type(content).__name__}.")
    try:
        study = parse_study(content)
        if study.name != path.stem:  # its results lie in a folder of that name
            raise SeediffError(f"name is {study.name!r}, but has to be that of the file, {path.stem!r}.")
        return study
    except SeediffError as error:
        raise SeediffError(f"{path}: {error}") from None


def write_snapshot(path: Path, study: Study) -> None:
    """Note the study as it is now, for the jobs of a run."""
    write_json(path, {"study": study.model_dump(mode="json")})


def read_snapshot(path: Path) -> Study:
    """The study as it was noted."""
    return parse_study(read_json(path, "The study's snapshot").get("study", {}))


def parse_study(content: Mapping[str, Any]) -> Study:
    """Check a study's content; ``SeediffError`` names the key that is wrong."""
    try:
        study = Study.model_validate_json(_as_json(content), strict=True)
    except ValidationError as error:
        raise SeediffError(explain(error, Study)) from None
    check_references(study)
    return study


def _as_json(content: Mapping[str, Any]) -> str:
    """As JSON a list is a tuple to pydantic, while its strict mode refuses "3" and true for numbers."""
    try:
        return json.dumps(content, default=_refuse)
    except (ValueError, RecursionError):
        raise SeediffError("a section is part of itself, or nested too deeply.") from None


def _refuse(value: Any) -> None:
    """Dates, bytes and other kinds of values that YAML can hold."""
    raise SeediffError(f"{cut(visible(repr(value)))} is neither a text, a number, a list nor a mapping.")


def explain(error: ValidationError, section: Any) -> str:
    """The first problem pydantic found in the section, in the words of ``settings.check_bounds``.

    An unknown key, which is often the missing one misspelt, goes before others.
    """
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    first = min(error.errors(), key=lambda problem: problem["type"] not in unknown)
    parts = [str(part) for part in first["loc"] if part not in TAGS]
    where = visible(".".join(parts)) or "all of it"
    if first["type"] in unknown:
        return f"unknown key '{where}'.\n{nearest(str(first['loc'][-1]), _keys(_at(section, first['loc'][:-1])))}"
    if first["type"] == REFUSED_SETTINGS:
        return f"'{where}': {first['msg']}"
    if first["type"] in ("too_short", "too_long"):
        return f"'{where}' must have {first['msg'].partition(' have ')[2].replace(' after validation', '')}."
    if _WRONG_VALUE.fullmatch(first["type"]):
        return f"'{where}' is {cut(visible(repr(first['input'])))}, but must be {_wanted(_at(section, first['loc']))}."
    return f"'{where}': {cut(visible(first['msg'].removeprefix('Value error, ')))}."


_WRONG_VALUE = re.compile(
    r".*_type|int_\w+|float_\w+|(greater|less)_than(_equal)?|multiple_of|finite_number|literal_error"
)
"""pydantic's names for problems with a value's type or bounds."""


def _at(section: Any, location: Iterable[Any]) -> Any:
    """The annotation at a location within the section, as pydantic writes locations."""
    for part in location:
        members = _members(section)
        if part in (names := {member.__name__: member for member in members}):
            section = names[part]
        elif found := [_fields(member)[part] for member in members if part in _fields(member)]:
            section = found[0]
        elif values := _values(section):
            section = values[0]
    return section


def _values(annotation: Any) -> list[Any]:
    """The annotations of the values in a list or mapping, wherever in the annotation that is."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (dict, tuple):
        return [inner[origin is dict]]
    return [value for part in inner for value in _values(part)]


def _wanted(annotation: Any, bounds: tuple[Any, ...] = ()) -> str:
    """What a value must be, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _wanted(inner[0], inner[1:])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_wanted(part, bounds) for part in inner if part is not NoneType))
    if origin in (tuple, list):
        return "a list"
    return "a mapping of keys" if origin is dict or _fields(annotation) else wanted(annotation, bounds)


def _keys(annotation: Any) -> list[str]:
    return [key for member in _members(annotation) for key in _fields(member)]


def _members(annotation: Any) -> list[type]:
    """The model classes inside an annotation such as ``dict[str, A | B]`` or ``tuple[Row, ...]``."""
    if isinstance(annotation, type) and _fields(annotation):
        return [annotation]
    return [member for inner in get_args(annotation) for member in _members(inner)]


def _fields(section: Any) -> dict[str, Any]:
    """Key -> annotation of a model class or dataclass; nothing for anything else."""
    names = getattr(section, "model_fields", getattr(section, "__dataclass_fields__", {}))
    return {name: get_type_hints(section, include_extras=True)[name] for name in names}
