"""The closed language of the embedded world: class words, their synonyms, backgrounds and prompt forms."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.random import Generator

from seediff.prompts.synonyms.shipped import CLASS_WORDS

CLASSES: tuple[str, ...] = tuple(CLASS_WORDS)
"""Class names in label order: label k + 1 is ``CLASSES[k]``, label 0 is the background."""

PLACES: dict[str, str] = {
    "grass": "on grass",
    "sand": "on sand",
    "sky": "in the sky",
    "snow": "on snow",
    "night": "at night",
    "wood": "on wood",
    "city": "in the city",
}

OPENINGS = ("a photo of", "a picture of", "an image of")

MAX_TOKENS = 24
"""Length of the token sequence, start and end included; the longest prompt below needs 20."""


def words() -> list[str]:
    """Every word a prompt can hold, each of which the tokenizer keeps whole."""
    phrases = [
        *OPENINGS,
        "and a",
        *PLACES,
        *PLACES.values(),
        *(name for names in CLASS_WORDS.values() for name in names),
    ]
    return list(dict.fromkeys(word for phrase in phrases for word in phrase.split()))


def training_prompt(rng: Generator, classes: Sequence[str], background: str) -> str:
    """A caption of a scene: usually in the plain form, naming its background half of the time."""
    if not classes:
        return f"a photo of {background}"
    opening = OPENINGS[rng.choice(len(OPENINGS), p=[0.8, 0.1, 0.1])]
    named = " and ".join(_with_article(_class_word(rng, name)) for name in classes)
    place = PLACES[background] if rng.random() < 0.5 else ""
    return f"{opening} {named} {place}".strip()


def _with_article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _class_word(rng: Generator, name: str) -> str:
    first, *synonyms = CLASS_WORDS[name]
    return first if rng.random() < 0.75 else str(rng.choice(synonyms))
