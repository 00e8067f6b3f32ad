"""Words in texts: where a prompt has its class word, in characters, and where a template puts it.

A word is a run of letters, digits and the marks on them, in any script. In scripts that are written without spaces,
such as Chinese, a word may begin and end at any letter. Case and punctuation do not count. Which tokens stand for a
word is the tokenizer's to say (``attention.tokens``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Literal

from seediff.errors import SeediffError

Span = tuple[int, int]
"""Characters of a text, counted from 0: the first, and the one after the last."""
Place = tuple[Span, ...]
"""One occurrence of a word in a text: the span of each of its parts. What is between them is not the word's."""

PLACE = "{word}"
"""Where a template has the class word."""

_Kind = Literal["letter", "unspaced letter", "other"]
_UNSPACED = ("CJK", "IDEOGRAPHIC", "HIRAGANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts written without spaces, as the names of their letters begin."""
_JOINERS = "\u200c\u200d"
"""Invisible characters inside words, as in Persian and Hindi."""


@dataclass(frozen=True)
class Filled:
    """A template with ``word`` in its places; ``starts``: the characters of ``text`` at which it begins there."""

    text: str
    word: str
    starts: tuple[int, ...]


def fill(template: str, word: str) -> Filled:
    """Put the word into every place that the template has for it."""
    before = accumulate(len(part) for part in template.split(PLACE)[:-1])
    starts = tuple(characters + number * len(word) for number, characters in enumerate(before))
    return Filled(template.replace(PLACE, word), word, starts)


def caption(words: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """A prompt that names the words, and the characters at which they begin in it."""
    prompt, starts = "a photo of a ", list[int]()
    for word in words:
        starts.append(len(prompt))
        prompt += f"{word} and a "
    return prompt.removesuffix(" and a "), tuple(starts)


def split_words(text: str) -> list[str]:
    """The words of a text, punctuation dropped, as they are compared."""
    return [word.text for word in _words(text)]


def find_word(text: str, word: str, names: Collection[Span] = ()) -> list[Place]:
    """Every place where the text has the word, of one part or several ('traffic light'), whole.

    Each of ``names`` is one word of the text, whatever characters it has ('<cat-toy>'): it is found by all of them,
    punctuation included, and nothing is found inside it.
    """
    wanted = _words(word, _named(word, {text[start:end].strip() for start, end in names}))
    words = _words(text, names)
    runs = [words[at : at + len(wanted)] for at in range(len(words) - len(wanted) + 1)] if wanted else []
    return [tuple(part.span for part in run) for run in runs if _spelling(run) == _spelling(wanted)]


def place_word(text: str, word: str, starts: Sequence[int] = (), names: Collection[Span] = ()) -> list[Place]:
    """Where a prompt has the word: at ``starts``, even as part of another word, or at every place if none are given.

    Raises ``SeediffError`` if the prompt does not have it there, or nowhere.
    """
    found = {place[0][0]: place for place in find_word(text, word, names)}
    places = {start: found.get(start) or _spelled_at(start, text, word, names) for start in starts or found}
    wrong = [start for start, place in places.items() if not place]
    if not places or (wrong and not found):
        why = "" if _words(word) else ": words are found by letters and digits, and it has none"
        raise SeediffError(
            f"class word {word!r} is not in the prompt {text!r}{why}.\n"
            "Use a word just as the prompt has it, or put the word into the prompt."
        )
    if wrong:
        raise SeediffError(
            f"class word {word!r} does not begin at character {wrong[0]} of the prompt {text!r}.\n"
            f"Counted from 0, it begins at: {', '.join(map(str, found))}."
        )
    return list(places.values())


def meet(span: Span, other: Span) -> bool:
    """Whether two spans share a character."""
    return max(span[0], other[0]) < min(span[1], other[1])


def _spelled_at(start: int, text: str, word: str, names: Collection[Span]) -> Place:
    """The letters of the word that begins there, even as part of another; none if it does not begin there."""
    end = start + len(word)
    if start < 0 or _folded(text[start:end]) != _folded(word):
        return ()
    spans = [found.span for found in _words(text, names)]
    return tuple((max(start, span[0]), min(end, span[1])) for span in spans if meet(span, (start, end)))


@dataclass(frozen=True)
class _Word:
    """``text``: as it is compared; ``touches``: whether nothing stands between it and the word before it."""

    text: str
    span: Span
    touches: bool


def _words(text: str, names: Collection[Span] = ()) -> list[_Word]:
    spans = _spans(text, names)
    before = [-1, *(end for _, end in spans)]
    return [_Word(_folded(text[s:e].strip()), (s, e), s == end) for (s, e), end in zip(spans, before, strict=False)]


def _spelling(run: Sequence[_Word]) -> list[object]:
    """What runs of words are equal by. '熊猫' (panda) is not '熊, 猫' (bear, cat)."""
    return [run[0].text, *((word.text, word.touches) for word in run[1:])]


def _folded(text: str) -> str:
    """The same for texts that differ in nothing but case, or how their accents are encoded."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


def _named(text: str, names: Collection[str]) -> list[Span]:
    """Where a text has one of the names, the longest that fits."""
    pattern = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return [found.span() for found in re.finditer(pattern, text, re.IGNORECASE)] if names else []


def _spans(text: str, names: Collection[Span]) -> list[Span]:
    """Where the words of a text are."""
    kinds = _kinds(text)
    named = {at: name for name in names for at in range(*name)}

    def goes_on(at: int) -> bool:
        """Whether the character belongs to the word of the one before it."""
        in_name = at in named and named[at] == named.get(at - 1)
        return in_name or _is_mark(text[at]) or kinds[at - 1] == kinds[at] == "letter"

    starts = [at for at in range(len(text)) if at == 0 or not goes_on(at)]
    return [(start, end) for start, end in pairwise([*starts, len(text)]) if start in named or kinds[start] != "other"]


def _kinds(text: str) -> list[_Kind]:
    """Every character's kind, a mark's being that of what it is on."""
    kinds: list[_Kind] = []
    for character in text:
        kinds.append(kinds[-1] if kinds and _is_mark(character) else _kind(character))
    return kinds


@cache
def _is_mark(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character).startswith("M")


@cache
def _kind(character: str) -> _Kind:
    if not character.isalnum():
        return "other"
    is_unspaced = character.isalpha() and unicodedata.name(character, "").startswith(_UNSPACED)
    return "unspaced letter" if is_unspaced else "letter"
