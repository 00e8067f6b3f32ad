"""Read a study file; every problem names the file, the key, and the nearest valid one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import yaml
from pydantic import ValidationError

from seediff.errors import SeediffError
from seediff.files.sealed import read_json, write_json
from seediff.names import cut, nearest, reason, visible
from seediff.workflow.study.references import check_references
from seediff.workflow.study.sections import Study

TAGS = ("SyntheticRecipe", "RealRecipe", "Synthetic", "Real", "SegmenterTable", "MaskQualityTable")
"""Kinds of sections that are not part of a place in what was written."""
LARGEST_FILE = 4 * 2**20
"""Bytes, far above any real study's."""


def load_study(path: Path) -> Study:
    """Read and check a study file; every problem is a ``SeediffError`` naming the file and the key."""
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise SeediffError(f"There is no study {path}.\n{nearest(path.stem, known) if known else 'No studies there.'}")
    content = _read_yaml(path)
    if not isinstance(content, dict):
        raise SeediffError(f"{path} must be a mapping of keys, found {type(content).__name__}.")
    try:
        study = parse_study(content)
        if study.name != path.stem:  # its results lie in a folder of that name
            raise SeediffError(f"name is {study.name!r}, but has to be that of the file, {path.stem!r}.")
        return study
    except SeediffError as error:
        raise SeediffError(f"{path}: {error}") from None


def _read_yaml(path: Path) -> Any:
    if path.stat().st_size > LARGEST_FILE:
        raise SeediffError(f"{path} is larger than {LARGEST_FILE:,} bytes, so it is no study.")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _StudyLoader)
    except RecursionError:
        raise SeediffError(f"{path} is not valid YAML: it is nested too deeply.") from None
    except OSError as error:
        raise SeediffError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # PyYAML lets through whatever a scalar such as the date 2026-99-99 makes Python raise
        raise SeediffError(f"{path} is not valid YAML: {reason(error)}") from None


class _StudyLoader(yaml.SafeLoader):
    """Safe YAML that reads words and numbers as YAML 1.2 does, and as people do: 'no' and '1:30' are words.

    PyYAML alone reads 1.1, where they are false and 90, and 010 is 8; that last one is an error here. So is a key that
    comes twice, of which PyYAML takes the last.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        keys = Counter(str(key.value) for key, _ in pairs if key.tag != "tag:yaml.org,2002:merge")
        if twice := [key for key, times in keys.items() if times > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node))
        if not re.fullmatch(_PLAIN["int"][0], text) or re.fullmatch(r"[-+]?0[0-9_]+", text):
            problem = f"{text} can be read as more than one number; write it without a 0 before it, or in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return int(super().construct_yaml_int(node))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        text = str(self.construct_scalar(node))
        if not re.fullmatch(_PLAIN["float"][0], text):
            raise yaml.constructor.ConstructorError(None, None, f"{text} is no number", node.start_mark)
        return float(super().construct_yaml_float(node))


_PLAIN = {
    "null": (r"~|null|Null|NULL|", ("~", "n", "N", "")),
    "bool": (r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    "int": (r"[-+]?(0x[0-9a-fA-F]+|[0-9][0-9_]*)", tuple("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        tuple("-+.0123456789"),
    ),
    "merge": (r"<<", ("<",)),
}
"""What a value without quotes is taken for, the first that fits: its pattern, and the characters it begins with."""
for kind, (pattern, beginnings) in _PLAIN.items():
    _StudyLoader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"(?:{pattern})$"), beginnings)


for kind in ("int", "float"):
    _StudyLoader.add_constructor(f"tag:yaml.org,2002:{kind}", getattr(_StudyLoader, f"construct_yaml_{kind}"))


def write_snapshot(path: Path, study: Study) -> None:
    """Note the study as it is now, for the jobs of a run."""
    write_json(path, {"study": study.model_dump(mode="json")})


def read_snapshot(path: Path) -> Study:
    """The study as it was noted."""
    return parse_study(read_json(path, "The study's snapshot").get("study", {}))


def parse_study(content: Mapping[str, Any]) -> Study:
    """Check a study's content; ``SeediffError`` names the key that is wrong."""
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise SeediffError(explain(error, Study)) from None
    check_references(study)
    return study


def explain(error: ValidationError, section: Any) -> str:
    """The first problem pydantic found in the section.

    An unknown key, which is often the missing one misspelt, goes before others.
    """
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    first = min(error.errors(), key=lambda problem: problem["type"] not in unknown)
    parts = [str(part) for part in first["loc"] if part not in TAGS]
    where = visible(".".join(parts)) or "all of it"
    if first["type"] in unknown:
        return f"unknown key '{where}'.\n{nearest(str(first['loc'][-1]), _keys_at(section, first['loc'][:-1]))}"
    return f"'{where}': {cut(visible(first['msg'].removeprefix('Value error, ')))}."


def _keys_at(section: Any, location: Iterable[Any]) -> list[str]:
    """Valid keys at a location within the section, as pydantic writes locations."""
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
