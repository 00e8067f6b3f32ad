"""The study and the sections that say what it does: frozen, validated models. Nothing imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator
from pydantic_core import PydanticCustomError

from seediff.adaptation.settings import Adaptation
from seediff.datasets.augmentation import Augmentation
from seediff.datasets.classes import MOST_CLASSES
from seediff.datasets.registry import known_formats
from seediff.diffusion.model_files import is_hub_id, reference, split_reference
from seediff.errors import SeediffError
from seediff.filtering.settings import Filter
from seediff.masks.refinement import Refinement
from seediff.masks.variants import Steps, named_steps, resolve
from seediff.segmenter.settings import PRESETS_BY_BACKBONE, RobustTraining, SegmenterSettings, segmenter_settings
from seediff.settings import AtOnce, GuidanceScale, Pixels, Share, Threshold, Timesteps
from seediff.workflow.study.outputs import AnyTable, Figures, Judge, MaskTable, ReferenceJudge, Table
from seediff.workflow.study.values import UNLESS_EMPTY, AnyNames, Count, Name, Names, Repeats, Section, Text


class Thresholds(Section):
    """The paper's thresholds."""

    alpha: Share = 0.5
    """Selects seeds (Eq. 6, 9)."""
    beta: Threshold = 0.3
    """Binarises the final score (Eq. 12)."""


class Diffusion(Section):
    """The text-to-image model and how it is sampled."""

    model: Annotated[Text, Field(pattern=r"^[^{}]*$")]  # braces are wildcards in the workflow's paths
    """Hub id or folder of a text-to-image model."""
    revision: Annotated[Text | None, Field(pattern=r"^[\w./-]+$"), UNLESS_EMPTY] = None
    """Commit, tag or branch of a hub id; if left out, the commit that the id stands for when a run begins."""
    num_inference_steps: Timesteps = 50
    """Denoising steps of an image."""
    guidance_scale: GuidanceScale = 7.5
    """Scale of whatever guidance the model has; 0 for none, as turbo models want it."""
    height: Annotated[Pixels | None, UNLESS_EMPTY] = None
    """Height of an image in pixels, if not the model's own."""
    width: Annotated[Pixels | None, UNLESS_EMPTY] = None
    """Width of an image in pixels, if not the model's own."""
    batch_size: AtOnce = 8
    """Images drawn at a time. It changes speed and, at most, last digits."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the model."""

    @model_validator(mode="after")
    def _has_a_revision_of_a_hub_id_alone(self) -> Diffusion:
        if self.revision and split_reference(self.model)[1]:
            raise ValueError("'model' already has a revision after the @, so leave 'revision' out")
        if self.revision and not is_hub_id(self.model):
            raise ValueError("'revision' is for a hub id; a folder has none")
        return self

    @property
    def reference(self) -> str:
        """The model with its revision (``model_files``)."""
        return reference(self.model, self.revision)


class PromptAugmentation(Section):
    """Varied prompts: other words for the classes, in other templates and contexts.

    docs/methods/prompt-augmentation.md says which prompts come out.
    """

    source: Literal["curated", "embedded", "wordnet", "listed"] = "curated"
    """Where words come from. ``curated``: the list that comes with the program, for VOC's 20 classes and Cityscapes'
    19. ``embedded``: the closed language of the embedded model. ``wordnet``: your own WordNet file. ``listed``: only
    ``words``."""
    lexicon: Text | None = None
    """For ``wordnet``: its file, in the format WN-LMF."""
    depth: Annotated[int, Ge(0), Le(20)] = 1
    """For ``wordnet``: how many levels of hyponyms are taken."""
    senses: dict[Name, Text] = {}
    """For ``wordnet``: the synset of a class, if it is not the first sense of its word."""
    words: dict[Name, tuple[Text, ...]] = {}
    """Words of your own for a class, which are always used. With ``curated`` they also serve a class that the list does
    not have; with ``wordnet`` they replace what it offers for the class (``[]``: the name alone)."""
    exclude: tuple[Text, ...] = ()
    """Words not to use. A class's own name can be among them."""
    templates: tuple[Text, ...] = ()
    """Templates beside the prompt set's own, each with ``{word}`` once."""
    contexts: tuple[Text, ...] = ()
    """Texts put after the prompt, which is also used without them."""
    repeat: bool = False
    """Once every prompt has been used, start again: the same prompt is then drawn several times, each time from another
    seed. If false, it is an error to ask for more prompts than there are."""

    @model_validator(mode="after")
    def _has_its_lexicon(self) -> PromptAugmentation:
        if (self.source == "wordnet") != (self.lexicon is not None):
            raise ValueError("source 'wordnet' needs 'lexicon', the path of a WN-LMF file; the others have none")
        if self.senses and self.source != "wordnet":
            raise ValueError("'senses' are synsets of a WordNet, so they need source 'wordnet'")
        return self


class PromptSet(Section):
    """The prompts given to the diffusion model: the same number for every class."""

    classes: Annotated[AnyNames, Field(max_length=MOST_CLASSES)] = ()
    """The classes to draw, if they are not the study's."""
    template: Text = "a photo of a {word}"
    """The prompt, with ``{word}`` where the class word belongs."""
    per_class: Count
    """Prompts of each class."""
    draws: Annotated[Count, Field(exclude_if=lambda draws: draws == 1)] = 1
    """How often that many are drawn, from other seeds. Repeat k of a training learns from draw k, in turn."""
    words: dict[Name, Text] = {}
    """The word that stands for a class in prompts, if it is not the class's name."""
    augmentation: Annotated[PromptAugmentation | None, UNLESS_EMPTY] = None

    @property
    def number(self) -> int:
        """Images of each class in all draws."""
        return self.per_class * self.draws

    @property
    def draw_size(self) -> int | None:
        """Images of each class in a draw; None if there is only one draw."""
        return self.per_class if self.draws > 1 else None


class ImageSet(Section):
    """Images drawn from one prompt set, with the scores of several variants."""

    prompt_set: Name
    """The prompts to draw, an entry of ``prompt_sets``."""
    adaptation: Annotated[Name | None, UNLESS_EMPTY] = None
    """The adaptation of the diffusion model, an entry of ``adaptations``; the model as it is if left out."""
    variants: Names
    """The variants scored in the denoising run that draws the images."""
    shard_size: Count
    """Images of a class that are drawn in one job and kept in one file."""
    shards_per_part: Count = 1
    """Shards that are refined in one job."""


class Pass(Section):
    """A later denoising run, for variants added since: it draws the images again from the same seeds.

    Finished files stay.
    """

    image_set: Name
    """The images to draw again, an entry of ``image_sets``."""
    variants: Names
    """The variants to score."""


class VariantByClass(Section):
    """Another variant for some classes; recipes name it like a variant."""

    default: Name
    """The variant of all other classes."""
    classes: dict[Name, Name]
    """The variant of each of these classes."""


class Start(Section):
    """The trained model, of the same repeat, whose weights a training starts from."""

    recipe: Name
    """What it was trained on."""
    segmenter: Name
    """Its segmenter."""


class SyntheticRecipe(Section):
    """A training set of drawn images, with masks of one variant."""

    image_set: Name
    """The images, an entry of ``image_sets``."""
    variant: Name
    """The variant that makes the masks: one that the image set or a pass over it scores, or an entry of
    ``variants_by_class``."""
    refinement: Name
    """From scores to masks, an entry of ``refinements``."""
    filter: Annotated[Name | None, UNLESS_EMPTY] = None
    """Which pairs are good enough, an entry of ``filters``; all if left out."""
    per_class: Count | None = None
    """Images of each class; all if left out."""
    augmentation: Name | None = None
    """Changes of the pairs while training, an entry of ``augmentations``."""
    start: Start | None = None
    robust: Annotated[RobustTraining | None, UNLESS_EMPTY] = None
    """Train two networks that rely on masks as far as these are reliable; ``{}`` for the defaults."""


class RealRecipe(Section):
    """A training set of a benchmark's own annotated images."""

    benchmark: Name
    """The data set, an entry of ``benchmarks``."""
    split: Name = "train"
    """Its split."""
    number: Count | None = None
    """Number of images; all if left out."""
    classes: Annotated[AnyNames, Field(max_length=MOST_CLASSES)] = ()
    """The classes to learn, if they are not the study's; the others become background."""
    augmentation: Name | None = None
    """Changes of the pairs while training, an entry of ``augmentations``."""
    start: Start | None = None


def _kind_of_recipe(recipe: Any) -> str:
    """The kind that a recipe is meant to be, so that its errors are reported for that kind only."""
    is_real = isinstance(recipe, dict) and "benchmark" in recipe and "image_set" not in recipe
    return "RealRecipe" if is_real or isinstance(recipe, RealRecipe) else "SyntheticRecipe"


Recipe = Annotated[
    Annotated[SyntheticRecipe, Tag("SyntheticRecipe")] | Annotated[RealRecipe, Tag("RealRecipe")],
    Discriminator(_kind_of_recipe),
]

if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[tuple(known_formats())]


class Embedded(Section):
    """A stand-in drawn by the workflow, in the format of the real data set."""

    train: Count
    """Images of its split ``train``."""
    val: Count
    """Images of its split ``val``."""


class Benchmark(Section):
    """A data set: a real one in ``folder``, or an ``embedded`` stand-in."""

    title: str
    """Its name in tables."""
    format: Format
    """How its files are laid out and its labels coded."""
    folder: Text | None = None
    """Where the real data set is."""
    split: Name = "val"
    """The split that segmenters are tested on."""
    embedded: Embedded | None = None
    lacks: Annotated[AnyNames, UNLESS_EMPTY] = ()
    """Classes of the study that it does not have but that are tested on it anyway."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Benchmark:
        if (self.folder is None) == (self.embedded is None):
            raise ValueError("give either 'folder', where the data set is, or 'embedded', to draw a stand-in")
        return self


def _settings(values: Any) -> Any:
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        return values
    if not isinstance(values.get("backbone"), str):
        raise ValueError("a segmenter needs 'backbone', one of " + ", ".join(PRESETS_BY_BACKBONE))
    try:
        return segmenter_settings(**values)
    except SeediffError as error:
        raise PydanticCustomError(REFUSED_SETTINGS, "{problem}", {"problem": str(error)}) from None


REFUSED_SETTINGS = "refused_settings"
"""Type of the validation error that holds a ``SeediffError`` of settings."""

Segmenter = Annotated[SegmenterSettings, BeforeValidator(_settings)]
"""A backbone's default settings, with the study's changes."""


class Study(Section):
    """Everything that defines a run."""

    name: Name
    """The name of the file without ``.yaml``, and of the folder of results."""
    title: str
    """Heading of the report."""
    notes: tuple[str, ...] = ()
    """Remarks in the report."""
    embedded: bool = False
    """The numbers come from the embedded pictogram world: tables say so and give no difference to the paper's."""
    rng_seed: Annotated[int, Ge(0)] = 0
    """Every random number of the study is derived from it."""
    repeats: Repeats = 1
    """Trainings of each table row, with different seeds; tables give mean and standard deviation."""
    classes: Annotated[Names, Field(max_length=MOST_CLASSES)]
    """Class names; label 0 is the background, label k the k-th class."""
    listed_classes: AnyNames = ()
    """The classes that the paper prints: tables without columns of their own give the mean over them, too."""
    reported_on: str = "VOC 2012 val"
    """The benchmark of the paper's numbers, named in table headings."""
    thresholds: Thresholds = Thresholds()
    diffusion: Diffusion
    adaptations: Annotated[dict[Name, Adaptation], UNLESS_EMPTY] = {}
    prompt_sets: Annotated[dict[Name, PromptSet], Field(min_length=1)]
    image_sets: Annotated[dict[Name, ImageSet], Field(min_length=1)]
    variants: dict[Name, list[str | dict[str, dict[str, Any]]]] = {}
    """Mask steps of your own, as ``name: [{step: {parameter: value}}, ...]``. They replace a built-in variant of the
    same name."""
    variants_by_class: dict[Name, VariantByClass] = {}
    passes: dict[Name, Pass] = {}
    refinements: Annotated[dict[Name, Refinement], Field(min_length=1)]
    filters: Annotated[dict[Name, Filter], UNLESS_EMPTY] = {}
    augmentations: dict[Name, Augmentation] = {}
    recipes: dict[Name, Recipe]
    segmenters: dict[Name, Segmenter]
    benchmarks: dict[Name, Benchmark]
    judges: Annotated[dict[Name, Judge], UNLESS_EMPTY] = {}
    tables: Annotated[dict[Name, AnyTable], Field(min_length=1)]
    figures: Figures | None = None

    _fingerprints: dict[str, str] = PrivateAttr(default_factory=dict)

    def reading(self, fingerprints: Mapping[str, str]) -> Study:
        """The same study, with fingerprints of its data by the data's name."""
        study = self.model_copy()
        study._fingerprints = dict(fingerprints)
        return study

    def fingerprint(self, data: str) -> str | None:
        """The fingerprint of the files of real data, if it is known."""
        return self._fingerprints.get(data)

    def steps(self, variant: str) -> Steps:
        """The variant's mask steps with every parameter explicit: the study's own, or the built-in of that name."""
        written = self.variants.get(variant, variant)
        return resolve(named_steps(written), alpha=self.thresholds.alpha)

    @property
    def segmenter_tables(self) -> dict[str, Table]:
        return {name: table for name, table in self.tables.items() if isinstance(table, Table)}

    @property
    def mask_tables(self) -> dict[str, MaskTable]:
        return {name: table for name, table in self.tables.items() if isinstance(table, MaskTable)}

    @property
    def references(self) -> dict[str, ReferenceJudge]:
        """The judges that are trained."""
        return {name: judge for name, judge in self.judges.items() if isinstance(judge, ReferenceJudge)}

    def judged_rows(self, judge: str) -> list[tuple[str, str]]:
        """Variant and refinement of every row of the judge's tables, each once."""
        tables = [table for table in self.mask_tables.values() if table.judge == judge]
        return list(dict.fromkeys((row.variant, row.refinement) for table in tables for row in table.rows))

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
        """Whether the recipe trains two networks of a segmenter."""
        settings = self.recipes[recipe]
        return isinstance(settings, SyntheticRecipe) and settings.robust is not None

    def every_class(self) -> tuple[str, ...]:
        """The study's classes, then other classes of its prompt sets."""
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
