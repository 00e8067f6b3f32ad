"""Cells of CSV files that a spreadsheet would take for formulas and run: a quote before them prevents it.

Spreadsheets themselves write this quote for 'this is text'. Numbers with a sign stay as they are.
"""

from __future__ import annotations

import re

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
"""With or without quotes before it, so that a cell that had one already keeps it."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def escaped(cell: str) -> str:
    """The cell as it is written: with a quote more, if it would be a formula."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unescaped(cell: str) -> str:
    """The cell as it was before ``escaped``."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
