"""Writing files whole or not at all, and reading only what was written: the forms that the stages share.

JSON holds its seal (``seals.py``) as its last key, CSV in the last column of its first row, and Markdown and HTML as a
comment in their last line.
"""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from seediff.errors import SeediffError
from seediff.files.seals import check_seal, name_of, seal
from seediff.files.spreadsheets import escaped, unescaped

_FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_full(path: object) -> SeediffError:
    return SeediffError(f"The disk is full: {path} could not be written.\nMake space and run again.")


def is_disk_full(error: OSError) -> bool:
    """Whether the disk or the user's quota is used up."""
    return error.errno in _FULL


@contextmanager
def partial(path: Path) -> Iterator[Path]:
    """A temporary neighbour of ``path`` to write to; renamed to it on success, removed on failure.

    Raises ``SeediffError`` if the disk is full, or if ``path`` cannot be the name of a file.
    """
    if not path.name or path.name == "..":
        raise SeediffError(f"{str(path)!r} is a folder, but has to be the name of a file.")
    unfinished = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)  # of a call that was killed
        try:
            yield unfinished
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(path) from None
        raise


def write_text(path: Path, text: str) -> None:
    with partial(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a sealed JSON object."""
    write_text(path, sealed_json(name_of(path), content))


def sealed_json(name: str, content: Mapping[str, Any]) -> str:
    named = {"file": name, **content}
    return json.dumps({**named, "seal": seal(name, [json.dumps(named).encode()])}, indent=1) + "\n"


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The content of a sealed JSON file; ``what`` names it in the error if it is not as it was written."""
    found = parse_json(path, what)
    content = found if isinstance(found, dict) else {}
    stored = content.pop("seal", None)
    check_seal(path, what, content.get("file"), stored, [json.dumps(content).encode()])
    return {key: value for key, value in content.items() if key != "file"}


def parse_json(path: Path, what: str) -> Any:
    """The content of any JSON file."""
    try:
        return json.loads(_text(path, what))
    except (ValueError, RecursionError) as error:
        raise SeediffError(f"{what} {path} is broken ({error}).\nDelete it and run the workflow again.") from None


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns, one at least. The first row ends with the file's seal.

    Cells that a spreadsheet would run are written as text; ``read_csv`` gives them back as they were.
    """
    name = name_of(path)
    texts = [{column: str(value) for column, value in row.items()} for row in rows]
    with partial(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*texts[0], "seal"])
        writer.writeheader()
        for row, end in zip_longest(texts, [seal(name, _cells(texts))]):
            writer.writerow({column: escaped(text) for column, text in row.items()} | {"seal": end})


def read_csv(path: Path, what: str) -> list[dict[str, str]]:
    """The rows of a sealed CSV file; ``what`` names it in the error if it is not as it was written."""
    try:
        rows = list(csv.DictReader(io.StringIO(_text(path, what), newline=""), restkey="", restval=""))
    except csv.Error as error:
        raise SeediffError(f"{what} {path} is broken ({error}).\nDelete it and run the workflow again.") from None
    rows = [
        {column: unescaped(cell) if isinstance(cell, str) else cell for column, cell in row.items()} for row in rows
    ]
    stored, *others = [row.pop("seal", None) for row in rows or [{}]]
    intact = not any(others) and all(isinstance(cell, str) for row in rows for cell in row.values())
    check_seal(path, what, name_of(path), stored if intact else None, _cells(rows))
    return rows


def _cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    """Row after row, the number of its cells, its columns and its texts."""
    for row in rows:
        yield from (str(part).encode() for part in (len(row), *row.keys(), *row.values()))


def write_page(path: Path, text: str) -> None:
    """Write Markdown or HTML that ends with a line break."""
    name = name_of(path)
    write_text(path, f"{text}<!-- {name} {seal(name, [text.encode()])} -->\n")


def read_page(path: Path, what: str) -> str:
    """The text of a sealed page; ``what`` names it in the error if it is not as it was written."""
    text, _, last = _text(path, what).rpartition("<!-- ")
    name, _, stored = last.removesuffix(" -->\n").rpartition(" ")
    check_seal(path, what, name, stored, [text.encode()])
    return text


def _text(path: Path, what: str) -> str:
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise SeediffError(f"{what} {path} is not a regular file.\nDelete it and run the workflow again.")
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise SeediffError(f"{what} {path} is missing. Run the workflow again to make it.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise SeediffError(f"{what} {path} cannot be read ({error}).\nDelete it and run the workflow again.") from None
