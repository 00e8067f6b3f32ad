"""Cells of CSV files that a spreadsheet would run as formulas: a quote before them prevents this.

Spreadsheets themselves write this quote for 'this is text'. Numbers with a sign stay as they are.
"""

from __future__ import annotations

import re

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
"""Also with quotes before it, so that a cell that already has one keeps it."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def escaped(cell: str) -> str:
    """The cell as it is written: with another quote before it if it would be a formula."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unescaped(cell: str) -> str:
    """The cell as it was before ``escaped``."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
