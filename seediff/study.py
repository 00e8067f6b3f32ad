"""A study: one YAML file that defines a run, read into frozen, validated models.

Unknown keys, dangling names and impossible values end in a ``SeediffError`` that names the key and the
nearest valid one. Nothing here imports torch: the job graph is built from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from seediff.errors import SeediffError
from seediff.masks.refinement import Refinement
from seediff.masks.variants import VARIANTS, Steps, resolve
from seediff.names import check_name, nearest, slug
from seediff.segmenter.settings import SegmenterSettings, segmenter_settings

STUDIES = Path("config/studies")

Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, AfterValidator(lambda name: check_name("Name", name))]


class Section(BaseModel):
    """A part of a study: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Thresholds(Section):
    """``alpha`` selects seeds (Eq. 6, 9), ``beta`` binarises the final score (Eq. 12)."""

    alpha: Share = 0.5
    beta: Share = 0.3


class Diffusion(Section):
    """The text-to-image model and how it is sampled; ``model`` is a hub id or a local folder."""

    model: str
    num_inference_steps: Count = 50
    guidance_scale: Annotated[float, Field(gt=1)] = 7.5
    batch_size: Count = 8
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class PromptSet(Section):
    """``per_class`` prompts a class; ``words`` gives the word that stands for a class where it is not its name."""

    template: str = "a photo of a {word}"
    per_class: Count
    words: dict[Name, str] = {}


class ImageSet(Section):
    """Images drawn from one prompt set, ``shard_size`` to a shard; ``shards_per_part`` shards are refined in one job.

    The denoising run that draws the images feeds every variant listed.
    """

    prompt_set: Name
    variants: tuple[Name, ...]
    shard_size: Count
    shards_per_part: Count = 1


class Pass(Section):
    """A later denoising run over finished images, for variants added since: it draws them again, to the same seeds."""

    image_set: Name
    variants: tuple[Name, ...]


class SyntheticRecipe(Section):
    """A training set of drawn images with masks of one variant; ``per_class`` images a class, all if left out."""

    image_set: Name
    variant: Name
    refinement: Name
    per_class: Count | None = None


class RealRecipe(Section):
    """A training set of a benchmark's own annotated images; ``number`` of them, all if left out."""

    benchmark: Name
    split: Name = "train"
    number: Count | None = None


Format = Literal["voc", "cityscapes", "ade20k"]


class Embedded(Section):
    """Sizes of an embedded stand-in, drawn in the benchmark's own format."""

    train: Count
    val: Count


class Benchmark(Section):
    """An evaluation set: in ``folder``, or ``embedded``, drawn by the workflow in the format of the real one."""

    title: str
    format: Format
    folder: str | None = None
    split: Name = "val"
    embedded: Embedded | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Benchmark:
        if (self.folder is None) == (self.embedded is None):
            raise ValueError("give either 'folder', where the data set is, or 'embedded', to have a stand-in drawn")
        return self


def _settings(values: Any) -> Any:
    return segmenter_settings(**values) if isinstance(values, dict) else values


Segmenter = Annotated[SegmenterSettings, BeforeValidator(_settings)]
"""A backbone's usual settings, and what the study changes of them."""


class Row(Section):
    """One table row: the run it stands for and the number the paper reports (percent)."""

    label: str
    recipe: Name
    segmenter: Name
    benchmark: Name
    paper: float | None = None


class Table(Section):
    title: str
    caption: str
    metric: Literal["miou", "miou_listed"] = "miou"
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]


class MaskQuality(Section):
    """Masks against exact annotation, no segmenter in between: annotated images noised to ``timesteps``."""

    title: str
    caption: str
    benchmark: Name
    images: Count
    timesteps: Annotated[tuple[Annotated[int, Field(ge=0, lt=1000)], ...], Field(min_length=1)]
    variants: tuple[Name, ...]
    refinements: tuple[Name, ...]


class Study(Section):
    """Everything that defines a run (docs/studies.md explains each key)."""

    name: Name
    title: str
    notes: tuple[str, ...] = ()
    embedded: bool = False
    rng_seed: Annotated[int, Field(ge=0)] = 0
    repeats: Count = 1
    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    listed_classes: tuple[Name, ...] = ()
    reported_on: str = "VOC 2012 val"
    thresholds: Thresholds = Thresholds()
    diffusion: Diffusion
    prompt_sets: dict[Name, PromptSet]
    image_sets: dict[Name, ImageSet]
    variants: dict[Name, list[str | dict[str, dict[str, Any]]]] = {}
    passes: dict[Name, Pass] = {}
    refinements: dict[Name, Refinement]
    recipes: dict[Name, SyntheticRecipe | RealRecipe]
    segmenters: dict[Name, Segmenter]
    benchmarks: dict[Name, Benchmark]
    tables: dict[Name, Table]
    mask_quality: MaskQuality | None = None

    def steps(self, variant: str) -> Steps:
        """The variant's mask steps with every parameter explicit: the study's own, or the built-in of that name."""
        if variant in self.variants:
            written: list[dict[str, Any]] = [
                entry if isinstance(entry, dict) else {entry: {}} for entry in self.variants[variant]
            ]
            steps = tuple((name, dict(params)) for entry in written for name, params in entry.items())
        else:
            steps = VARIANTS[variant]
        return resolve(steps, alpha=self.thresholds.alpha)

    def refinement(self, name: str) -> Refinement:
        """The refinement with the study's ``beta`` where it sets no threshold of its own."""
        return self.refinements[name].with_default_threshold(self.thresholds.beta)

    def passes_of(self, image_set: str) -> list[str]:
        return [name for name, one in self.passes.items() if one.image_set == image_set]

    def fed_variants(self, image_set: str) -> list[str]:
        """The variants that have scores: those of the image set and of its later passes."""
        later = [variant for name in self.passes_of(image_set) for variant in self.passes[name].variants]
        return list(dict.fromkeys([*self.image_sets[image_set].variants, *later]))


def load_study(path: Path) -> Study:
    """Read and check a study file; every problem is a ``SeediffError`` naming the file and the key."""
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise SeediffError(f"There is no study {path}.\n{nearest(path.stem, known) if known else 'No studies there.'}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeediffError(f"{path} is not valid YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        raise SeediffError(f"{path} must be a mapping of keys, found {type(content).__name__}.")
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise SeediffError(f"{path}: {_explain(error)}") from None
    except SeediffError as error:
        raise SeediffError(f"{path}: {error}") from None
    try:
        check_references(study)
    except SeediffError as error:
        raise SeediffError(f"{path}: {error}") from None
    return study


def _explain(error: ValidationError) -> str:
    """The first problem pydantic found; an unknown key, which is often the missing one misspelt, goes before others."""
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    first = min(error.errors(), key=lambda one: one["type"] not in unknown)
    where = ".".join(str(part) for part in first["loc"] if part not in ("SyntheticRecipe", "RealRecipe"))
    if first["type"] in unknown:
        return f"unknown key '{where}'.\n{nearest(str(first['loc'][-1]), _keys_at(first['loc'][:-1]))}"
    return f"'{where}': {first['msg'].removeprefix('Value error, ')}."


def _keys_at(location: Iterable[Any]) -> list[str]:
    """Valid keys of the section at a location of the study, as pydantic writes locations."""
    section: Any = Study
    for part in location:
        members = _members(section)
        if get_origin(section) in (dict, tuple):
            section = get_args(section)[get_origin(section) is dict]
        elif part in (names := {member.__name__: member for member in members}):
            section = names[part]
        else:
            section = next((_fields(member)[part] for member in members if part in _fields(member)), section)
    return [key for member in _members(section) for key in _fields(member)]


def _members(annotation: Any) -> list[type]:
    """The model classes inside an annotation such as ``dict[str, A | B]`` or ``tuple[Row, ...]``."""
    if isinstance(annotation, type) and _fields(annotation):
        return [annotation]
    return [member for inner in get_args(annotation) for member in _members(inner)]


def _fields(section: Any) -> dict[str, Any]:
    """Key -> annotation of a model class or dataclass; nothing for anything else."""
    if is_dataclass(section):
        return get_type_hints(section)
    return {name: field.annotation for name, field in getattr(section, "model_fields", {}).items()}


def check_references(study: Study) -> None:
    """Every name a study uses must be defined in it, and every value must fit the others."""
    _check_variants(study)
    for name, image_set in study.image_sets.items():
        _known("prompt set", image_set.prompt_set, study.prompt_sets, f"image_sets.{name}")
    if len({slug(name) for name in study.classes}) < len(study.classes):
        raise SeediffError("classes holds the same name twice (spaces and dashes count as one).")
    for name, prompt_set in study.prompt_sets.items():
        if "{word}" not in prompt_set.template:
            raise SeediffError(f"prompt_sets.{name}.template has no '{{word}}', the place of the class word.")
        for word in prompt_set.words:
            _known("class", word, study.classes, f"prompt_sets.{name}.words")
    for name, recipe in study.recipes.items():
        _check_recipe(study, name, recipe)
    for name, table in study.tables.items():
        for row in table.rows:
            where = f"tables.{name}, row {row.label!r}"
            _known("recipe", row.recipe, study.recipes, where)
            _known("segmenter", row.segmenter, study.segmenters, where)
            _known("benchmark", row.benchmark, study.benchmarks, where)
    for listed in study.listed_classes:
        _known("class", listed, study.classes, "listed_classes")
    if study.mask_quality:
        _known("benchmark", study.mask_quality.benchmark, study.benchmarks, "mask_quality")
        for variant in study.mask_quality.variants:
            _known("variant", variant, {**VARIANTS, **study.variants}, "mask_quality.variants")
        for refinement in study.mask_quality.refinements:
            _known("refinement", refinement, study.refinements, "mask_quality.refinements")


def _check_variants(study: Study) -> None:
    known = {**VARIANTS, **study.variants}
    for name in study.variants:
        study.steps(name)
    for name, one in study.passes.items():
        _known("image set", one.image_set, study.image_sets, f"passes.{name}")
    users = {f"image_sets.{name}": one.variants for name, one in study.image_sets.items()}
    users |= {f"passes.{name}": one.variants for name, one in study.passes.items()}
    for where, variants in users.items():
        for variant in variants:
            _known("variant", variant, known, where)


def _check_recipe(study: Study, name: str, recipe: SyntheticRecipe | RealRecipe) -> None:
    where = f"recipes.{name}"
    if isinstance(recipe, RealRecipe):
        _known("benchmark", recipe.benchmark, study.benchmarks, where)
        return
    _known("image set", recipe.image_set, study.image_sets, where)
    _known("refinement", recipe.refinement, study.refinements, where)
    _known("variant", recipe.variant, study.fed_variants(recipe.image_set), where)
    available = study.prompt_sets[study.image_sets[recipe.image_set].prompt_set].per_class
    if recipe.per_class and recipe.per_class > available:
        raise SeediffError(f"{where} asks for {recipe.per_class} images a class, its image set has {available}.")


def _known(kind: str, name: str, known: Iterable[str], where: str) -> None:
    if name not in (names := list(known)):
        raise SeediffError(f"{where} names the {kind} {name!r}, which is not defined.\n{nearest(name, names)}")
