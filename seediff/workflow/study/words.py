"""The words of a study's varied prompts, to check before anything is drawn."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from seediff.prompts.prompt_sets import Prompt, make_prompts
from seediff.prompts.synonyms.variety import Variety, vary
from seediff.workflow.stages import prompts
from seediff.workflow.study.sections import Study


def study_words(study: Study) -> str:
    """The words of every prompt set that varies them, how many prompts have each, and the words that were refused."""
    varied = [name for name, section in study.prompt_sets.items() if section.augmentation]
    return "\n\n".join(_prompt_set(study, name) for name in varied) or "No prompt set has an augmentation."


def _prompt_set(study: Study, name: str) -> str:
    spec = prompts.spec(study, name).model_dump(mode="json")
    names = {class_name: spec["words"].get(class_name, class_name) for class_name in spec["classes"]}
    variety = vary(spec["classes"], spec["template"], names, spec["augmentation"])
    heading = f"{name}: {len(spec['classes'])} classes, {spec['per_class']:,} prompts each, in {_count(variety)}"
    by_class = groupby(make_prompts(**spec), lambda prompt: prompt.class_name)  # in the order of the classes
    lines = (line for class_name, rows in by_class for line in _class(class_name, variety, list(rows)))
    return "\n".join([heading, *lines])


def _count(variety: Variety) -> str:
    return f"{len(variety.phrasings)} phrasings (templates, alone and with each context)"


def _class(name: str, variety: Variety, prompts: list[Prompt]) -> list[str]:
    words, times = variety.words[name], Counter(prompt.class_word for prompt in prompts)
    different = len({prompt.prompt for prompt in prompts})
    used = [f"    {word.word} ({_origin(word.relation, word.origin)}): {times[word.word]:,}" for word in words.used]
    refused = [f"    not {word.word} ({_origin(word.relation, word.origin)}): {word.refusal}" for word in words.refused]
    return [f"  {name}: {len(words.used)} words, {different:,} different prompts", *used, *refused]


def _origin(relation: str, origin: str) -> str:
    return relation if origin == "study" else f"{relation}, {origin}"
