"""What a study's varied prompts are made of, for people to look at before anything is drawn."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from seediff.prompts.prompt_sets import Prompt, make_prompts
from seediff.prompts.synonyms.variety import Variety, vary
from seediff.workflow.stages import prompts
from seediff.workflow.study import Study


def study_words(study: Study) -> str:
    """The words of every prompt set that varies them, how many prompts have each, and the words that were refused."""
    varied = [name for name, one in study.prompt_sets.items() if one.augmentation]
    return "\n\n".join(_prompt_set(study, name) for name in varied) or "No prompt set has an augmentation."


def _prompt_set(study: Study, name: str) -> str:
    spec = prompts.spec(study, name).model_dump(mode="json")
    names = {one: spec["words"].get(one, one) for one in spec["classes"]}
    variety = vary(spec["classes"], spec["template"], names, spec["augmentation"])
    heading = f"{name}: {len(spec['classes'])} classes, {spec['per_class']:,} prompts each, in {_count(variety)}"
    by_class = {key: list(some) for key, some in groupby(make_prompts(**spec), lambda one: one.class_name)}
    return "\n".join([heading, *(line for one in spec["classes"] for line in _class(one, variety, by_class[one]))])


def _count(variety: Variety) -> str:
    return f"{len(variety.phrasings)} phrasings (templates, alone and with each context)"


def _class(name: str, variety: Variety, prompts: list[Prompt]) -> list[str]:
    words, times = variety.words[name], Counter(one.class_word for one in prompts)
    different = len({one.prompt for one in prompts})
    used = [f"    {one.word} ({_origin(one.relation, one.origin)}): {times[one.word]:,}" for one in words.used]
    refused = [f"    not {one.word} ({_origin(one.relation, one.origin)}): {one.refusal}" for one in words.refused]
    return [f"  {name}: {len(words.used)} words, {different:,} different prompts", *used, *refused]


def _origin(relation: str, origin: str) -> str:
    return relation if origin == "study" else f"{relation}, {origin}"
