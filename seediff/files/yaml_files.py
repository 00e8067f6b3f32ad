"""YAML that people write: safe, and read as they mean it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import yaml

from seediff.errors import SeediffError
from seediff.names import reason

LARGEST_FILE = 4 * 2**20
"""Bytes, far above any real file of settings."""


def read_yaml(path: Path, kind: str) -> Any:
    """The content of a YAML file that people write; ``SeediffError``, which calls it ``kind``, if it is none."""
    if path.stat().st_size > LARGEST_FILE:
        raise SeediffError(f"{path} is larger than {LARGEST_FILE:,} bytes, so it is no {kind}.")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except RecursionError:
        raise SeediffError(f"{path} is not valid YAML: it is nested too deeply.") from None
    except OSError as error:
        raise SeediffError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # PyYAML lets through whatever a scalar such as the date 2026-99-99 makes Python raise
        raise SeediffError(f"{path} is not valid YAML: {reason(error)}") from None


class _Loader(yaml.SafeLoader):
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
        found = super().construct_mapping(node, deep)
        if others := [key for key in found if not isinstance(key, str)]:
            problem = f"the key {others[0]!r} is no text; write it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return found

    def construct_yaml_str(self, node: yaml.ScalarNode) -> str:
        text = str(self.construct_scalar(node))
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise yaml.constructor.ConstructorError(None, None, "a text with half a character", node.start_mark)
        return text

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
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"(?:{pattern})$"), beginnings)


for kind in ("str", "int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{kind}", getattr(_Loader, f"construct_yaml_{kind}"))
