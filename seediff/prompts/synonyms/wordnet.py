"""Synonyms and hyponyms from a WordNet, a local file in the format WN-LMF.

The package ``wn`` reads it. A word has many senses, so two rules keep to the one that is meant: a class is taken in its
word's first sense (WordNets put the most frequent one first) unless the study names another, and a word is added only
if its own first sense is that one or a kind of it. 'coach' is in the synset of 'bus', but a coach is a trainer first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from seediff.errors import SeediffError
from seediff.extras import require_extra
from seediff.names import reason

_PLAIN = re.compile(r"[a-z]+([ '-][a-z]+)*")


@dataclass(frozen=True)
class Lexicon:
    """Nouns: ``senses`` of a word, the first first; of a synset ``lemmas``, ``hyponyms`` and ``definitions``."""

    senses: Mapping[str, tuple[str, ...]]
    lemmas: Mapping[str, tuple[str, ...]]
    hyponyms: Mapping[str, tuple[str, ...]]
    definitions: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """A word that the lexicon offers; ``refusal`` says why it is not used for the class."""

    word: str
    relation: str
    refusal: str | None = None


@lru_cache(maxsize=1)
def read_lexicon(path: str) -> Lexicon:
    """Read a WN-LMF file; ``SeediffError`` if it is missing or no WordNet, or if ``wn`` is not installed."""
    require_extra("wordnet")
    from wn import lmf

    if not Path(path).is_file():
        raise SeediffError(
            f"There is no WordNet {path}.\n"
            "Give an unpacked WN-LMF file (.xml), such as the Open English WordNet's, as 'lexicon'."
        )
    try:
        return _nouns(lmf.load(path, progress_handler=None)["lexicons"])
    except Exception as error:  # the reader of the package asserts and looks up whatever a file should have
        raise SeediffError(
            f"{path} is no WordNet in the format WN-LMF ({reason(error)}).\n"
            "Give the unpacked .xml file as it was published."
        ) from None


def _nouns(lexicons: list[Any]) -> Lexicon:
    synsets = [synset for lexicon in lexicons for synset in lexicon.get("synsets", ()) if synset["partOfSpeech"] == "n"]
    nouns = {synset["id"] for synset in synsets}
    senses, lemmas, hyponyms = (defaultdict[str, list[str]](list) for _ in range(3))
    entries = [entry for lexicon in lexicons for entry in lexicon.get("entries", ())]
    for entry in sorted(entries, key=_is_capitalised):
        word = entry["lemma"]["writtenForm"].lower()
        for sense in sorted(entry.get("senses", ()), key=lambda sense: sense.get("n") or 0):
            if sense["synset"] in nouns:
                senses[word].append(sense["synset"])
                lemmas[sense["synset"]].append(word)
    for synset in synsets:
        for relation in synset.get("relations", ()):
            if relation["relType"] == "hyponym":
                hyponyms[synset["id"]].append(relation["target"])
            elif relation["relType"] == "hypernym":
                hyponyms[relation["target"]].append(synset["id"])
    definitions = {synset["id"]: synset["definitions"][0]["text"] for synset in synsets if synset.get("definitions")}
    return Lexicon(_frozen(senses), _frozen(lemmas), _frozen(hyponyms), definitions)


def _is_capitalised(entry: Any) -> bool:
    word: str = entry["lemma"]["writtenForm"]
    return word != word.lower()


def _frozen(lists: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(dict.fromkeys(values)) for key, values in lists.items()}


def kin(lexicon: Lexicon, word: str, sense: str | None, depth: int) -> list[Candidate]:
    """What the lexicon offers for a word: synonyms, then hyponyms down to ``depth``.

    ``sense``: the id of the synset that is meant, the word's first if none is given. Raises ``SeediffError`` if the
    lexicon does not have it.
    """
    synset = _synset(lexicon, word, sense)
    family = {member for member, _ in _descendants(lexicon, synset, None)}
    found: dict[str, Candidate] = {}
    for member, generation in _descendants(lexicon, synset, depth):
        for lemma in lexicon.lemmas.get(member, ()):
            relation = "hyponym" if generation else "synonym"
            found.setdefault(lemma, Candidate(lemma, relation, _refusal(lexicon, lemma, family)))
    found.pop(word.lower(), None)
    return list(found.values())


def _synset(lexicon: Lexicon, word: str, sense: str | None) -> str:
    if sense is not None:
        if sense not in lexicon.lemmas:
            raise SeediffError(f"The WordNet has no noun synset {sense!r}, the sense that {word!r} was given.")
        return sense
    if word.lower() not in lexicon.senses:
        raise SeediffError(
            f"The WordNet has no noun {word!r}.\nGive the class a synset under 'senses', or words of your own ([])."
        )
    return lexicon.senses[word.lower()][0]


def _descendants(lexicon: Lexicon, synset: str, depth: int | None) -> Iterator[tuple[str, int]]:
    """The synset and those below it with their distance, near ones first."""
    seen, front, generation = {synset}, [synset], 0
    while front and (depth is None or generation <= depth):
        yield from ((member, generation) for member in front)
        below = [child for member in front for child in lexicon.hyponyms.get(member, ())]
        front = [member for member in dict.fromkeys(below) if member not in seen]
        seen.update(front)
        generation += 1


def _refusal(lexicon: Lexicon, word: str, family: set[str]) -> str | None:
    if not _PLAIN.fullmatch(word):
        return "no plain word"
    first = lexicon.senses[word][0]
    if first not in family:
        return f"means something else first: {lexicon.definitions.get(first, first)}"
    return None
