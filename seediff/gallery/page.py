"""The gallery as one HTML file that needs nothing else: no network, no other file.

``page.html`` is a template. What comes from names, prompts and tables stands in JSON, which the page shows as text; the
thumbnails stand in a block of their own, a line for each image, and are decoded when they are looked at.
"""

from __future__ import annotations

import hashlib
import html
import json
from base64 import b64encode
from pathlib import Path
from string import Template
from typing import Any

from seediff.datasets.annotated import Annotated
from seediff.datasets.origins import Origin
from seediff.datasets.palettes import VOC_COLOURS
from seediff.errors import SeediffError
from seediff.files.sealed import partial
from seediff.gallery.entries import Entry, Table, entries
from seediff.names import one_line

SIDE = 160
"""Most pixels of a thumbnail's side."""

_TEMPLATE = Path(__file__).with_name("page.html")
_PICTURES = "$pictures\n"
"""Where the thumbnails go: they are written one by one, as ten thousand fill 60 MB."""


def write_gallery(
    data: Annotated, title: str, path: Path, origin: Origin | None = None, table: Table | None = None, side: int = SIDE
) -> int:
    """Write the page to ``path``; returns the number of images.

    ``title`` is shown above them. ``table``: measures besides those that are taken here. Raises ``SeediffError`` if
    there are no images, or if the table is about others.
    """
    if not len(data):
        raise SeediffError("The data set has no images.")
    table = table or Table()
    head, tail = _TEMPLATE.read_text(encoding="utf-8").split(_PICTURES)
    rows: list[list[Any]] = []
    columns = [*dict.fromkeys([*table.columns, "area", "connectedness"])]
    with partial(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        file.write(Template(head).substitute(title=html.escape(one_line(title))))
        for entry in entries(data, origin or Origin(), table, side):
            file.write(f"{_text(entry.image)} {_text(entry.overlay)}\n")
            rows.append(_row(entry, columns))
        content = {
            "title": one_line(title), "identity": _identity(data), "columns": columns,
            "colours": {name: _colour(label) for label, name in enumerate(data.classes, start=1)}, "rows": rows,
        }  # fmt: skip
        file.write(Template(tail).substitute(data=_json(content)))
    return len(rows)


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _row(entry: Entry, columns: list[str]) -> list[Any]:
    values = [_rounded(entry.measures.get(column)) for column in columns]
    return [entry.key, entry.classes, entry.caption, entry.flaw, entry.note, values]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _identity(data: Annotated) -> str:
    """What the page remembers rejected images by."""
    return hashlib.sha256(data.identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _colour(label: int) -> str:
    return "#" + "".join(f"{part:02x}" for part in VOC_COLOURS[label].tolist())


def _json(content: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(content, ensure_ascii=True).replace("<", "\\u003c")
