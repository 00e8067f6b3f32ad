"""Building blocks of hostile input: unexpected values, and sound content that has been tampered with."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

Place = tuple[Any, ...]

TEXTS = (
    "", " ", ".", "..", "../x", "../../../x", "/tmp/seediff-was-here", "a/b", "a\\b", "~", "-x", "--output", "a b",
    "$(touch pwned)", "`touch pwned`", "; touch pwned", "| touch pwned", "&& touch pwned", "'\"", "a'b", "\\", "{word}",
    "{0}", "{", "}", "%s", "{wildcards}", "*", "?", "[a]", "\n", "a\nb\nc\nd\ne", "\r", "\t", "\0", "\x1b[2J", "\x7f",
    "\u2028", "\u202e", "\ud800", "\ufeff", "猫", "🐱", "no", "null", "NaN", "1e-999999999", "1/0", "1/3", "0", "-1",
    "cat", "car", "caa", "all", "basic", "x" * 65, "x" * 5000, "CON", "a.tar", "a.json", "<b>", "&amp;", "=1+1",
)  # fmt: skip
NUMBERS = (
    *(-1, 0, 1, 2, 3, 10**7, 2**31, 2**63, 10**18, 10**400, -(10**400)),
    *(0.0, -0.0, 0.5, 1.5, 1e-320, 1e308, float("inf"), float("-inf"), float("nan")),
)
"""Whole numbers are small, or too large for anything, so that no case does much work."""

texts = st.sampled_from(TEXTS) | st.text(max_size=20)
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)


@st.composite
def tampered(draw: st.DrawFn, content: Any, values: st.SearchStrategy[Any] = values) -> Any:
    """The content with one to three of its places changed."""
    content = deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        content = _changed(draw, content, values)
    return content


def _changed(draw: st.DrawFn, content: Any, values: st.SearchStrategy[Any]) -> Any:
    every = list(places(content))
    place = draw(st.sampled_from(every))
    if not place:
        return draw(values)
    *way, key = place
    owner = at(content, tuple(way))
    kind = draw(st.sampled_from(("replace", "replace", "remove", "rename", "copy", "repeat")))
    if kind == "replace":
        owner[key] = draw(values)
    elif kind == "copy":
        owner[key] = deepcopy(at(content, draw(st.sampled_from(every))))
    elif kind == "repeat" and isinstance(owner, list):
        owner.insert(key, deepcopy(owner[key]))
    elif kind == "rename" and isinstance(owner, dict):
        owner[draw(texts)] = owner.pop(key)
    else:
        del owner[key]
    return content


def places(content: Any, here: Place = ()) -> Iterator[Place]:
    """The path to every part of nested lists and dictionaries, the whole first."""
    yield here
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield from places(value, (*here, key))


def at(content: Any, place: Place) -> Any:
    for key in place:
        content = content[key]
    return content


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes truncated, extended, or with some of them replaced; or entirely different bytes."""
    where, some = draw(st.integers(0, len(content))), draw(st.binary(max_size=16))
    return draw(st.sampled_from((
        content[:where], content + some, content[:where] + some + content[where + len(some) :],
        content[:where] + some + content[where:], some, b"",
    )))  # fmt: skip
