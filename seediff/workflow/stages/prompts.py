"""Stage: a prompt set, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seediff.prompts.synonyms.vocabulary import shipped_words
from seediff.versions import VERSIONS
from seediff.workflow import layout
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.sections import PromptAugmentation
from seediff.workflow.study.values import Count, Name, Names, Seed, Text

VERSION = VERSIONS["prompts"]
JOB, STATE, TIMED, GPUS = "{prompt_set}", "", False, 0


class Augmentation(PromptAugmentation):
    """``shipped``: class name -> synonyms and hyponyms, of the source that comes with the program."""

    shipped: dict[Name, tuple[list[Text], list[Text]]] = Field(default_factory=dict)


class Spec(BaseSpec):
    prompt_set: Name
    classes: Names
    per_class: Count
    template: Text = "a photo of a {word}"
    words: dict[Name, Text] = Field(default_factory=dict)
    rng_seed: Seed = 0
    augmentation: Annotated[Augmentation | None, Field(exclude_if=lambda value: value is None)] = None


def spec(study: Study, prompt_set: str) -> Spec:
    """The words that come with the program are part of what the prompts depend on."""
    section = study.prompt_sets[prompt_set]
    classes, augmentation = section.classes or study.classes, None
    if written := section.augmentation:
        kin = shipped_words(written.source, classes, written.words)
        shipped = {name: ([*words], [*hyponyms]) for name, (words, hyponyms) in kin.items()}
        augmentation = Augmentation(**dict(written), shipped=shipped)
    shown = section.model_dump(include={"template", "words"})
    return Spec(
        prompt_set=prompt_set,
        classes=classes,
        per_class=section.number,
        rng_seed=study.rng_seed,
        augmentation=augmentation,
        **shown,
    )


def inputs(study: Study, prompt_set: str) -> Files:
    """``lexicon``: the WordNet from which words are taken, if any; if it is missing, the job reports it."""
    augmentation = study.prompt_sets[prompt_set].augmentation
    path = augmentation.lexicon if augmentation else None
    return {"lexicon": [path] if path and Path(path).is_file() else []}


def outputs(study: Study) -> Files:
    return {"prompts": layout.PROMPTS}


def work(study: Study) -> Iterator[Work]:
    yield from (Work({"prompt_set": name}) for name in study.prompt_sets)


def run(spec: Spec, output: Path) -> None:
    """Write a prompt set."""
    from seediff.prompts.prompt_sets import make_prompts, write_prompts

    write_prompts(make_prompts(**spec.model_dump(mode="json")), output)
