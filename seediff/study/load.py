"""Read a study file; every problem names the file, the key, and the nearest valid one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from pydantic import ValidationError

from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.study.references import check_references
from seediff.study.sections import Study


def load_study(path: Path) -> Study:
    """Read and check a study file; every problem is a ``SeediffError`` naming the file and the key."""
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise SeediffError(f"There is no study {path}.\n{nearest(path.stem, known) if known else 'No studies there.'}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeediffError(f"{path} is not valid YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        raise SeediffError(f"{path} must be a mapping of keys, found {type(content).__name__}.")
    try:
        study = parse_study(content)
        if study.name != path.stem:  # its results lie in a folder of that name
            raise SeediffError(f"name is {study.name!r}, but has to be that of the file, {path.stem!r}.")
        return study
    except SeediffError as error:
        raise SeediffError(f"{path}: {error}") from None


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML in which a key that comes twice is an error instead of the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [one.value for one, _ in node.value if one.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


def parse_study(content: Mapping[str, Any]) -> Study:
    """Check a study's content; ``SeediffError`` names the key that is wrong."""
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise SeediffError(_explain(error)) from None
    check_references(study)
    return study


def _explain(error: ValidationError) -> str:
    """The first problem pydantic found; an unknown key, which is often the missing one misspelt, goes before others."""
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    first = min(error.errors(), key=lambda one: one["type"] not in unknown)
    where = ".".join(str(part) for part in first["loc"] if part not in ("SyntheticRecipe", "RealRecipe"))
    if first["type"] in unknown:
        return f"unknown key '{where}'.\n{nearest(str(first['loc'][-1]), _keys_at(first['loc'][:-1]))}"
    return f"'{where}': {first['msg'].removeprefix('Value error, ')}."


def _keys_at(location: Iterable[Any]) -> list[str]:
    """Valid keys of the section at a location of the study, as pydantic writes locations."""
    section: Any = Study
    for part in location:
        members = _members(section)
        if get_origin(section) in (dict, tuple):
            section = get_args(section)[get_origin(section) is dict]
        elif part in (names := {member.__name__: member for member in members}):
            section = names[part]
        else:
            section = next((_fields(member)[part] for member in members if part in _fields(member)), section)
    return [key for member in _members(section) for key in _fields(member)]


def _members(annotation: Any) -> list[type]:
    """The model classes inside an annotation such as ``dict[str, A | B]`` or ``tuple[Row, ...]``."""
    if isinstance(annotation, type) and _fields(annotation):
        return [annotation]
    return [member for inner in get_args(annotation) for member in _members(inner)]


def _fields(section: Any) -> dict[str, Any]:
    """Key -> annotation of a model class or dataclass; nothing for anything else."""
    if is_dataclass(section):
        return get_type_hints(section)
    return {name: field.annotation for name, field in getattr(section, "model_fields", {}).items()}
