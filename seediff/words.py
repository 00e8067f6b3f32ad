"""Words as CLIP's tokenizer sees them: where a class word is in a prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def split_words(text: str) -> list[str]:
    """Lower-case runs of letters, and single digits, as CLIP's tokenizer splits them; punctuation dropped."""
    return re.findall(r"[^\W\d_]+|\d", unicodedata.normalize("NFC", text).lower())


def find_words(words: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Where the run ``wanted`` first begins in ``words``; an empty run is nowhere."""
    starts = range(len(words) - len(wanted) + 1) if wanted else ()
    return next((at for at in starts if list(words[at : at + len(wanted)]) == list(wanted)), None)


def has_word(prompt: str, word: str) -> bool:
    """Whether the prompt has the word, of one part or several ('traffic light'), whole."""
    return find_words(split_words(prompt), split_words(word)) is not None
