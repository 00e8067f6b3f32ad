"""Prompt sets: one row an image, with everything that decides what the image will be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from seediff.errors import SeediffError
from seediff.files import read_csv, write_csv
from seediff.names import check_name, slug
from seediff.rng import derive_seed


@dataclass(frozen=True)
class Prompt:
    """``key`` names the image in shards; ``class_word`` is the part of the prompt that stands for the class."""

    key: str
    class_name: str
    index: int
    prompt: str
    class_word: str
    rng_seed: int


def make_prompts(
    prompt_set: str,
    classes: Sequence[str],
    per_class: int,
    template: str = "a photo of a {word}",
    words: Mapping[str, str] | None = None,
    rng_seed: int = 0,
) -> list[Prompt]:
    """``per_class`` prompts for each class; each image's seed depends on (rng_seed, prompt set, class, index)."""
    if per_class < 1:
        raise SeediffError(f"{per_class} images a class were asked for; ask for at least one.")
    words = words or {}
    return [
        Prompt(
            key=f"{slug(check_name('Class', name))}-{index:06d}",
            class_name=name,
            index=index,
            prompt=template.replace("{word}", words.get(name, name)),
            class_word=words.get(name, name),
            rng_seed=derive_seed(rng_seed, prompt_set, name, index),
        )
        for name in classes
        for index in range(per_class)
    ]


def write_prompts(prompts: Iterable[Prompt], path: Path) -> None:
    write_csv(path, [asdict(prompt) for prompt in prompts])


def read_prompts(path: Path) -> list[Prompt]:
    """Read a prompt set; one that is not as it was written, or no prompt set at all, is a ``SeediffError``."""
    rows = read_csv(path, "The prompt set")
    return [_parse(row, f"{path}, line {line}") for line, row in enumerate(rows, start=2)]


def _parse(row: Mapping[str, str], where: str) -> Prompt:
    try:
        numbers = {"index": int(row["index"]), "rng_seed": int(row["rng_seed"])}
        texts = {name: row[name] for name in ("key", "class_name", "prompt", "class_word")}
        check_name("Key", texts["key"])
        return Prompt(**texts, **numbers)
    except (KeyError, TypeError, ValueError):
        expected = ", ".join(field.name for field in fields(Prompt))
        raise SeediffError(f"{where} is not a prompt.\nEach line needs: {expected}.") from None
