"""Builds these pages and the API page with Sphinx: `make docs`."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

import seediff

project = "seediff"
version = release = seediff.__version__
extensions = ["sphinx.ext.autodoc", "myst_nb"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"seediff {version}"
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebook is committed with its outputs

autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"

_SENTENCE = re.compile(r"(?:^|(?<=[.;]) )(?=``\w+``(?:, ``\w+``)*: |(?:Raises )?``SeediffError``)")
_EXPLAINED = re.compile(r"``\w+``(?:, ``\w+``)*: ")


def list_what_is_explained(app: Sphinx, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:
    """Docstrings explain arguments in running text, ``name``: what it is. Here each is an item of a list."""
    paragraphs = "\n".join(lines).split("\n\n")
    lines[:] = "\n\n".join("\n\n".join(_parts(paragraph)) for paragraph in paragraphs).splitlines()


def _parts(paragraph: str) -> list[str]:
    if not _EXPLAINED.search(paragraph) or paragraph.startswith(" "):
        return [paragraph]
    parts = [part for part in _SENTENCE.split(" ".join(paragraph.splitlines())) if part]
    return [f"- {part}" if _EXPLAINED.match(part) else part for part in parts]


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", list_what_is_explained)
