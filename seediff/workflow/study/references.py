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
from seediff.names import MASK_QUALITY, nearest, repeated, slug
from seediff.prompts.prompt_sets import too_few
from seediff.prompts.synonyms.variety import vary
from seediff.prompts.synonyms.vocabulary import shipped_words
from seediff.prompts.words import PLACE, place_word, split_words
from seediff.segmenter.settings import ROBUST_ARCHITECTURES
from seediff.workflow.study.mask_sets import mask_sets
from seediff.workflow.study.outputs import Column, Figures, Judge, MaskTable, Row, SceneJudge, Table
from seediff.workflow.study.sections import (
    Benchmark,
    PromptAugmentation,
    PromptSet,
    RealRecipe,
    Recipe,
    Study,
    SyntheticRecipe,
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
            _known("class", lacking, study.every_class(), f"benchmarks.{name}.lacks")
    for name, judge in study.judges.items():
        _check_judge(study, name, judge)
    for name, mask_table in study.mask_tables.items():
        _check_mask_table(study, name, mask_table)
    for name, table in study.segmenter_tables.items():
        _no_row_twice(f"tables.{name}", table)
        for row in table.rows:
            _check_row(study, table, row, f"tables.{name}, row {row.label!r}")
    _check_number_of_runs(study)
    for name, refinement in study.refinements.items():
        _check_refinement(study, f"refinements.{name}", refinement)
    if study.figures:
        _check_figures(study, study.figures)
    if study.mask_quality:
        _known("benchmark", study.mask_quality.benchmark, study.benchmarks, "mask_quality")
        _check_tested(study, study.mask_quality.benchmark, study.classes, "mask_quality")
        for variant in study.mask_quality.variants:
            _known("variant", variant, {**VARIANTS, **study.variants}, "mask_quality.variants")
        for name in study.mask_quality.refinements:
            _known("refinement", name, study.refinements, "mask_quality.refinements")


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
    )  # fmt: skip
    yield from ((section, getattr(study, section)) for section in sections)
    yield "tables", [*study.tables, MASK_QUALITY]
    yield "classes", map(slug, study.every_class())


def _check_names(study: Study) -> None:
    """No name may stand for two things, in the study or in its results."""
    if MASK_QUALITY in study.tables:
        raise SeediffError(f"tables.{MASK_QUALITY}: this name belongs to the section 'mask_quality'. Choose another.")
    for name in study.variants_by_class:
        if name in {**VARIANTS, **study.variants}:
            raise SeediffError(f"variants_by_class.{name}: a variant has this name already. Choose another.")


def _check_judge(study: Study, name: str, judge: Judge) -> None:
    where = f"judges.{name}"
    _known("benchmark", judge.benchmark, study.benchmarks, where)
    if isinstance(judge, SceneJudge):
        _check_tested(study, judge.benchmark, study.classes, where)
        return
    _known("image set", judge.image_set, study.image_sets, where)
    _known("recipe", judge.recipe, study.recipes, where)
    _known("segmenter", judge.segmenter, study.segmenters, where)
    if unknown := sorted({*study.image_set_classes(judge.image_set)} - {*study.recipe_classes(judge.recipe)}):
        raise SeediffError(f"{where}: recipe {judge.recipe!r} does not teach {unknown[0]!r}, which is drawn.")
    _check_tested(study, judge.benchmark, study.recipe_classes(judge.recipe), where)


def _check_mask_table(study: Study, name: str, table: MaskTable) -> None:
    where = f"tables.{name}"
    _no_row_twice(where, table)
    _known("judge", table.judge, study.judges, where)
    judge = study.judges[table.judge]
    for row in table.rows:
        at = f"{where}, row {row.label!r}"
        _known("refinement", row.refinement, study.refinements, at)
        if isinstance(judge, SceneJudge):
            _known("variant", row.variant, {**VARIANTS, **study.variants}, at)
        else:
            _known("variant", row.variant, study.image_sets[judge.image_set].variants, at)


def _no_row_twice(where: str, table: Table | MaskTable) -> None:
    labels = [row.label for row in table.rows]
    if twice := repeated(labels):
        raise SeediffError(f"{where} has two rows {twice[0]!r}.\nGive each its own label.")


def _check_refinement(study: Study, where: str, refinement: Refinement) -> None:
    """The band of uncertain scores lies below the threshold, which may be the study's."""
    try:
        refinement.with_default_threshold(study.thresholds.beta)
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None


def _check_figures(study: Study, figures: Figures) -> None:
    _known("image set", figures.image_set, study.image_sets, "figures")
    for name in figures.classes:
        _known("class", name, study.image_set_classes(figures.image_set), "figures.classes")
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
            _known("class", word, prompt_set.classes or study.classes, f"prompt_sets.{name}.words")
        if lost := [word for word in prompt_set.words.values() if not split_words(word)]:
            raise SeediffError(f"prompt_sets.{name}.words: {lost[0]!r} cannot be found: it has no letter or digit.")
        if prompt_set.augmentation:
            _check_prompts(study, f"prompt_sets.{name}", prompt_set, prompt_set.augmentation)
    for name, image_set in study.image_sets.items():
        _known("prompt set", image_set.prompt_set, study.prompt_sets, f"image_sets.{name}")
        _check_shards(study, name)
    for listed in study.listed_classes:
        _known("class", listed, study.classes, "listed_classes")


def _check_prompts(study: Study, where: str, prompt_set: PromptSet, augmentation: PromptAugmentation) -> None:
    """Words must be for the set's classes, and enough for its prompts. A WordNet is read only when prompts are made."""
    classes = prompt_set.classes or study.classes
    for key in ("words", "senses"):
        for name in getattr(augmentation, key):
            _known("class", name, classes, f"{where}.augmentation.{key}")
    if augmentation.source == "wordnet":
        return
    names = {name: prompt_set.words.get(name, name) for name in classes}
    try:
        shipped = shipped_words(augmentation.source, classes, augmentation.words)
        settings = {**augmentation.model_dump(), "shipped": shipped}
        variety = vary(classes, prompt_set.template, names, settings)
        for name in classes:
            if not augmentation.repeat and prompt_set.per_class > variety.number(name):
                raise too_few(prompt_set.per_class, variety.number(name), name)
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None


def _check_adaptations(study: Study) -> None:
    for name, image_set in study.image_sets.items():
        if image_set.adaptation is not None:
            _known("adaptation", image_set.adaptation, study.adaptations, f"image_sets.{name}")
    for name, adaptation in study.adaptations.items():
        if adaptation.benchmark is not None:
            _known("benchmark", adaptation.benchmark, study.benchmarks, f"adaptations.{name}")
            _check_benchmark(f"adaptations.{name}", study.benchmarks[adaptation.benchmark], adaptation.split)


def _check_shards(study: Study, image_set: str) -> None:
    """A shard is a job, and the job graph has its limits (docs/scaling.md)."""
    per_class, size = study.prompt_set_of(image_set).per_class, study.image_sets[image_set].shard_size
    number = len(study.image_set_classes(image_set)) * ceil(per_class / size)
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
    known = {**VARIANTS, **study.variants}
    for name in study.variants:
        try:
            study.steps(name)
        except SeediffError as error:
            raise SeediffError(f"variants.{name}: {error}") from None
    for name, later in study.passes.items():
        _known("image set", later.image_set, study.image_sets, f"passes.{name}")
    users = {f"image_sets.{name}": image_set.variants for name, image_set in study.image_sets.items()}
    users |= {f"passes.{name}": later.variants for name, later in study.passes.items()}
    users |= {
        f"variants_by_class.{name}": (by_class.default, *by_class.classes.values())
        for name, by_class in study.variants_by_class.items()
    }
    for where, variants in users.items():
        for variant in variants:
            _known("variant", variant, known, where)
    for name, by_class in study.variants_by_class.items():
        for class_name in by_class.classes:
            _known("class", class_name, study.every_class(), f"variants_by_class.{name}.classes")


def _check_recipe(study: Study, where: str, recipe: Recipe) -> None:
    if recipe.augmentation is not None:
        _known("augmentation", recipe.augmentation, study.augmentations, where)
    if isinstance(recipe, RealRecipe):
        _known("benchmark", recipe.benchmark, study.benchmarks, where)
        _check_benchmark(where, study.benchmarks[recipe.benchmark], recipe.split)
        _check_taught(where, study.benchmarks[recipe.benchmark].format, recipe.classes or study.classes)
        return
    _known("image set", recipe.image_set, study.image_sets, where)
    _known("refinement", recipe.refinement, study.refinements, where)
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
    _known("variant", variant, [*fed, *study.variants_by_class], where)
    wanted = {study.variant_for(variant, name) for name in study.image_set_classes(image_set)}
    later = [study.passes[name].variants for name in study.passes_of(image_set)]
    if not any(wanted <= {*variants} for variants in (study.image_sets[image_set].variants, *later)):
        names = ", ".join(sorted(wanted))
        raise SeediffError(f"{where} needs {names} of one denoising run.\nList them in one image set or pass.")


def _check_filter(study: Study, where: str, recipe: SyntheticRecipe, name: str) -> None:
    _known("filter", name, study.filters, where)
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
        _known("recipe", start.recipe, study.recipes, where)
        _known("segmenter", start.segmenter, study.segmenters, where)
        if start.recipe in chain:
            raise SeediffError(f"{where} leads back to {start.recipe!r}: a model cannot start from itself.")
        if study.recipe_classes(start.recipe) != study.recipe_classes(name):
            raise SeediffError(f"{where}: {start.recipe!r} has other classes than {name!r}.\nGive both the same.")
        if study.is_robust(start.recipe) != study.is_robust(name):
            raise SeediffError(f"{where}: only one of {start.recipe!r} and {name!r} is robust, with two networks.")
        chain.append(start.recipe)


def _check_row(study: Study, table: Table, row: Row, where: str) -> None:
    if isinstance(row.paper, dict):
        for heading in row.paper:
            _known("column", heading, table.columns, where)
    if row.recipe is None or row.segmenter is None or row.benchmark is None:
        return
    _known("recipe", row.recipe, study.recipes, where)
    _known("segmenter", row.segmenter, study.segmenters, where)
    _known("benchmark", row.benchmark, study.benchmarks, where)
    recipe, segmenter = row.recipe, row.segmenter
    if study.is_robust(recipe) and not study.segmenters[segmenter].trains_robustly:
        raise SeediffError(
            f"{where}: recipe {recipe!r} is robust, but segmenter {segmenter!r} cannot be trained robustly.\n"
            f"Use one with engine 'seediff' and architecture {' or '.join(map(repr, ROBUST_ARCHITECTURES))}."
        )
    while start := study.recipes[recipe].start:
        ours, theirs = study.segmenters[segmenter], study.segmenters[start.segmenter]
        if (ours.backbone, ours.architecture) != (theirs.backbone, theirs.architecture):
            part = "backbone" if ours.backbone != theirs.backbone else "architecture"
            raise SeediffError(
                f"{where}: segmenter {segmenter!r} cannot start from {start.segmenter!r}, which has another {part}."
            )
        recipe, segmenter = start.recipe, start.segmenter
    for heading, column in table.columns.items():
        kind, known = "class", list(study.recipe_classes(row.recipe))
        if column.kind == "harmonic":
            kind, known = "column", [other for other, settings in table.columns.items() if settings.kind != "harmonic"]
        for name in column.of:
            if name not in known:
                problem = f"{where}, column {heading!r}: recipe {row.recipe!r} has no {kind} {name!r}."
                raise SeediffError(f"{problem}\n{nearest(name, known)}")
    _check_label_spaces(study, table, row.recipe, row.benchmark, where)


def _check_label_spaces(study: Study, table: Table, recipe: str, benchmark: str, where: str) -> None:
    """The benchmark must have each of the recipe's classes, or name it in ``lacks``.

    It must have all classes of a mean, and at least one of those that are merged.
    """
    _check_tested(study, benchmark, study.recipe_classes(recipe), where)
    format = FORMATS[study.benchmarks[benchmark].format]
    known = format.class_names
    columns = table.columns or {"mIoU": Column(mean="all")}
    for heading, column in columns.items():
        of = column.of if column.kind != "harmonic" else ()
        of = study.recipe_classes(recipe) if column.mean == "all" else of
        foreign = [name for name in of if known.isdisjoint(format.own_names(name))]
        if foreign and (column.kind != "merged" or len(foreign) == len(of)):
            problem = f"{where}, column {heading!r}: {format.name} has no class {foreign[0]!r}."
            raise SeediffError(f"{problem}\n{nearest(foreign[0], known)}")


def _check_tested(study: Study, benchmark: str, classes: Sequence[str], where: str) -> None:
    """A benchmark must have the classes, or be known or declared to lack them."""
    settings = study.benchmarks[benchmark]
    try:
        FORMATS[settings.format].label_by_name(classes, settings.lacks)
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None


def _check_taught(where: str, format: str, classes: Sequence[str]) -> None:
    """Annotated images must have every class that a recipe learns from them."""
    try:
        check_classes(classes)
        FORMATS[format].label_by_name(classes)
        FORMATS[format].check_learnable(classes)
    except SeediffError as error:
        raise SeediffError(f"{where}: {error}") from None


def _check_benchmark(where: str, benchmark: Benchmark, split: str) -> None:
    """An embedded stand-in is drawn with two splits; the splits of a folder are checked when it is opened."""
    if benchmark.embedded and split not in REQUIRED_SPLITS:
        raise SeediffError(f"{where}: an embedded benchmark has no split {split!r}.\n{nearest(split, REQUIRED_SPLITS)}")


def _known(kind: str, name: str, known: Iterable[str], where: str) -> None:
    if name not in (names := list(known)):
        raise SeediffError(f"{where} names the {kind} {name!r}, which is not defined.\n{nearest(name, names)}")
