"""Names that become file names, and other text from outside: checked once, where it enters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from seediff.errors import SeediffError

MASK_QUALITY = "mask_quality"
"""The one table that is made of masks instead of trained segmenters."""

MOST_SHOWN = 40
"""So many known names are listed where none is close."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What breaks a line, steers a terminal, or cannot be written as UTF-8."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")


def check_name(kind: str, name: str) -> str:
    """Return ``name`` if it can safely be part of a path; raise ``SeediffError`` otherwise."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise SeediffError(
            f"{kind} {name!r} cannot be used as a name.\n"
            "Use letters, digits, spaces, '_', '-' and '.', starting with a letter or digit (64 at most)."
        )
    return name


def check_text(text: str) -> str:
    """Return ``text`` if it is one line without control characters; raise ``ValueError`` otherwise."""
    if _CONTROL.search(text):
        raise ValueError("must be one line of text, without control characters")
    return text


def visible(text: str) -> str:
    """``text`` with its control characters written out ('\\x1b'), line breaks included."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def slug(name: str) -> str:
    """The form of a checked name that stands in paths: spaces become dashes."""
    return name.replace(" ", "-")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the closest known name, or all of them (the first of very many) when none is close."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    more = f", ... ({len(known):,} in all)" if len(known) > MOST_SHOWN else ""
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known[:MOST_SHOWN])}{more}."
