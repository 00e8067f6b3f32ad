"""The report: one self-contained page for any reader. First what was asked and what came out, then the study's tables,
strips, figures and curves; what holds for several tables or pictures is said once, at the end."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seediff.errors import SeediffError
from seediff.files.sealed import write_text
from seediff.names import visible_lines
from seediff.workflow.reporting.charts import verdict_chart
from seediff.workflow.reporting.findings import Findings
from seediff.workflow.reporting.formats import TextGrid, html, html_note

ASKED = 10
"""Questions that the summary answers; tables with others are named."""


def write_report(
    study_info: Mapping[str, Any],
    tables: Sequence[tuple[TextGrid, Findings]],
    strips: Sequence[tuple[str, bytes]],
    figures: Sequence[tuple[str, str, bytes]],
    curves: Mapping[str, bytes],
    provenance: Mapping[str, Any],
    out: Path,
) -> None:
    """Write the page, whole or not at all; the same input gives the same bytes.

    ``study_info``: ``name``, ``title``, ``embedded``, ``repeats``, ``rng_seed``, and optionally ``facts`` (a mapping
    of what was run), ``samples`` (by which rule images were chosen) and ``notes`` (sentences for the reader).
    ``tables``: as ``write_table`` keeps them, their cells and what they show. ``strips``: class and PNG; ``figures``:
    title, caption and PNG; ``curves``: caption and SVG or PNG. ``provenance`` may be nested.
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
        samples=study_info.get("samples", ""),
        notes=study_info.get("notes", ()),
        summary=_summary([findings for _, findings in tables]),
        tables=[Markup(html(grid.with_own_notes())) for grid, _ in tables],
        shared_notes=_shared_notes([grid for grid, _ in tables]),
        strips=[(name, data_uri(png)) for name, png in strips],
        figures=[(title, caption, data_uri(png)) for title, caption, png in figures],
        curves={caption: data_uri(picture) for caption, picture in curves.items()},
        provenance=readable(provenance),
    )
    write_text(out, page)


def _summary(findings: Sequence[Findings]) -> dict[str, Any]:
    """What was ``asked``, tables ``further`` down that ask, how often each verdict was given, and its ``chart``."""
    asked = [found for found in findings if found.question]
    verdicts = Counter(pair.verdict for found in findings for pair in found.pairs if pair.verdict)
    chart = verdict_chart(findings)
    return {
        "asked": asked[:ASKED],
        "further": asked[ASKED:],
        "verdicts": verdicts,
        "chart": chart and data_uri(chart),
    }


def _shared_notes(grids: Sequence[TextGrid]) -> list[Markup]:
    """Those that stand below several tables, each once."""
    return [Markup(html_note(note)) for note in dict.fromkeys(note for grid in grids for note in grid.shared_notes)]


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
