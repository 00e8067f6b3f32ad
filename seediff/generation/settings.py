"""What a data set of one's own words is to be: plain values, from a YAML file or from flags. No torch here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from annotated_types import Ge, Le, Len

from seediff.datasets.class_lists import check_listed
from seediff.datasets.classes import BACKGROUND, MOST_CLASSES
from seediff.errors import SeediffError
from seediff.files.yaml_files import read_yaml
from seediff.filtering.settings import Filter
from seediff.masks.refinement import Refinement
from seediff.masks.variants import ALPHA, named_steps, resolve
from seediff.names import check_any_name, check_text, folded, nearest, slug
from seediff.prompts.prompt_sets import LARGEST_CLASS
from seediff.prompts.words import PLACE
from seediff.settings import AtOnce, GuidanceScale, Pixels, Share, Timesteps, check_bounds

MOST_OBJECTS = 8
"""Classes that an image may show."""


@dataclass(frozen=True)
class Drawing:
    """How images are drawn. What is left out is the pipeline's own."""

    steps: Timesteps | None = None
    """Denoising steps."""
    guidance_scale: GuidanceScale | None = None
    """The scale of guidance; 0 for none."""
    negative_prompt: str | None = None
    """What guidance leads away from."""
    scheduler: str | None = None
    """The class of a scheduler in diffusers, such as ``DPMSolverMultistepScheduler``."""
    height: Pixels | None = None
    """Of an image, in pixels."""
    width: Pixels | None = None
    """Of an image, in pixels."""
    batch_size: AtOnce = 4
    """Images drawn at a time."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """The precision of weights."""

    def __post_init__(self) -> None:
        check_bounds("drawing", self)


BETA = Refinement(threshold=0.3)


@dataclass(frozen=True)
class Masks:
    """How masks are made of the recorded attention."""

    variant: str | tuple[object, ...] | None = None
    """A variant (docs/studies.md) or a list of mask steps; as fits the model if left out."""
    alpha: Annotated[float, Ge(0), Le(1)] = ALPHA
    """The threshold for seeds (Eq. 6, 9)."""
    refinement: Refinement = BETA
    """From the score to the mask."""

    def __post_init__(self) -> None:
        check_bounds("masks", self)
        if self.refinement.threshold is None:
            raise SeediffError("masks: refinement lacks a threshold.")
        if self.variant is not None:
            resolve(named_steps(self.variant), alpha=self.alpha)


@dataclass(frozen=True)
class NamedClass:
    """A class, and the words that stand for it in prompts."""

    name: str
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        check_bounds("classes", self)
        check_any_name("Class", self.name)
        if self.name.casefold() == BACKGROUND:
            raise SeediffError(f"{self.name!r} is the name of the background, and cannot be drawn.\nLeave it out.")
        check_listed([self.name])
        for word in self.words:
            _check_text(f"classes: {self.name}", word)


@dataclass(frozen=True)
class DataSet:
    """Image-mask pairs of one's own classes."""

    model: str
    """Id or folder of a text-to-image model, or ``pictograms``."""
    classes: Annotated[tuple[NamedClass, ...], Len(1, MOST_CLASSES)]
    """The classes in the order of their labels. In a file, a list of names, or a mapping of names to their words."""
    images: Annotated[int, Ge(1), Le(LARGEST_CLASS)] = 20
    """Images of each class."""
    templates: Annotated[tuple[str, ...], Len(1)] = ("a photo of a {word}",)
    """Prompts, with ``{word}`` for the class."""
    contexts: tuple[str, ...] = ()
    """Texts that are put after templates, which are used without them as well."""
    prompts: str | None = None
    """A file of prompts instead: one a line, or a CSV with the columns ``word`` and ``prompt``."""
    objects: Annotated[tuple[Share, ...], Len(1, MOST_OBJECTS)] = (1.0,)
    """The shares of images that show one class, two, three, ...; they sum to 1."""
    drawing: Drawing = Drawing()
    masks: Masks = Masks()
    filter: Filter | None = None
    """Which pairs are kept (docs/methods/quality-filter.md); all without one."""
    keep_scores: bool = False
    """Whether the soft scores are written, too."""
    adapter: str | None = None
    """LoRA file or folder that adapts the model."""
    rng_seed: int = 0
    """Every random number is derived from it."""

    def __post_init__(self) -> None:
        check_bounds("The data set", self)
        names = [folded(slug(of_class.name)) for of_class in self.classes]
        if len({*names}) < len(names):
            raise SeediffError("A class is named twice (spaces count as dashes, and capital as small letters).")
        for template in self.templates:
            _check_text("templates", template)
            if template.count(PLACE) != 1:
                raise SeediffError(f"The template {template!r} has to have '{PLACE}', the place of the class, once.")
        for context in self.contexts:
            _check_text("contexts", context)
        if abs(sum(self.objects) - 1) > 1e-6:
            raise SeediffError(f"objects is {list(self.objects)}, but must sum to 1: they are shares of the images.")
        if len(self.objects) > len(self.classes):
            raise SeediffError(
                f"objects asks for images of {len(self.objects)} classes, but there are {len(self.classes)}.\n"
                "Name more classes, or fewer shares."
            )
        if self.filter is not None and self.filter.agreement_with:
            raise SeediffError("filter: agreement_with compares image sets of a study.\nLeave it out here.")

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of their labels, from 1."""
        return tuple(of_class.name for of_class in self.classes)


def _check_text(where: str, text: str) -> None:
    try:
        check_text(text)
    except ValueError as error:
        raise SeediffError(f"{where}: {text!r} {error}.") from None


# --- settings as people write them


def data_set(**settings: Any) -> DataSet:
    """A data set from plain values, as a file has them.

    data_set(model="pictograms", classes=["cat", "bus"], images=20, drawing={"guidance_scale": 2})
    """
    found: DataSet = _read(DataSet, settings, "The data set")
    return found


def read_data_set(path: Path) -> DataSet:
    """Read a YAML file; every problem is a ``SeediffError`` that names the file and the key.

    ``prompts`` and ``adapter`` are relative to its folder, and so are models that begin with ``./`` or ``../``: others
    may be ids of the hub.
    """
    if not path.is_file():
        raise SeediffError(f"There is no file {path}.")
    content = read_yaml(path, "data set")
    try:
        return _placed(_read(DataSet, content, "The data set"), path.parent)
    except SeediffError as error:
        raise SeediffError(f"{path}: {error}") from None


def _placed(found: DataSet, folder: Path) -> DataSet:
    """The data set with its paths below the folder."""
    beside = [key for key in ("prompts", "adapter") if getattr(found, key)]
    places: dict[str, Any] = {key: str(folder / getattr(found, key)) for key in beside}
    if found.filter is not None and found.filter.clip_model is not None:
        places["filter"] = replace(found.filter, clip_model=_placed_model(found.filter.clip_model, folder))
    return replace(found, model=_placed_model(found.model, folder), **places)


def _placed_model(model: str, folder: Path) -> str:
    """``os.path`` keeps the dot of ``./name``, without which it could be an id."""
    return os.path.join(folder, model) if model.startswith(("./", "../")) else model


def named_classes(content: Any) -> tuple[NamedClass, ...]:
    """Classes as a file has them: a list of names, or a mapping of names to a word, words, or nothing."""
    if isinstance(content, Mapping):
        return tuple(NamedClass(name, _words(name, words)) for name, words in content.items())
    if isinstance(content, Sequence) and not isinstance(content, str) and all(isinstance(x, str) for x in content):
        return tuple(NamedClass(name, (name,)) for name in content)
    raise SeediffError("classes must be a list of names, or a mapping of names to their words.")


def _words(name: str, words: Any) -> tuple[str, ...]:
    if words is None or words == []:
        return (name,)
    found = [words] if isinstance(words, str) else words
    if not isinstance(found, list) or not all(isinstance(word, str) and word.strip() for word in found):
        raise SeediffError(f"classes: {name} must be a word or a list of words, not {words!r}.")
    return tuple(found)


def _read(kind: Any, content: Any, where: str) -> Any:
    """A dataclass from a mapping; nested ones from nested mappings, tuples from lists."""
    if not isinstance(content, Mapping):
        raise SeediffError(f"{where} must be a mapping of keys.")
    hints = get_type_hints(kind)
    for key in content:
        if key not in hints:
            raise SeediffError(f"{where} has no key {key!r}.\n{nearest(str(key), hints)}")
    needed = [field.name for field in fields(kind) if field.default is MISSING and field.name not in content]
    if needed:
        raise SeediffError(f"{where} lacks {needed[0]!r}.")
    return kind(**{key: _value(key, hints[key], value) for key, value in content.items()})


def _value(key: str, hint: Any, value: Any) -> Any:
    if key == "classes":
        return named_classes(value)
    nested = [choice for choice in (hint, *get_args(hint)) if is_dataclass(choice)]
    if nested and value is not None:
        return _read(nested[0], value, key)
    return tuple(value) if isinstance(value, list) else value


def as_json(data_set: DataSet) -> dict[str, Any]:
    """The settings as they are noted beside the pairs."""
    noted: dict[str, Any] = json.loads(json.dumps(asdict(data_set)))
    return {**noted, "classes": {of_class.name: list(of_class.words) for of_class in data_set.classes}}
