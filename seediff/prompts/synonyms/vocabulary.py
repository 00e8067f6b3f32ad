"""Which words stand for which class of a prompt set, where each is from, and which were refused and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.prompts.synonyms.shipped import AMBIGUOUS, SHIPPED, Kin
from seediff.prompts.synonyms.wordnet import kin, read_lexicon
from seediff.prompts.words import split_words


@dataclass(frozen=True)
class Word:
    """``relation`` to the class: name, listed (by the study), synonym or hyponym; ``refusal``: why it is not used."""

    word: str
    relation: str
    origin: str
    refusal: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What a tokenizer tells words apart by."""
        return tuple(split_words(self.word))

    @property
    def is_given(self) -> bool:
        """Whether it is the study's own, and no source's."""
        return self.origin == "study"


@dataclass(frozen=True)
class ClassWords:
    """The words of one class: those to use, its name first, and those that were refused."""

    used: tuple[Word, ...]
    refused: tuple[Word, ...]


def shipped_words(source: str, classes: Sequence[str], listed: Mapping[str, Sequence[str]]) -> dict[str, Kin]:
    """What a source that comes with the program offers for the classes; nothing for another source.

    Raises ``SeediffError`` for a class that it does not know and for which the study lists nothing.
    """
    known = SHIPPED.get(source)
    if known is None:
        return {}
    for name in classes:
        if name not in known and name not in listed:
            raise SeediffError(
                f"The {source} word list has no class {name!r}. {nearest(name, known)}\n"
                f"Or list its words under 'words' ([] for none beside its name)."
            )
    return {name: known[name] for name in classes if name in known}


def class_words(
    classes: Sequence[str], names: Mapping[str, str], augmentation: Mapping[str, Any]
) -> dict[str, ClassWords]:
    """The words of every class, none of which stands for two of them.

    ``names``: the word of each class that is always used. ``augmentation``: as ``PromptAugmentation``,
    with what ``shipped_words`` gives under ``shipped``. Raises ``SeediffError`` for a word of the study that stands for
    two classes or for no letters, an exclusion of what nobody offers, and a class that is left without words.
    """
    offered = {name: _distinct(_offered(name, names[name], augmentation)) for name in classes}
    claims = _claims(offered)
    excluded = {tuple(split_words(word)): word for word in augmentation["exclude"]}
    unknown = [
        text
        for key, text in excluded.items()
        if not any(key == word.key for words in offered.values() for word in words)
    ]
    if unknown:
        every = {word.word for words in offered.values() for word in words}
        raise SeediffError(f"'exclude' names {unknown[0]!r}, which no class has.\n{nearest(unknown[0], every)}")
    return {name: _sorted_out(name, words, claims, excluded, augmentation["source"]) for name, words in offered.items()}


def _offered(name: str, own: str, augmentation: Mapping[str, Any]) -> Iterator[Word]:
    """Everything that is offered for a class, its own name first."""
    source = augmentation["source"]
    yield Word(own, "name", "study")
    for word in augmentation["words"].get(name, ()):
        yield Word(word, "listed", "study")
    if name in augmentation["shipped"]:
        synonyms, hyponyms = augmentation["shipped"][name]
        yield from (Word(word, "synonym", source) for word in synonyms)
        yield from (Word(word, "hyponym", source) for word in hyponyms)
    if source == "wordnet" and name not in augmentation["words"]:
        lexicon = read_lexicon(augmentation["lexicon"])
        for candidate in kin(lexicon, own, augmentation["senses"].get(name), augmentation["depth"]):
            yield Word(candidate.word, candidate.relation, source, candidate.refusal)


def _distinct(words: Iterator[Word]) -> list[Word]:
    """Each word once, as it is offered first."""
    found: dict[tuple[str, ...], Word] = {}
    for word in words:
        if not word.key:
            raise SeediffError(f"The class word {word.word!r} has no letters, so no prompt could be told to have it.")
        found.setdefault(word.key, word)
    return list(found.values())


def _claims(offered: Mapping[str, Sequence[Word]]) -> dict[tuple[str, ...], set[str]]:
    """Word -> the classes that it may stand for: those whose own word it is, else all that it is offered for."""
    claims: dict[tuple[str, ...], set[str]] = {}
    given: dict[tuple[str, ...], str] = {}
    for name, words in offered.items():
        for word in words:
            claims.setdefault(word.key, set()).add(name)
            if word.is_given and given.setdefault(word.key, name) != name:
                raise SeediffError(f"{word.word!r} stands for both {given[word.key]!r} and {name!r}. Keep it for one.")
    return claims | {key: {name} for key, name in given.items()}


def _sorted_out(
    name: str,
    words: Sequence[Word],
    claims: Mapping[tuple[str, ...], set[str]],
    excluded: Mapping[tuple[str, ...], str],
    source: str,
) -> ClassWords:
    judged = [_judged(word, name, claims[word.key], word.key in excluded, source) for word in words]
    used = tuple(word for word in judged if word.refusal is None)
    if not used:
        raise SeediffError(f"'exclude' leaves class {name!r} without a word.\nList another under 'words'.")
    return ClassWords(used, tuple(word for word in judged if word.refusal is not None))


def _judged(word: Word, name: str, claims: set[str], is_excluded: bool, source: str) -> Word:
    """The word with the reason against it, if there is one."""
    refusal = word.refusal
    if is_excluded:
        refusal = "excluded by the study"
    elif claims != {name}:
        refusal = f"stands for {' and '.join(sorted(claims - {name}))} as well"
    elif not word.is_given and source != "embedded" and word.word.lower() in AMBIGUOUS:
        refusal = f"ambiguous: {AMBIGUOUS[word.word.lower()]}"
    return Word(word.word, word.relation, word.origin, refusal)
