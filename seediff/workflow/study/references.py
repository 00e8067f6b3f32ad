"""The names in a study must be defined in it, and its values must fit each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil

from seediff.datasets.classes import BACKGROUND, check_classes
from seediff.datasets.formats import REQUIRED_SPLITS
from seediff.datasets.registry import FORMATS
from seediff.errors import SeediffError
from seediff.masks.refinement import Refinement
from seediff.masks.variants import VARIANTS
from seediff.names import nearest, slug
from seediff.prompts.prompt_sets import too_few
from seediff.prompts.synonyms.variety import vary
from seediff.prompts.synonyms.vocabulary import shipped_words
from seediff.prompts.words import PLACE, place_word, split_words
from seediff.workflow.study.data_formats import data_format
from seediff.workflow.study.mask_sets import mask_sets
from seediff.workflow.study.outputs import Figures
from seediff.workflow.study.sections import (
    Benchmark,
    PromptAugmentation,
    PromptSet,
    RealRecipe,
    Recipe,
    Study,
    SyntheticRecipe,
)
from seediff.workflow.study.table_references import (
    check_defined,
    check_judge,
    check_mask_table,
    check_repeats,
    check_row,
    no_row_twice,
)

MOST_SHARDS = 100_000
MOST_RUNS = 100_000


def check_references(study: Study) -> None:
    """Every name a study uses must be defined in it, and every value must fit the others."""
    _check_case(study)
    _check_names(study)
    _check_classes(study)
    _check_adaptations(study)
    _check_variants(study)
    for name, recipe in study.recipes.items():
        _check_recipe(study, f"recipes.{name}", recipe)
        _check_start(study, name)
    _check_mask_sets(study)
    for name, benchmark in study.benchmarks.items():
        if benchmark.embedded and not study.embedded:
            raise SeediffError(
                f"benchmarks.{name} is a drawn stand-in, so the study's numbers are not those of the real benchmark.\n"
                "Write 'embedded: true' at the top of the study."
            )
        _check_benchmark(f"benchmarks.{name}", benchmark, benchmark.split)
        for lacking in benchmark.lacks:
            check_defined("class", lacking, study.every_class(), f"benchmarks.{name}.lacks")
    for name, judge in study.judges.items():
        check_judge(study, name, judge)
    for name, mask_table in study.mask_tables.items():
        check_mask_table(study, name, mask_table)
    for name, table in study.segmenter_tables.items():
        no_row_twice(f"tables.{name}", table)
        check_repeats(study, table, f"tables.{name}")
        for row in table.rows:
            check_row(study, table, row, f"tables.{name}, row {row.label!r}")
    _check_number_of_runs(study)
    for name, refinement in study.refinements.items():
        _check_refinement(study, f"refinements.{name}", refinement)
    if study.figures:
        _check_figures(study, study.figures)


def _check_case(study: Study) -> None:
    """Two names of the same kind must not be the same file or folder on a file system that ignores case."""
    for kind, names in _names_of_files(study):
        seen: dict[str, str] = {}
        for name in names:
            if (first := seen.setdefault(name.lower(), name)) != name:
                raise SeediffError(
                    f"{kind} has {first!r} and {name!r}, the same name on some file systems.\nRename one of them."
                )


def _names_of_files(study: Study) -> Iterator[tuple[str, Iterable[str]]]:
    """Each kind of names that share a folder; classes as they are written in paths."""
    sections = (
        "adaptations", "prompt_sets", "image_sets", "passes", "filters", "recipes", "segmenters", "benchmarks",
        "tables",
    )  # fmt: skip
    yield from ((section, getattr(study, section)) for section in sections)
    yield "classes", map(slug, study.every_class())


def _check_names(study: Study) -> None:
    """No name may stand for two variants."""
    for name in study.variants_by_class:
        if name in {**VARIANTS, **study.variants}:
            raise SeediffError(f"variants_by_class.{name}: a variant has this name already. Choose another.")


def _check_refinement(study: Study, where: str, refinement: Refinement) -> None:
    """The band of uncertain scores lies below the threshold, which may be the study's."""
    try:
        refinement.with_default_threshold(study.thresholds.beta)
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None


def _check_figures(study: Study, figures: Figures) -> None:
    check_defined("image set", figures.image_set, study.image_sets, "figures")
    for name in figures.classes:
        check_defined("class", name, study.image_set_classes(figures.image_set), "figures.classes")
    for number, prompt in enumerate(figures.open, start=1):
        try:
            place_word(prompt.prompt, prompt.word, prompt.starts)
        except SeediffError as error:
            raise SeediffError(f"figures.open, prompt {number}: {error}") from None


def _check_classes(study: Study) -> None:
    every = study.every_class()
    if len({*study.classes}) < len(study.classes) or len({slug(name) for name in every}) < len(every):
        raise SeediffError("classes holds the same name twice (spaces and dashes are treated as equal).")
    if BACKGROUND in every:
        raise SeediffError(f"classes holds {BACKGROUND!r}, which is label 0 in every study.\nLeave it out.")
    for name, prompt_set in study.prompt_sets.items():
        if PLACE not in prompt_set.template:
            raise SeediffError(f"prompt_sets.{name}.template has no '{PLACE}', the place of the class word.")
        for word in prompt_set.words:
            check_defined("class", word, prompt_set.classes or study.classes, f"prompt_sets.{name}.words")
        if lost := [word for word in prompt_set.words.values() if not split_words(word)]:
            raise SeediffError(f"prompt_sets.{name}.words: {lost[0]!r} cannot be found: it has no letter or digit.")
        if prompt_set.augmentation:
            _check_prompts(study, f"prompt_sets.{name}", prompt_set, prompt_set.augmentation)
    for name, image_set in study.image_sets.items():
        check_defined("prompt set", image_set.prompt_set, study.prompt_sets, f"image_sets.{name}")
        _check_shards(study, name)
    for listed in study.listed_classes:
        check_defined("class", listed, study.classes, "listed_classes")


def _check_prompts(study: Study, where: str, prompt_set: PromptSet, augmentation: PromptAugmentation) -> None:
    """Words must be for the set's classes, and enough for its prompts. A WordNet is read only when prompts are made."""
    classes = prompt_set.classes or study.classes
    for key in ("words", "senses"):
        for name in getattr(augmentation, key):
            check_defined("class", name, classes, f"{where}.augmentation.{key}")
    if augmentation.source == "wordnet":
        return
    names = {name: prompt_set.words.get(name, name) for name in classes}
    try:
        shipped = shipped_words(augmentation.source, classes, augmentation.words)
        settings = {**augmentation.model_dump(), "shipped": shipped}
        variety = vary(classes, prompt_set.template, names, settings)
        for name in classes:
            if not augmentation.repeat and prompt_set.number > variety.number(name):
                raise too_few(prompt_set.number, variety.number(name), name)
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None


def _check_adaptations(study: Study) -> None:
    for name, image_set in study.image_sets.items():
        if image_set.adaptation is not None:
            check_defined("adaptation", image_set.adaptation, study.adaptations, f"image_sets.{name}")
    for name, adaptation in study.adaptations.items():
        if adaptation.benchmark is not None:
            check_defined("benchmark", adaptation.benchmark, study.benchmarks, f"adaptations.{name}")
            _check_benchmark(f"adaptations.{name}", study.benchmarks[adaptation.benchmark], adaptation.split)


def _check_shards(study: Study, image_set: str) -> None:
    """A shard is a job, and the job graph has its limits (docs/scaling.md)."""
    of_class, size = study.prompt_set_of(image_set).number, study.image_sets[image_set].shard_size
    number = len(study.image_set_classes(image_set)) * ceil(of_class / size)
    if number > MOST_SHARDS:
        raise SeediffError(
            f"image_sets.{image_set} would have {number:,} shards, but can have {MOST_SHARDS:,}.\n"
            f"Raise its shard_size, which is {size}."
        )


def _check_number_of_runs(study: Study) -> None:
    """A run is a job as well."""
    rows = sum(row.recipe is not None for table in study.segmenter_tables.values() for row in table.rows)
    if rows * study.repeats > MOST_RUNS:
        raise SeediffError(
            f"tables have {rows:,} rows of runs, each repeated {study.repeats:,} times, but {MOST_RUNS:,} runs is the"
            " most.\nLower 'repeats'."
        )


def _check_variants(study: Study) -> None:
    defined = {**VARIANTS, **study.variants}
    for name in study.variants:
        try:
            study.steps(name)
        except SeediffError as error:
            raise SeediffError(f"variants.{name}: {error}") from None
    for name, later in study.passes.items():
        check_defined("image set", later.image_set, study.image_sets, f"passes.{name}")
    users = {f"image_sets.{name}": image_set.variants for name, image_set in study.image_sets.items()}
    users |= {f"passes.{name}": later.variants for name, later in study.passes.items()}
    users |= {
        f"variants_by_class.{name}": (by_class.default, *by_class.classes.values())
        for name, by_class in study.variants_by_class.items()
    }
    for where, variants in users.items():
        for variant in variants:
            check_defined("variant", variant, defined, where)
    for name, by_class in study.variants_by_class.items():
        for class_name in by_class.classes:
            check_defined("class", class_name, study.every_class(), f"variants_by_class.{name}.classes")


def _check_recipe(study: Study, where: str, recipe: Recipe) -> None:
    if recipe.augmentation is not None:
        check_defined("augmentation", recipe.augmentation, study.augmentations, where)
    if isinstance(recipe, RealRecipe):
        check_defined("benchmark", recipe.benchmark, study.benchmarks, where)
        _check_benchmark(where, study.benchmarks[recipe.benchmark], recipe.split)
        _check_taught(where, study.benchmarks[recipe.benchmark], recipe.split, recipe.classes or study.classes)
        return
    check_defined("image set", recipe.image_set, study.image_sets, where)
    check_defined("refinement", recipe.refinement, study.refinements, where)
    _check_scored(study, where, recipe.image_set, recipe.variant)
    if recipe.filter is not None:
        _check_filter(study, where, recipe, recipe.filter)
    available = study.prompt_set_of(recipe.image_set).per_class
    if recipe.per_class and recipe.per_class > available:
        raise SeediffError(f"{where} asks for {recipe.per_class} images per class, but its image set has {available}.")


def _check_mask_sets(study: Study) -> None:
    """No two pairs of variant and refinement may have one folder, on any file system."""
    folders: dict[str, tuple[str, str]] = {}
    for masks in mask_sets(study):
        pair = masks.variant, masks.refinement
        if (first := folders.setdefault(masks.name.lower(), pair)) != pair:
            raise SeediffError(
                f"Variant {first[0]!r} with refinement {first[1]!r} and variant {pair[0]!r} with {pair[1]!r} are both "
                f"called {masks.name!r}, on some file systems at least.\nRename one of them."
            )


def _check_scored(study: Study, where: str, image_set: str, variant: str) -> None:
    """The variant, or every variant that it stands for, must be scored in one denoising run of the image set."""
    fed = study.fed_variants(image_set)
    check_defined("variant", variant, [*fed, *study.variants_by_class], where)
    wanted = {study.variant_for(variant, name) for name in study.image_set_classes(image_set)}
    later = [study.passes[name].variants for name in study.passes_of(image_set)]
    if not any(wanted <= {*variants} for variants in (study.image_sets[image_set].variants, *later)):
        names = ", ".join(sorted(wanted))
        raise SeediffError(f"{where} needs {names} of one denoising run.\nList them in one image set or pass.")


def _check_filter(study: Study, where: str, recipe: SyntheticRecipe, name: str) -> None:
    check_defined("filter", name, study.filters, where)
    compared = study.compared_variants(recipe.variant, name)
    if study.filters[name].agreement_with and not compared:
        problem = f"filters.{name}.agreement_with has no variant but {recipe.variant!r}, which {where} itself uses"
        raise SeediffError(f"{problem}.\nName others.")
    for variant in compared:
        _check_scored(study, f"filters.{name}.agreement_with, used by {where},", recipe.image_set, variant)


def _check_start(study: Study, name: str) -> None:
    """A training can start from a model of the same classes, but not, even indirectly, from itself."""
    chain, where = [name], f"recipes.{name}.start"
    while start := study.recipes[chain[-1]].start:
        check_defined("recipe", start.recipe, study.recipes, where)
        check_defined("segmenter", start.segmenter, study.segmenters, where)
        if start.recipe in chain:
            raise SeediffError(f"{where} leads back to {start.recipe!r}: a model cannot start from itself.")
        if study.recipe_classes(start.recipe) != study.recipe_classes(name):
            raise SeediffError(f"{where}: {start.recipe!r} has other classes than {name!r}.\nGive both the same.")
        if study.is_robust(start.recipe) != study.is_robust(name):
            raise SeediffError(f"{where}: only one of {start.recipe!r} and {name!r} is robust, with two networks.")
        chain.append(start.recipe)


def _check_taught(where: str, benchmark: Benchmark, split: str, classes: Sequence[str]) -> None:
    """Annotated images must have every class that a recipe learns from them."""
    try:
        check_classes(classes)
        if format := data_format(benchmark, split):
            format.label_by_name(classes)
            format.check_learnable(classes)
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None


def _check_benchmark(where: str, benchmark: Benchmark, split: str) -> None:
    """An embedded stand-in is drawn with two splits; the splits of a folder are checked when it is opened."""
    if benchmark.embedded and benchmark.format not in FORMATS:
        raise SeediffError(
            f"{where}: no stand-in is drawn in the format {benchmark.format}.\nGive the data's 'folder'."
        )
    if benchmark.embedded and split not in REQUIRED_SPLITS:
        raise SeediffError(f"{where}: an embedded benchmark has no split {split!r}.\n{nearest(split, REQUIRED_SPLITS)}")
