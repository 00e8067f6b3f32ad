"""A study's keys as a JSON schema and as tables of docs/studies.md, both from the docstrings of its sections.

python -m seediff.workflow.study.documentation

Run it from the root of the repository after changing the sections or the settings in them.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

from annotated_types import Ge, Gt, Le, MultipleOf
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from seediff.attention.calls import KINDS, SHARES
from seediff.masks.steps import PARAMETERS, STEPS
from seediff.masks.variants import VARIANTS
from seediff.segmenter.settings import PRESETS_BY_BACKBONE, as_json, segmenter_settings
from seediff.settings import span
from seediff.workflow.study.sections import Study

SCHEMA = Path("config/study.schema.json")
PAGE = Path("docs/studies.md")

Json = dict[str, Any]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    SCHEMA.write_text(schema_text())
    PAGE.write_text(with_tables(PAGE.read_text()))


# --- the schema ----------------------------------------------------------------------------------------------------


def study_schema() -> Json:
    """What a study may hold, as JSON schema with docstrings as descriptions; it cannot check that names are defined."""
    schema = Study.model_json_schema(schema_generator=_DescribedSchema)
    schema["properties"]["variants"]["additionalProperties"]["items"] = _step_schema()
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def _step_schema() -> Json:
    """What is recorded, a mask step with its parameters, or the name of a step or variant."""
    steps = {name: _closed({key: {} for key in parameters(name)}) for name in STEPS}
    recorded = {name: TypeAdapter(kind).json_schema() for name, kind in KINDS.items()}
    recorded["record"]["properties"]["timesteps"]["anyOf"].append({"enum": [*SHARES]})
    return {"title": "mask step", "anyOf": [{"enum": [*STEPS, *VARIANTS]}, _closed({**recorded, **steps})]}


def _closed(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def parameters(step: str) -> dict[str, inspect.Parameter]:
    """The parameters of a mask step, by name."""
    signature = inspect.signature(STEPS[step]).parameters
    return {name: parameter for name, parameter in signature.items() if parameter.kind is parameter.KEYWORD_ONLY}


def schema_text() -> str:
    return json.dumps(study_schema(), indent=2) + "\n"


class _DescribedSchema(GenerateJsonSchema):
    """Takes descriptions from the docstrings of attributes, both of pydantic's models and of dataclasses."""

    def model_schema(self, schema: Any) -> Json:
        return _described(schema["cls"], super().model_schema(schema))

    def dataclass_schema(self, schema: Any) -> Json:
        return _described(schema["cls"], super().dataclass_schema(schema))

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _described(section: type, schema: Json) -> Json:
    docstrings = attribute_docstrings(section)
    for name, key in schema["properties"].items():
        if name in docstrings:
            key["description"] = docstrings[name]
    return {**schema, "description": _plain(section.__doc__ or "")}


def attribute_docstrings(section: type) -> dict[str, str]:
    """The string below each annotated attribute of a class and of its bases, on one line."""
    found = {}
    for owner in reversed(section.__mro__):
        if owner.__module__.startswith("seediff."):
            (body,) = ast.parse(dedent(inspect.getsource(owner))).body
            assert isinstance(body, ast.ClassDef)
            for attribute, below in pairwise(body.body):
                match attribute, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = " ".join(_plain(text).split())
    return found


def _plain(docstring: str) -> str:
    return inspect.cleandoc(docstring).replace("``", "`")


# --- the page ------------------------------------------------------------------------------------------------------


def with_tables(page: str) -> str:
    """The page with the generated tables between its markers."""
    for name, text in {"keys": keys(), "steps": steps(), "backbones": backbones()}.items():
        begin, end = f"<!-- {name}: written by seediff.workflow.study.documentation -->", f"<!-- end of {name} -->"
        before, after = page.split(begin)[0], page.split(end)[1]
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


@dataclass(frozen=True)
class _Part:
    """A kind of section at a place in a study, such as ``tables.NAME.rows``; the study itself is at ''."""

    place: str
    section: Json


def keys() -> str:
    """A heading for each place in a study that has keys of its own, and a table for each kind of section there."""
    schema = study_schema()
    blocks = [_table(_Part("", schema), schema["$defs"])]
    for place, parts in _places(schema["$defs"], [_Part("", schema)]).items():
        blocks.append(f"### `{place}`")
        for part in parts:
            blocks += [_linked(part.section["description"]), _table(part, schema["$defs"])]
    return "\n\n".join(blocks)


def _places(sections: Mapping[str, Json], parts: Sequence[_Part]) -> dict[str, list[_Part]]:
    """Every place below some parts, in order, with the kinds of sections there."""
    found: dict[str, list[_Part]] = {}
    for part in parts:
        for name, key in part.section["properties"].items():
            if below := _sections_below(sections, _below(part.place, name), key):
                for place, kinds in {below[0].place: below, **_places(sections, below)}.items():
                    there = found.setdefault(place, [])
                    there += [kind for kind in kinds if kind not in there]
    return found


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _sections_below(sections: Mapping[str, Json], place: str, key: Json) -> list[_Part]:
    """The kinds of sections that a key holds: itself, by name, or in a list."""
    if "$ref" in key:
        return [_Part(place, sections[key["$ref"].rpartition("/")[2]])]
    if isinstance(by_name := key.get("additionalProperties"), dict):
        return _sections_below(sections, f"{place}.NAME", by_name)
    inner = [*_choices(key), *([key["items"]] if "items" in key else [])]
    return [part for member in inner for part in _sections_below(sections, place, member)]


def _choices(key: Json) -> list[Json]:
    return [choice for choice in (*key.get("anyOf", ()), *key.get("oneOf", ())) if choice != {"type": "null"}]


def _table(part: _Part, sections: Mapping[str, Json]) -> str:
    rows = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for name, key in part.section["properties"].items():
        below = _sections_below(sections, _below(part.place, name), key)
        summary = " Or: ".join(inner.section["description"].split("\n\n")[0] for inner in below)
        values = f"[settings](#{_anchor(below[0].place)})" if below else _values(key)
        default = "required" if name in part.section.get("required", ()) else _default(key)
        rows.append(f"| `{name}` | {values} | {default} | {_linked(key.get('description', summary))} |")
    return "\n".join(rows)


def _anchor(place: str) -> str:
    """The anchor that GitHub gives the heading of a place."""
    return re.sub(r"[^\w-]", "", place).lower()


def _linked(text: str) -> str:
    """Pages named in a docstring become links from docs/."""
    return re.sub(r"docs/((?:[\w-]+/)*([\w-]+\.md))", r"[\2](\1)", text)


def _default(key: Json) -> str:
    """The default as a study would write it; empty if it leaves something out, or is a section."""
    default = key.get("default")
    return "" if default in (None, []) or isinstance(default, dict) else f"`{_written(default)}`"


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _values(key: Json, plural: str = "") -> str:
    """The values that a key can have, in words."""
    if "title" in key:
        return f"{key['title']}{plural}"
    if choices := _choices(key):
        return " or ".join(_values(choice, plural) for choice in choices)
    if "enum" in key or "const" in key:
        return ", ".join(f"`{_written(value)}`" for value in key.get("enum", [key.get("const")]))
    if "prefixItems" in key:
        return f"list{plural} of {len(key['prefixItems'])} {_values(key['prefixItems'][0], 's')}"
    if "items" in key:
        return f"list{plural} of {_values(key['items'], 's')}"
    if "additionalProperties" in key:
        return f"{_values(key['additionalProperties'], 's')} by name"
    kind = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    bounds = [bound(key[name]) for name, bound in _BOUNDS.items() if name in key]
    return f"{kind[key['type']]}{plural}{span(bounds)}"


_BOUNDS = {"minimum": Ge, "exclusiveMinimum": Gt, "maximum": Le, "multipleOf": MultipleOf}


def steps() -> str:
    """A table of the mask steps, and one of their parameters."""
    rows = ["| step | parameters | what it does |", "|---|---|---|"]
    for name, step in STEPS.items():
        written = ", ".join(map(_parameter, parameters(name).values()))
        rows.append(f"| `{name}` | {written} | {_plain(step.__doc__ or '').splitlines()[0]} |")
    rows += ["", "| parameter | values |", "|---|---|"]
    rows += [f"| `{name}` | {wanted} |" for name, (_, wanted) in PARAMETERS.items()]
    return "\n".join(rows)


def _parameter(parameter: inspect.Parameter) -> str:
    """Its name, with its default if it has one that is not empty."""
    default = "" if parameter.default in (parameter.empty, ()) else f" (`{_written(parameter.default)}`)"
    return f"`{parameter.name}`{default}"


def backbones() -> str:
    """The settings of a segmenter whose defaults depend on the backbone."""
    presets = {backbone: as_json(segmenter_settings(backbone)) for backbone in PRESETS_BY_BACKBONE}
    rows = [f"| setting | {' | '.join(f'`{name}`' for name in presets)} |", f"|---|{'---|' * len(presets)}"]
    for name in as_json(next(map(segmenter_settings, presets))):
        values = [preset[name] for preset in presets.values()]
        if name != "backbone" and len({*values}) > 1:
            rows.append(f"| `{name}` | {' | '.join(f'`{_written(value)}`' for value in values)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
