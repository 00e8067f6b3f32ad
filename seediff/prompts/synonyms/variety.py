"""Prompts that differ: every word of a class in every phrasing, in an order that uses all words equally often.

Which prompts come first does not depend on how many are wanted, so that a prompt set can grow and keep its images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seediff.errors import SeediffError
from seediff.names import cut
from seediff.prompts.synonyms.vocabulary import ClassWords, class_words
from seediff.prompts.words import PLACE, Filled, fill, find_word, split_words
from seediff.rng import derive_seed

MOST_WORDS = 75
"""CLIP's text encoder reads 77 tokens, two of which are its own, and a word has at least one."""

_ARTICLE = re.compile(r"\ban? (?=\{word\})", re.IGNORECASE)
_VOWEL = re.compile(r"(?!uni|uti|use|eu|ew|one\b)[aeiou]", re.IGNORECASE)


def phrasings(templates: Sequence[str], contexts: Sequence[str]) -> list[str]:
    """Every template alone and with every context after it, each once."""
    written = [f"{template} {context}" for template in templates for context in ("", *contexts)]
    return list(dict.fromkeys(" ".join(text.split()) for text in written))


def phrase(phrasing: str, word: str) -> Filled:
    """The phrasing with the word in its place, and the right article ('a' or 'an') before it."""
    return fill(_ARTICLE.sub(lambda found: f"{found[0][0]}{article(word)[1:]} ", phrasing), word)


def article(word: str) -> str:
    """'a' or 'an', as it stands before the word."""
    return "an" if _VOWEL.match(word) else "a"


@dataclass(frozen=True)
class Variety:
    """What the prompts of a set are made of: the words of every class, and the phrasings that all classes share."""

    words: Mapping[str, ClassWords]
    phrasings: tuple[str, ...]

    def number(self, name: str) -> int:
        """How many different prompts the class has, or a few less where two come out the same."""
        return len(self.words[name].used) * len(self.phrasings)

    def prompts(self, name: str, *seed: str | int) -> Iterator[Filled]:
        """Every word of the class in every phrasing, no prompt twice; in every round all words once.

        ``seed`` decides their order.
        """
        words = [word.word for word in self.words[name].used]
        turns = {word: sorted(self.phrasings, key=_order(*seed, word)) for word in words}
        seen = set[tuple[str, ...]]()
        for number in range(len(self.phrasings)):
            for word in sorted(words, key=_order(*seed, number)):
                prompt = phrase(turns[word][number], word)
                spoken = tuple(split_words(prompt.text))
                if spoken not in seen:
                    seen.add(spoken)
                    yield prompt


def vary(classes: Sequence[str], template: str, names: Mapping[str, str], augmentation: Mapping[str, Any]) -> Variety:
    """The variety of a prompt set; see ``class_words`` for what the settings are.

    Raises ``SeediffError`` for a phrasing without one place for the word, one that names a class itself, and a prompt
    that no text encoder reads to its end.
    """
    words = class_words(classes, names, augmentation)
    forms = phrasings([template, *augmentation["templates"]], augmentation["contexts"])
    every = [word.word for words_of_class in words.values() for word in words_of_class.used]
    for form in forms:
        check_phrasing(form, every)
    longest = phrase(max(forms, key=_length), max(every, key=_length)).text
    if _length(longest) > MOST_WORDS:
        raise SeediffError(
            f"{cut(longest, 60)!r} has {_length(longest)} words, but a text encoder reads {MOST_WORDS} at most.\n"
            "Shorten the class word, the template or the context."
        )
    return Variety(words, tuple(forms))


def _order(*seed: str | int) -> Callable[[str], int]:
    """A sort key that puts texts into an order that only the seed decides."""
    return lambda text: derive_seed(*seed, text)


def _length(text: str) -> int:
    return len(split_words(text))


def check_phrasing(phrasing: str, words: Sequence[str]) -> None:
    """Raise ``SeediffError`` unless it has one place for the word, and names none of the classes' ``words`` itself."""
    if phrasing.count(PLACE) != 1:
        raise SeediffError(f"{phrasing!r} has to have '{PLACE}', the place of the class word, once.")
    for word in words:
        if any(find_word(part, word) for part in phrasing.split(PLACE)):
            raise SeediffError(
                f"{phrasing!r} names {word!r}, a word of a class: its pixels would be labelled background.\n"
                "Choose another template or context."
            )
