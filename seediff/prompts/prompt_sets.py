"""Prompt sets: one row per image, with everything that determines the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any

from seediff.errors import SeediffError
from seediff.files.sealed import read_csv, write_csv
from seediff.names import check_any_name, check_name, check_text, check_texts, slug
from seediff.prompts.synonyms.variety import Variety, vary
from seediff.prompts.words import Filled, fill, find_word, place_word
from seediff.rng import derive_seed

LARGEST_CLASS = 1_000_000
"""Images of a class are numbered with six digits, and sorted by them."""


@dataclass(frozen=True)
class Prompt:
    """``key`` names the image in shards; ``class_word`` is the part of the prompt that stands for the class.

    ``word_starts``: the characters of the prompt at which the word begins, counted from 0; none for every place where
    the prompt has it.
    """

    key: str
    class_name: str
    index: int
    prompt: str
    class_word: str
    rng_seed: int
    word_starts: tuple[int, ...] = ()

    def row(self) -> dict[str, Any]:
        """What is written of it: ``word_starts`` only where the prompt itself does not tell."""
        row, every = asdict(self), _every_start(self.prompt, self.class_word)
        row["word_starts"] = self.word_starts or every
        if len(every) < 2 and row["word_starts"] == every:
            del row["word_starts"]
        return row


def make_prompts(
    prompt_set: str,
    classes: Sequence[str],
    per_class: int,
    template: str = "a photo of a {word}",
    words: Mapping[str, str] | None = None,
    rng_seed: int = 0,
    augmentation: Mapping[str, Any] | None = None,
) -> list[Prompt]:
    """``per_class`` prompts for each class; each image's seed depends on (rng_seed, prompt set, class, index).

    ``augmentation`` (a ``PromptAugmentation`` with its ``shipped`` words) makes them differ; the first prompts of a
    class are the same however many there are. Raises ``SeediffError`` if there are not so many different ones.
    """
    check_texts("The classes", classes)
    if not classes:
        raise SeediffError("There are no classes to make prompts for.")
    if not 1 <= per_class <= LARGEST_CLASS:
        limits = f"ask for at least one and at most {LARGEST_CLASS:,}"
        raise SeediffError(f"{per_class} images per class were asked for; {limits}.")
    try:
        list(map(check_text, (template, *(words or {}).values())))
    except ValueError as error:
        raise SeediffError(f"Template and class words {error}.") from None
    names = {name: (words or {}).get(name, name) for name in classes}
    texts: dict[str, Iterator[Filled]]
    if augmentation is None:
        texts = {name: repeat(fill(template, word)) for name, word in names.items()}
    else:
        texts = _varied(vary(classes, template, names, augmentation), augmentation, prompt_set, rng_seed)
    return [
        Prompt(
            key=f"{slug(check_any_name('Class', name))}-{index:06d}",
            class_name=name,
            index=index,
            prompt=filled.text,
            class_word=filled.word,
            rng_seed=derive_seed(rng_seed, prompt_set, name, index),
            word_starts=filled.starts,
        )
        for name in classes
        for index, filled in enumerate(_first(texts[name], per_class, name))
    ]


def _varied(
    variety: Variety, augmentation: Mapping[str, Any], prompt_set: str, rng_seed: int
) -> dict[str, Iterator[Filled]]:
    """Prompts of every class; without end, if the augmentation lets them come again."""
    texts = {name: variety.prompts(name, rng_seed, prompt_set, name) for name in variety.words}
    return {name: cycle(some) for name, some in texts.items()} if augmentation["repeat"] else texts


def _first(texts: Iterator[Filled], number: int, name: str) -> list[Filled]:
    found = list(islice(texts, number))
    if len(found) < number:
        raise too_few(number, len(found), name)
    return found


def too_few(wanted: int, possible: int, name: str) -> SeediffError:
    return SeediffError(
        f"{wanted:,} different prompts of class {name!r} were asked for, but there are {possible:,}.\n"
        "Add words, templates or contexts, or set 'repeat': the same prompts again, drawn from other seeds."
    )


def write_prompts(prompts: Iterable[Prompt], path: Path) -> None:
    """Write a prompt set, with a column ``word_starts`` if a prompt by itself does not tell where its word is."""
    rows = [prompt.row() for prompt in prompts]
    if any("word_starts" in row for row in rows):
        rows = [{**row, "word_starts": " ".join(map(str, row.get("word_starts", ())))} for row in rows]
    write_csv(path, rows)


def read_prompts(path: Path) -> list[Prompt]:
    """Read a prompt set; one that is not as it was written, or no prompt set at all, is a ``SeediffError``."""
    rows = read_csv(path, "The prompt set")
    return [_parse(row, f"{path}, line {line}") for line, row in enumerate(rows, start=2)]


def _parse(row: Mapping[str, str | None], where: str) -> Prompt:
    try:
        texts = {name: check_text(row[name] or "") for name in ("key", "class_name", "prompt", "class_word")}
        index, rng_seed = int(row["index"] or ""), int(row["rng_seed"] or "")
        starts = tuple(map(int, (row.get("word_starts") or "").split()))
        if not (all(texts.values()) and index >= 0 and 0 <= rng_seed < 2**63):
            raise ValueError
        check_name("Key", texts["key"])
        if starts:
            place_word(texts["prompt"], texts["class_word"], starts)
    except (KeyError, ValueError):
        expected = ", ".join(field.name for field in fields(Prompt) if field.default is MISSING)
        raise SeediffError(f"{where} is not a prompt.\nEach line needs: {expected}.") from None
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None
    every = _every_start(texts["prompt"], texts["class_word"])
    if not starts and len(every) > 1:
        raise SeediffError(
            f"{where} has its word {texts['class_word']!r} more than once and does not say where it is meant.\n"
            "An earlier seediff wrote it: delete the prompt set and run again."
        )
    return Prompt(**texts, index=index, rng_seed=rng_seed, word_starts=starts or every)


def _every_start(prompt: str, word: str) -> tuple[int, ...]:
    return tuple(place[0][0] for place in find_word(prompt, word))


def class_prompts(prompts: Iterable[Prompt], class_name: str, first: int, count: int) -> list[Prompt]:
    """Prompts ``first`` to ``first + count - 1`` of a class; ``SeediffError`` unless there are so many."""
    of_class = [prompt for prompt in prompts if prompt.class_name == class_name]
    if first < 0 or count < 1 or first + count > len(of_class):
        raise SeediffError(
            f"Prompts {first} to {first + count - 1} of class {class_name!r} were asked for, but it has "
            f"{len(of_class)}.\nIf the prompt set was cut off, delete it and run again."
        )
    return of_class[first : first + count]
