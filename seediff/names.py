"""Names that become file names, and other text from outside: checked once, where it enters."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Hashable, Iterable
from difflib import get_close_matches
from typing import TypeVar

from seediff.errors import SeediffError

Value = TypeVar("Value", bound=Hashable)

MOST_SHOWN = 40
"""How many known names are listed where none is close."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What breaks a line, steers a terminal, changes the order in which text is shown, or cannot be written as UTF-8."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}(?<! )")
MOST_BYTES = 200
"""Of a name in a file's name, which can have 255."""


def check_name(kind: str, name: str) -> str:
    """Return ``name`` if it can safely be part of a path; raise ``SeediffError`` otherwise."""
    if not _is_name(name):
        raise SeediffError(
            f"{kind} {name!r} cannot be used as a name.\n"
            "Use letters, digits, '_', '-', '.' and spaces in between, starting with a letter or digit (64 at most)."
        )
    return name


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and ".." not in name


def check_any_name(kind: str, name: str) -> str:
    """``check_name`` for names of any script: their letters, with the marks on them, and digits count as such."""
    bare = [character for character in name if not unicodedata.category(character).startswith("M")]
    if not _is_name("".join("a" if character.isalnum() else character for character in bare)):
        check_name(kind, name)
    if len(name.encode(errors="surrogatepass")) > MOST_BYTES:
        raise SeediffError(f"{kind} {name!r} is too long for the name of a file.\nUse a shorter one.")
    return name


def folded(name: str) -> str:
    """The same for names that file systems may take for one: in capital or small letters, however accents are coded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check_texts(what: str, texts: Collection[str]) -> None:
    """Raise ``SeediffError`` unless these are texts: a text by itself would count as a list of its characters."""
    if not isinstance(texts, Collection) or isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise SeediffError(f"{what} must be a list of texts, such as ['cat'], not {texts!r}.")


def check_text(text: str) -> str:
    """Return ``text`` if it is one line without control characters; raise ``ValueError`` otherwise."""
    if _CONTROL.search(text):
        raise ValueError("must be one line of text, without control characters")
    return text


def visible(text: str) -> str:
    """``text`` with its control characters written out ('\\x1b'), line breaks included."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    """The same of each line; the lines stay."""
    return "\n".join(map(visible, text.split("\n")))


def one_line(text: str) -> str:
    """The words of ``text`` with one space between them, control characters written out."""
    return visible(" ".join(text.split()))


def cut(text: str, most: int = 400) -> str:
    """The text, or as many of its words as ``most`` characters hold, and dots that say so."""
    return text if len(text) <= most else f"{text[:most].rpartition(' ')[0] or text[:most]} ..."


def reason(error: Exception) -> str:
    """What an error of another library says, for a part of a line: without line breaks and addresses of objects."""
    words = re.sub(r"\s*<[\w.]+ object at 0x[0-9a-f]+>", "", " ".join(str(error).split()))
    return cut(words or type(error).__name__)


def slug(name: str) -> str:
    """The form of a checked name that stands in paths: spaces become dashes."""
    return name.replace(" ", "-")


def repeated(values: Iterable[Value]) -> list[Value]:
    """The values that come more than once, in the order of their first places."""
    return [value for value, number in Counter(values).items() if number > 1]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the closest known name, or all of them (the first of very many) when none is close."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    more = f", ... ({len(known):,} in all)" if len(known) > MOST_SHOWN else ""
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known[:MOST_SHOWN])}{more}."
