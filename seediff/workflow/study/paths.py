"""The files and folders that a study names, and whether they exist: checked before the first job starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from seediff.datasets.registry import find_format
from seediff.diffusion.model_files import is_hub_id, named_model
from seediff.errors import SeediffError
from seediff.names import visible
from seediff.workflow.study.outputs import SceneJudge
from seediff.workflow.study.sections import Benchmark, RealRecipe, Study

MODELS = ("diffusion.", "judges.", "segmenters.", "filters.")
"""Sections that name models."""


class NamedPath(NamedTuple):
    """``key``: where the study names it; ``path``: what must exist, as ``is_there`` tests it."""

    key: str
    path: Path
    is_there: Callable[[Path], bool]


def check_paths(study: Study) -> None:
    """Raise ``SeediffError`` naming every path of the study that does not exist. No file is opened, no hub is asked."""
    missing: dict[Path, str] = {}
    for key, path, is_there in named_paths(study):
        if not is_there(path):
            missing.setdefault(path, key)
    if missing:
        listed = visible(", ".join(f"{key} ({path})" for path, key in missing.items()))
        raise SeediffError(
            f"The study {study.name!r} names files or folders that do not exist: {listed}.\n"
            "Add what is missing, or change the study; `seediff data list` says where to get data sets."
        )


def missing_models(study: Study) -> list[Path]:
    """Local models that the study names and that do not exist."""
    return [path for key, path, is_there in named_paths(study) if key.startswith(MODELS) and not is_there(path)]


def named_paths(study: Study) -> Iterator[NamedPath]:
    """The files and folders that the study reads: of a data set, its folder and the parts of each split; no hub ids."""
    yield from _model("diffusion.model", study.diffusion.model, "model_index.json")
    for name, judge in study.judges.items():
        if isinstance(judge, SceneJudge):
            yield from _model(f"judges.{name}.model", judge.model, "model_index.json")
    for name, segmenter in study.segmenters.items():
        yield from _model(f"segmenters.{name}.pretrained", segmenter.pretrained, "config.json")
    for name, settings in study.filters.items():
        yield from _model(f"filters.{name}.clip_model", settings.clip_model, "config.json")
    for name, prompt_set in study.prompt_sets.items():
        if prompt_set.augmentation and prompt_set.augmentation.lexicon:
            key = f"prompt_sets.{name}.augmentation.lexicon"
            yield NamedPath(key, Path(prompt_set.augmentation.lexicon), os.path.isfile)
    for name, benchmark in study.benchmarks.items():
        yield from _split(f"benchmarks.{name}", benchmark, benchmark.split)
    for name, recipe in study.recipes.items():
        if isinstance(recipe, RealRecipe):
            yield from _split(f"recipes.{name}", study.benchmarks[recipe.benchmark], recipe.split)
    for name, adaptation in study.adaptations.items():
        if adaptation.benchmark:
            yield from _split(f"adaptations.{name}", study.benchmarks[adaptation.benchmark], adaptation.split)
        elif adaptation.folder:
            yield NamedPath(f"adaptations.{name}.folder", Path(adaptation.folder), os.path.isdir)


def _model(key: str, model: str | None, index: str) -> Iterator[NamedPath]:
    """A file of weights, or a folder with its ``index``; a model that is no hub id must be one of these."""
    if model and not is_hub_id(model):
        path = Path(named_model(model))
        yield NamedPath(key, path / index if os.path.isdir(path) else path, os.path.isfile)


def _split(key: str, benchmark: Benchmark, split: str) -> Iterator[NamedPath]:
    """The folder or, if it exists, the parts of the split; nothing for a stand-in, which a job draws."""
    if benchmark.folder is None:
        return
    folder = Path(benchmark.folder)
    if not os.path.isdir(folder):
        yield NamedPath(f"{key}.folder", folder, os.path.isdir)
        return
    for path in find_format(benchmark.format).split_parts(folder, split):
        yield NamedPath(f"{key}.split", path, os.path.exists)
