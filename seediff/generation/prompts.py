"""The prompts of a data set: one for each image, with the classes that it shows and where their words stand.

Images that are drawn already keep their prompts, whatever classes and images are added: nothing is drawn again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle, islice
from pathlib import Path

import numpy as np

from seediff.datasets.images import read_file
from seediff.errors import SeediffError
from seediff.generation.settings import DataSet, NamedClass
from seediff.names import check_text, cut, nearest, slug
from seediff.prompts.prompt_sets import Prompt
from seediff.prompts.synonyms.variety import Variety, article, check_phrasing, phrasings
from seediff.prompts.synonyms.vocabulary import ClassWords, class_words
from seediff.prompts.words import Span, find_word, meet
from seediff.rng import derive_seed

SET = "generate"
"""What seeds are derived from, with the rng seed, the class and the number of its image."""


@dataclass(frozen=True)
class Shown:
    """A class that an image is to show: the word that stands for it in the prompt, and where it begins there."""

    class_name: str
    word: str
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Wanted:
    """An image to be drawn: its ``key``, prompt, seed, and the classes that it is to show, that of the key first."""

    key: str
    prompt: str
    rng_seed: int
    objects: tuple[Shown, ...]

    @property
    def as_prompts(self) -> list[Prompt]:
        """As ``diffusion.synthesis`` takes it, once for each of the classes."""
        number = int(self.key.rpartition("-")[2])
        return [
            Prompt(self.key, shown.class_name, number, self.prompt, shown.word, self.rng_seed, shown.starts)
            for shown in self.objects
        ]


def wanted_images(data_set: DataSet, known: Mapping[str, Wanted]) -> list[Wanted]:
    """Every image of the data set, class by class; those that are ``known`` by their keys stay as they are.

    ``SeediffError`` for prompts that cannot be made, or a file of prompts that has none of a class.
    """
    words = _words(data_set.classes)
    texts = _from_file(data_set) if data_set.prompts else _from_templates(data_set, words)
    found = dict(known)
    for of_class in data_set.classes:
        for number, (prompt, objects) in enumerate(islice(texts[of_class.name], data_set.images)):
            key = f"{slug(of_class.name)}-{number:06d}"
            seed = derive_seed(data_set.rng_seed, SET, of_class.name, number)
            found.setdefault(key, Wanted(key, prompt, seed, objects))
    return sorted(found.values(), key=lambda wanted: (_place(data_set, wanted), wanted.key))


def _words(classes: Sequence[NamedClass]) -> dict[str, ClassWords]:
    """The words of every class; ``SeediffError`` for a word without letters, or of two classes."""
    own = {of_class.name: of_class.words[0] for of_class in classes}
    more = {of_class.name: of_class.words[1:] for of_class in classes}
    return class_words([*own], own, {"source": "listed", "words": more, "shipped": {}, "exclude": ()})


def _place(data_set: DataSet, wanted: Wanted) -> int:
    return data_set.class_names.index(wanted.objects[0].class_name)


_Text = tuple[str, tuple[Shown, ...]]
"""A prompt, and the classes that it names."""


# --- templates


def _from_templates(data_set: DataSet, words: Mapping[str, ClassWords]) -> dict[str, Iterator[_Text]]:
    """Prompts of every class without end: its words in all phrasings, then the same again."""
    variety = Variety(words, tuple(phrasings(data_set.templates, data_set.contexts)))
    for phrasing in variety.phrasings:
        check_phrasing(phrasing, [word for of_class in data_set.classes for word in of_class.words])
    return {of_class.name: _of_class(data_set, variety, of_class) for of_class in data_set.classes}


def _of_class(data_set: DataSet, variety: Variety, of_class: NamedClass) -> Iterator[_Text]:
    filled = [*variety.prompts(of_class.name, data_set.rng_seed, SET, of_class.name)]
    for number, first in zip(count(), cycle(filled)):
        yield _with_others(first.text, first.word, first.starts[0], of_class, _others(data_set, of_class, number))


def _others(data_set: DataSet, of_class: NamedClass, number: int) -> list[tuple[str, str]]:
    """The classes that an image is to show besides its own, each with a word."""
    rng = np.random.default_rng(derive_seed(data_set.rng_seed, SET, "objects", of_class.name, number))
    more = int(rng.choice(len(data_set.objects), p=np.divide(data_set.objects, sum(data_set.objects))))
    candidates = [other for other in data_set.classes if other is not of_class]
    chosen = rng.permutation(len(candidates))[:more]
    return [(candidates[at].name, str(rng.choice(candidates[at].words))) for at in chosen]


def _with_others(text: str, word: str, start: int, of_class: NamedClass, others: Sequence[tuple[str, str]]) -> _Text:
    """The prompt with ' and a dog' behind the word, for each of the others."""
    objects, at = [Shown(of_class.name, word, (start,))], start + len(word)
    for name, other in others:
        inserted = f" and {article(other)} "
        text = text[:at] + inserted + other + text[at:]
        objects.append(Shown(name, other, (at + len(inserted),)))
        at += len(inserted) + len(other)
    return text, tuple(objects)


# --- a file of prompts


def _from_file(data_set: DataSet) -> dict[str, Iterator[_Text]]:
    """The prompts of a file by the class that each names first, or that its line says; without end."""
    path = Path(str(data_set.prompts))
    found: dict[str, list[_Text]] = {name: [] for name in data_set.class_names}
    for line, named, prompt in _lines(path):
        where = f"{path}, line {line}"
        _check(prompt, where)
        objects = _named_in(prompt, data_set.classes, where)
        if named is not None:
            objects = _first_is(named, objects, prompt, data_set.classes, where)
        if not objects:
            raise SeediffError(f"{where}: {prompt!r} names none of the classes.\nName one by its name or its words.")
        found[objects[0].class_name].append((prompt, objects))
    if lacking := [name for name, texts in found.items() if not texts]:
        raise SeediffError(f"{path} has no prompt that names {lacking[0]!r} first.\nAdd some, or leave the class out.")
    return {name: cycle(texts) for name, texts in found.items()}


def _lines(path: Path) -> Iterator[tuple[int, str | None, str]]:
    """Every line of a file that is not empty: its number, its word if the file is a CSV, and its prompt."""
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SeediffError(f"{path} is not text in UTF-8.") from None
    if path.suffix.lower() != ".csv":
        lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
        yield from ((number, None, line) for number, line in lines if line)
        return
    rows = _rows(text, path)
    _, columns = next(rows, (1, []))
    if not {"word", "prompt"} <= {*columns}:
        raise SeediffError(f"{path} has to have the columns word and prompt.")
    for number, row in rows:
        cells = dict(zip(columns, row, strict=False))  # a row may be cut short
        yield number, cells.get("word", "").strip(), cells.get("prompt", "").strip()


def _rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV that are not empty, each with the number of its first line."""
    rows, first = csv.reader(io.StringIO(text, newline="")), 1
    try:
        for row in rows:
            if row:
                yield first, row
            first = rows.line_num + 1
    except csv.Error as error:  # a field is too long
        raise SeediffError(f"{path}, line {first}: {error}.\nIs a quotation mark not closed?") from None


def _check(prompt: str, where: str) -> None:
    try:
        check_text(prompt)
    except ValueError as error:
        raise SeediffError(f"{where}: {cut(prompt, 80)!r} {error}.") from None


def _named_in(prompt: str, classes: Sequence[NamedClass], where: str) -> tuple[Shown, ...]:
    """The classes that a prompt names, in its order; where one word is part of another, the longer one counts."""
    words = [(word, of_class.name) for of_class in classes for word in of_class.words]
    taken: dict[Span, tuple[str, str]] = {}
    for word, name in sorted(words, key=lambda pair: -len(pair[0])):
        for place in find_word(prompt, word):
            span = place[0][0], place[-1][1]
            if not any(meet(span, other) for other in taken):
                taken[span] = word, name
    objects: dict[str, Shown] = {}
    for (start, _), (word, name) in sorted(taken.items()):
        before = objects.get(name, Shown(name, word, ()))
        if before.word.casefold() != word.casefold():
            raise SeediffError(
                f"{where}: {prompt!r} names {name!r} by two words, {before.word!r} and {word!r}.\nUse one of them."
            )
        objects[name] = replace(before, starts=(*before.starts, start))
    return tuple(objects.values())


def _first_is(
    named: str, objects: Sequence[Shown], prompt: str, classes: Sequence[NamedClass], where: str
) -> tuple[Shown, ...]:
    """The objects, with that of the line's word first."""
    of_word = {word.casefold(): of_class.name for of_class in classes for word in (of_class.name, *of_class.words)}
    name = of_word.get(named.casefold())
    if name is None:
        raise SeediffError(f"{where}: no class has the word {named!r}.\n{nearest(named, of_word)}")
    own = [shown for shown in objects if shown.class_name == name]
    if not own:
        raise SeediffError(f"{where}: class word {named!r} is not in the prompt {prompt!r}.")
    return (*own, *(shown for shown in objects if shown.class_name != name))
