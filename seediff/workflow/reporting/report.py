"""The report: one self-contained page for any reader, with the study's tables, strips and curves."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seediff.errors import SeediffError
from seediff.files.sealed import read_page, write_text
from seediff.names import visible_lines


def write_report(
    study_info: Mapping[str, Any],
    tables: Sequence[Path],
    strips: Sequence[tuple[str, bytes]],
    figures: Sequence[tuple[str, str, bytes]],
    curves: Mapping[str, bytes],
    provenance: Mapping[str, Any],
    out: Path,
) -> None:
    """Write the page, whole or not at all; the same input gives the same bytes.

    ``study_info``: ``name``, ``title``, ``embedded``, ``repeats``, ``rng_seed``, and optionally ``facts`` (a mapping
    of what was run) and ``notes`` (sentences for the reader). ``tables``: HTML fragments written by ``write_table``.
    ``strips``: class and PNG; ``figures``: title, caption and PNG; ``curves``: caption and SVG or PNG. ``provenance``
    may be nested.
    """
    environment = Environment(
        loader=PackageLoader("seediff.workflow.reporting"),
        autoescape=True,
        finalize=_without_control_characters,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        study=study_info,
        facts=readable(study_info.get("facts", {})),
        notes=study_info.get("notes", ()),
        tables=[Markup(read_page(path, "The table")) for path in tables],
        strips=[(name, data_uri(png)) for name, png in strips],
        figures=[(title, caption, data_uri(png)) for title, caption, png in figures],
        curves={caption: data_uri(picture) for caption, picture in curves.items()},
        provenance=readable(provenance),
    )
    write_text(out, page)


def _without_control_characters(value: Any) -> Any:
    """What the template prints, with control characters written out; a table is markup and has none."""
    return visible_lines(value) if type(value) is str else value


def data_uri(picture: bytes) -> str:
    """The picture as a data URI; PNG and SVG only."""
    if picture.startswith(b"\x89PNG"):
        kind = "png"
    elif b"<svg" in picture[:1000]:
        kind = "svg+xml"
    else:
        raise SeediffError("A picture of the report is neither PNG nor SVG.")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def readable(content: Mapping[str, Any]) -> dict[str, str]:
    """Keys with spaces for underscores; what is nested becomes one line, and None is left out."""
    return {key.replace("_", " "): _line(value) for key, value in content.items() if value is not None}


def _line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_line(part)}" for key, part in value.items() if part is not None)
    return ", ".join(map(_line, value)) if isinstance(value, list | tuple) else str(value)
