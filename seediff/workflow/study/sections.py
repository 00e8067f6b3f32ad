"""The study and the sections that say what it does: frozen, validated models. Nothing imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from seediff.adaptation.settings import Adaptation
from seediff.bounds import MOST_TIMESTEPS
from seediff.datasets.augmentation import Augmentation
from seediff.datasets.classes import MOST_CLASSES
from seediff.datasets.registry import FORMATS
from seediff.diffusion.model_files import is_hub_id, reference, split_reference
from seediff.filtering.settings import Filter
from seediff.masks.refinement import Refinement
from seediff.masks.variants import VARIANTS, Steps, resolve
from seediff.segmenter.settings import PRESETS_BY_BACKBONE, RobustTraining, SegmenterSettings, segmenter_settings
from seediff.workflow.study.outputs import Figures, MaskQuality, Table
from seediff.workflow.study.values import AnyNames, AtOnce, Count, Name, Names, Repeats, Section, Share, Text

_UNLESS_EMPTY: Any = Field(exclude_if=lambda value: not value)
"""Not written out where it says nothing, so that a study that leaves it out reads as it did before there was one."""


class Thresholds(Section):
    """``alpha`` selects seeds (Eq. 6, 9), ``beta`` binarises the final score (Eq. 12)."""

    alpha: Share = 0.5
    beta: Annotated[float, Field(gt=0, le=1)] = 0.3


class Diffusion(Section):
    """The text-to-image model and how it is sampled; ``model`` is a hub id or a local folder.

    ``revision``: the commit, tag or branch of a hub id; without one, what the id stands for when a run begins.
    """

    model: Annotated[Text, Field(pattern=r"^[^{}]*$")]  # braces are wildcards in the workflow's paths
    revision: Annotated[Text | None, Field(pattern=r"^[\w./-]+$"), _UNLESS_EMPTY] = None
    num_inference_steps: Annotated[int, Field(gt=0, le=MOST_TIMESTEPS)] = 50
    guidance_scale: Annotated[float, Field(gt=1)] = 7.5
    batch_size: AtOnce = 8
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @model_validator(mode="after")
    def _has_a_revision_of_a_hub_id_alone(self) -> Diffusion:
        if self.revision and split_reference(self.model)[1]:
            raise ValueError("'model' has its revision behind the @ already, so leave 'revision' out")
        if self.revision and not is_hub_id(self.model):
            raise ValueError("'revision' is that of a hub id, and a folder has none")
        return self

    @property
    def reference(self) -> str:
        """The model with its revision (``model_files``)."""
        return reference(self.model, self.revision)


class PromptAugmentation(Section):
    """Prompts that differ: other words for the classes, in other templates and contexts.

    ``source`` of the words: the list that comes with the program, the embedded model's language, a WordNet of one's own
    (``lexicon``, a WN-LMF file; ``depth`` of hyponyms; ``senses``, the synset of a class where it is not its word's
    first), or nothing but ``words``, which are used in any case. ``exclude``: words that are not. ``contexts`` are put
    after the prompt. ``repeat``: once every prompt has been used, use them again, to other seeds.
    """

    source: Literal["curated", "embedded", "wordnet", "listed"] = "curated"
    lexicon: Text | None = None
    depth: Annotated[int, Field(ge=0, le=20)] = 1
    senses: dict[Name, Text] = {}
    words: dict[Name, tuple[Text, ...]] = {}
    exclude: tuple[Text, ...] = ()
    templates: tuple[Text, ...] = ()
    contexts: tuple[Text, ...] = ()
    repeat: bool = False

    @model_validator(mode="after")
    def _has_its_lexicon(self) -> PromptAugmentation:
        if (self.source == "wordnet") != (self.lexicon is not None):
            raise ValueError("source 'wordnet' needs 'lexicon', the path of a WN-LMF file; the others have none")
        if self.senses and self.source != "wordnet":
            raise ValueError("'senses' are synsets of a WordNet, so they need source 'wordnet'")
        return self


class PromptSet(Section):
    """``per_class`` prompts for each of ``classes`` (the study's, if none are given).

    ``words`` gives the word that stands for a class where it is not its name.
    """

    classes: Annotated[AnyNames, Field(max_length=MOST_CLASSES)] = ()
    template: Text = "a photo of a {word}"
    per_class: Count
    words: dict[Name, Text] = {}
    augmentation: PromptAugmentation | None = Field(default=None, exclude_if=lambda value: value is None)


class ImageSet(Section):
    """Images drawn from one prompt set, ``shard_size`` to a shard; ``shards_per_part`` shards are refined in one job.

    The denoising run that draws the images feeds every variant listed. ``adaptation``: that of the model that draws.
    """

    prompt_set: Name
    adaptation: Name | None = Field(default=None, exclude_if=lambda name: name is None)
    variants: Names
    shard_size: Count
    shards_per_part: Count = 1


class Pass(Section):
    """A later denoising run over finished images, for variants added since: it draws them again, to the same seeds."""

    image_set: Name
    variants: Names


class VariantByClass(Section):
    """The ``default`` variant for every class but those that ``classes`` gives another one."""

    default: Name
    classes: dict[Name, Name]


class Start(Section):
    """The trained model whose weights a training starts from (of the same repeat)."""

    recipe: Name
    segmenter: Name


class SyntheticRecipe(Section):
    """A training set of drawn images with masks of one variant; ``per_class`` images a class, all if left out.

    ``robust``: two networks are trained on it, which rely on the masks only as far as these are reliable.
    ``filter``: which pairs are good enough; all without one.
    """

    image_set: Name
    variant: Name
    refinement: Name
    filter: Annotated[Name | None, _UNLESS_EMPTY] = None
    per_class: Count | None = None
    augmentation: Name | None = None
    start: Start | None = None
    # A study without it dumps as it did before there was such a thing, so that its report stays valid.
    robust: RobustTraining | None = Field(default=None, exclude_if=lambda robust: robust is None)


class RealRecipe(Section):
    """A training set of a benchmark's own annotated images; ``number`` of them, all if left out.

    ``classes``: those to learn (the study's, if none are given); the others become background.
    """

    benchmark: Name
    split: Name = "train"
    number: Count | None = None
    classes: Annotated[AnyNames, Field(max_length=MOST_CLASSES)] = ()
    augmentation: Name | None = None
    start: Start | None = None


def _kind_of_recipe(recipe: Any) -> str:
    """Which of the two a recipe is meant to be, so that what is wrong in it is said of that kind alone."""
    is_real = isinstance(recipe, dict) and "benchmark" in recipe and "image_set" not in recipe
    return "RealRecipe" if is_real or isinstance(recipe, RealRecipe) else "SyntheticRecipe"


Recipe = Annotated[
    Annotated[SyntheticRecipe, Tag("SyntheticRecipe")] | Annotated[RealRecipe, Tag("RealRecipe")],
    Discriminator(_kind_of_recipe),
]

if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[tuple(FORMATS)]


class Embedded(Section):
    """Sizes of an embedded stand-in, drawn in the benchmark's own format."""

    train: Count
    val: Count


class Benchmark(Section):
    """An evaluation set: in ``folder``, or ``embedded``, drawn by the workflow in the format of the real one.

    ``lacks``: classes that are tested here though the data set does not have them.
    """

    title: str
    format: Format
    folder: Text | None = None
    split: Name = "val"
    embedded: Embedded | None = None
    lacks: Annotated[AnyNames, _UNLESS_EMPTY] = ()

    @model_validator(mode="after")
    def _has_one_source(self) -> Benchmark:
        if (self.folder is None) == (self.embedded is None):
            raise ValueError("give either 'folder', where the data set is, or 'embedded', to have a stand-in drawn")
        return self


def _settings(values: Any) -> Any:
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        return values
    if not isinstance(values.get("backbone"), str):
        raise ValueError("a segmenter needs 'backbone', one of " + ", ".join(PRESETS_BY_BACKBONE))
    return segmenter_settings(**values)


Segmenter = Annotated[SegmenterSettings, BeforeValidator(_settings)]
"""A backbone's usual settings, and what the study changes of them."""


class Study(Section):
    """Everything that defines a run (docs/studies.md explains each key)."""

    name: Name
    title: str
    notes: tuple[str, ...] = ()
    embedded: bool = False
    rng_seed: Annotated[int, Field(ge=0)] = 0
    repeats: Repeats = 1
    classes: Annotated[Names, Field(max_length=MOST_CLASSES)]
    listed_classes: AnyNames = ()
    reported_on: str = "VOC 2012 val"
    thresholds: Thresholds = Thresholds()
    diffusion: Diffusion
    adaptations: dict[Name, Adaptation] = Field(default={}, exclude_if=lambda adaptations: not adaptations)
    prompt_sets: Annotated[dict[Name, PromptSet], Field(min_length=1)]
    image_sets: Annotated[dict[Name, ImageSet], Field(min_length=1)]
    variants: dict[Name, list[str | dict[str, dict[str, Any]]]] = {}
    variants_by_class: dict[Name, VariantByClass] = {}
    passes: dict[Name, Pass] = {}
    refinements: Annotated[dict[Name, Refinement], Field(min_length=1)]
    filters: Annotated[dict[Name, Filter], _UNLESS_EMPTY] = {}
    augmentations: dict[Name, Augmentation] = {}
    recipes: dict[Name, Recipe]
    segmenters: dict[Name, Segmenter]
    benchmarks: dict[Name, Benchmark]
    tables: Annotated[dict[Name, Table], Field(min_length=1)]
    mask_quality: MaskQuality | None = None
    figures: Figures | None = None

    _fingerprints: dict[str, str] = PrivateAttr(default_factory=dict)

    def reading(self, fingerprints: Mapping[str, str]) -> Study:
        """The same study, of data with these fingerprints, by the data's name."""
        study = self.model_copy()
        study._fingerprints = dict(fingerprints)
        return study

    def fingerprint(self, data: str) -> str | None:
        """That of the files of real data, where it is known."""
        return self._fingerprints.get(data)

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

    def prompt_set_of(self, image_set: str) -> PromptSet:
        return self.prompt_sets[self.image_sets[image_set].prompt_set]

    def image_set_classes(self, image_set: str) -> tuple[str, ...]:
        return self.prompt_set_of(image_set).classes or self.classes

    def recipe_classes(self, recipe: str) -> tuple[str, ...]:
        """The classes that a segmenter trained on the recipe knows, in label order from 1."""
        settings = self.recipes[recipe]
        if isinstance(settings, SyntheticRecipe):
            return self.image_set_classes(settings.image_set)
        return settings.classes or self.classes

    def is_robust(self, recipe: str) -> bool:
        """Whether the recipe makes two networks of a segmenter."""
        settings = self.recipes[recipe]
        return isinstance(settings, SyntheticRecipe) and settings.robust is not None

    def every_class(self) -> tuple[str, ...]:
        """The study's classes, then those that some prompt set has besides."""
        others = (name for prompt_set in self.prompt_sets.values() for name in prompt_set.classes)
        return tuple(dict.fromkeys([*self.classes, *others]))

    def variant_for(self, variant: str, class_name: str) -> str:
        """The variant that makes the masks of a class."""
        by_class = self.variants_by_class.get(variant)
        return by_class.classes.get(class_name, by_class.default) if by_class else variant

    def refinement(self, name: str) -> Refinement:
        """The refinement with the study's ``beta`` where it sets no threshold of its own."""
        return self.refinements[name].with_default_threshold(self.thresholds.beta)

    def compared_variants(self, variant: str, filter: str) -> tuple[str, ...]:
        """The variants whose masks the filter compares with those of ``variant``."""
        return tuple(name for name in self.filters[filter].agreement_with if name != variant)

    def passes_of(self, image_set: str) -> list[str]:
        return [name for name, later in self.passes.items() if later.image_set == image_set]

    def fed_variants(self, image_set: str) -> list[str]:
        """The variants that have scores: those of the image set and of its later passes."""
        later = [variant for name in self.passes_of(image_set) for variant in self.passes[name].variants]
        return list(dict.fromkeys([*self.image_sets[image_set].variants, *later]))
