"""From tables to runs to shards: what a study's jobs are, and exactly what each of them reads.

Pure functions of a ``Study``. A ``*_spec`` is the resolved, JSON-able content of one stage: the workflow passes
it to the command line and reruns the stage when it changes, so it holds what the stage depends on, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from typing import Any

from seediff.adaptation.settings import WEIGHTS, AdapterSettings
from seediff.names import MASK_QUALITY, slug
from seediff.prompts.synonyms.vocabulary import shipped_words
from seediff.workflow.study import Column, RealRecipe, Row, Study, SyntheticRecipe
from seediff.workflow.study.mask_sets import filter_table, filtered

Spec = dict[str, Any]

FIGURES = (
    "figure1", "figure3", "figure4", "figure5", "figure6", "figureS1", "figureS2", "figureS3", "figureS4", "figureS5",
)  # fmt: skip
"""The paper's qualitative figures; ``reporting.galleries`` draws them."""


@dataclass(frozen=True)
class Shard:
    """Images ``first`` to ``first + count - 1`` of one class; ``name`` is its path below the image set."""

    class_name: str
    block: int
    first: int
    count: int

    @property
    def name(self) -> str:
        return f"{slug(self.class_name)}/{self.block:04d}"


@dataclass(frozen=True)
class Run:
    """One trained and evaluated segmenter."""

    recipe: str
    segmenter: str
    repeat: int
    benchmark: str

    @property
    def model(self) -> str:
        return f"{self.recipe}/{self.segmenter}/{self.repeat}"


def shard(study: Study, image_set: str, class_name: str, block: int) -> Shard:
    """One shard of the image set."""
    size, per_class = study.image_sets[image_set].shard_size, study.prompt_set_of(image_set).per_class
    return Shard(class_name, block, block * size, min(size, per_class - block * size))


def shards(study: Study, image_set: str) -> list[Shard]:
    """The image set's shards, class by class."""
    size, per_class = study.image_sets[image_set].shard_size, study.prompt_set_of(image_set).per_class
    blocks = range(ceil(per_class / size))
    return [shard(study, image_set, name, block) for name in study.image_set_classes(image_set) for block in blocks]


def parts(study: Study, image_set: str) -> list[list[Shard]]:
    """Consecutive shards that are refined in one job."""
    every, size = shards(study, image_set), study.image_sets[image_set].shards_per_part
    return [every[start : start + size] for start in range(0, len(every), size)]


def variant_names(study: Study) -> list[str]:
    """Every variant that masks can be made of."""
    fed = (name for image_set in study.image_sets for name in study.fed_variants(image_set))
    return list(dict.fromkeys([*fed, *study.variants_by_class]))


def scores_folder(study: Study, image_set: str, variant: str) -> str:
    """Where the variant's scores are: with the images, or in the first later pass that feeds it."""
    wanted = {study.variant_for(variant, name) for name in study.image_set_classes(image_set)}
    if wanted <= {*study.image_sets[image_set].variants}:
        return f"scores/{image_set}"
    return "replays/" + next(name for name in study.passes_of(image_set) if wanted <= {*study.passes[name].variants})


def benchmark_folder(study: Study, benchmark: str) -> str:
    return study.benchmarks[benchmark].folder or f"data/{study.name}/{benchmark}"


def table_names(study: Study) -> list[str]:
    return [*study.tables, *([MASK_QUALITY] if study.mask_quality else [])]


def runs(study: Study) -> list[Run]:
    """Every run that some table row asks for, each once."""
    wanted = [run for table in study.tables.values() for row in table.rows for run in runs_of(study, row)]
    return list(dict.fromkeys(wanted))


def models(study: Study) -> list[str]:
    """Every model to train, once, as ``recipe/segmenter/repeat``: those of the runs, and those that they start from."""
    wanted = {run.model: None for run in runs(study)}
    for model in [*wanted]:
        while model := start_model(study, *model.split("/")):
            wanted[model] = None
    return list(wanted)


def start_model(study: Study, recipe: str, segmenter: str, repeat: str) -> str:
    """The model whose weights this one starts from; nothing for one that starts from its backbone's."""
    start = study.recipes[recipe].start
    return f"{start.recipe}/{start.segmenter}/{repeat}" if start else ""


def metrics_file(run: Run) -> str:
    return f"metrics/{run.model}/{run.benchmark}.json"


def runs_of(study: Study, row: Row) -> list[Run]:
    if row.recipe is None or row.segmenter is None or row.benchmark is None:
        return []
    return [Run(row.recipe, row.segmenter, repeat, row.benchmark) for repeat in range(study.repeats)]


def prompts_spec(study: Study, prompt_set: str) -> Spec:
    one = study.prompt_sets[prompt_set]
    classes = list(one.classes or study.classes)
    spec = {"prompt_set": prompt_set, "rng_seed": study.rng_seed, **one.model_dump(mode="json"), "classes": classes}
    if one.augmentation:  # the words that come with the program are part of what the prompts depend on
        spec["augmentation"]["shipped"] = shipped_words(one.augmentation.source, classes, one.augmentation.words)
    return spec


def synthesize_spec(study: Study, image_set: str) -> Spec:
    """What a denoising run depends on: the model, its sampling, and the steps of every variant it feeds."""
    return _denoising_spec(study, image_set, study.image_sets[image_set].variants)


def replay_spec(study: Study, pass_name: str) -> Spec:
    one = study.passes[pass_name]
    return _denoising_spec(study, one.image_set, one.variants)


def _denoising_spec(study: Study, image_set: str, variants: Sequence[str]) -> Spec:
    return {**_model(study, image_set), "variants": _steps(study, variants)}


def _model(study: Study, image_set: str) -> Spec:
    """The model that draws an image set, and its adapter if it has one."""
    adapter = adapter_file(study, study.image_sets[image_set].adaptation)
    return {"diffusion": study.diffusion.model_dump(), **({"adapter": adapter} if adapter else {})}


def adapter_file(study: Study, adaptation: str | None) -> str:
    """Where the adapter of an adaptation is; nothing where there is no adaptation."""
    return f"results/{study.name}/adapters/{adaptation}/{WEIGHTS}" if adaptation else ""


def adapter_spec(study: Study, adaptation: str) -> Spec:
    """What training an adapter depends on: the model, the target images, and its settings."""
    one = study.adaptations[adaptation]
    images = {"folder": one.folder, "format": None, "split": None}
    if one.benchmark:
        format = study.benchmarks[one.benchmark].format
        images = {"folder": benchmark_folder(study, one.benchmark), "format": format, "split": one.split}
    settings = {field.name: getattr(one, field.name) for field in fields(AdapterSettings)}
    return {"model": study.diffusion.reference, "images": images, "settings": settings, "rng_seed": study.rng_seed}


def _steps(study: Study, variants: Sequence[str]) -> Spec:
    return {variant: [list(step) for step in study.steps(variant)] for variant in variants}


def pass_prompt_set(study: Study, pass_name: str) -> str:
    return study.image_sets[study.passes[pass_name].image_set].prompt_set


def refine_spec(study: Study, image_set: str, variant: str, refinement: str, rated: str = "") -> Spec:
    """``rated``: what the names of masks with a reliability beside them end in."""
    return {
        "classes": list(study.image_set_classes(image_set)),
        "variants": _variants_by_class(study, image_set, variant),
        "refinement": asdict(study.refinement(refinement)),
        **({"reliability": True} if rated else {}),
    }


def _variants_by_class(study: Study, image_set: str, variant: str) -> dict[str, str]:
    return {name: study.variant_for(variant, name) for name in study.image_set_classes(image_set)}


def filter_spec(study: Study, image_set: str, variant: str, filter: str) -> Spec:
    """What is asked of the pairs, and whose scores belong to them; the variant is not compared with itself."""
    asked = replace(study.filters[filter], agreement_with=study.compared_variants(variant, filter))
    return {"variants": _variants_by_class(study, image_set, variant), "filter": asdict(asked)}


def assemble_spec(study: Study, recipe: str) -> Spec:
    one = study.recipes[recipe]
    if isinstance(one, RealRecipe):
        benchmark = study.benchmarks[one.benchmark]
        source = {"format": benchmark.format, "folder": benchmark_folder(study, one.benchmark), "split": one.split}
        classes = list(study.recipe_classes(recipe))
        return {"recipe": recipe, "kind": "real", "number": one.number, "classes": classes, **source}
    kept = filtered(one)
    table = {"filter": filter_table(study, kept)} if kept else {}
    return {"recipe": recipe, "kind": "synthetic", "per_class": one.per_class, **table}


def train_spec(study: Study, recipe: str, segmenter: str, repeat: str) -> Spec:
    one = study.recipes[recipe]
    augmentation, robust = one.augmentation, one.robust if isinstance(one, SyntheticRecipe) else None
    return {
        "classes": list(study.recipe_classes(recipe)),
        "segmenter": asdict(study.segmenters[segmenter]),
        "augmentation": asdict(study.augmentations[augmentation]) if augmentation else None,
        "rng_seed": study.rng_seed,
        "repeat": int(repeat),
        **({"robust": asdict(robust)} if robust else {}),
    }


def domain_spec(study: Study, benchmark: str) -> Spec:
    """What drawing an embedded benchmark depends on."""
    one = study.benchmarks[benchmark]
    assert one.embedded is not None
    return {"format": one.format, "rng_seed": study.rng_seed, **one.embedded.model_dump()}


def evaluate_spec(study: Study, recipe: str, segmenter: str, repeat: str, benchmark: str) -> Spec:
    return {
        "recipe": recipe,
        "segmenter": segmenter,
        "repeat": int(repeat),
        "benchmark": benchmark,
        "model": study.diffusion.reference if learns_from_drawn_images(study, recipe) else None,
        "format": study.benchmarks[benchmark].format,
        "folder": benchmark_folder(study, benchmark),
        "split": study.benchmarks[benchmark].split,
        **_classes(study, benchmark, study.recipe_classes(recipe)),
    }


def _classes(study: Study, benchmark: str, classes: Sequence[str]) -> Spec:
    """The classes that are looked for in a benchmark, and those that it is said to lack, if there are any."""
    lacks = [name for name in classes if name in study.benchmarks[benchmark].lacks]
    return {"classes": list(classes), **({"lacks": lacks} if lacks else {})}


def learns_from_drawn_images(study: Study, recipe: str) -> bool:
    """Itself, or in the model that its training starts from."""
    one = study.recipes[recipe]
    return isinstance(one, SyntheticRecipe) or (
        one.start is not None and learns_from_drawn_images(study, one.start.recipe)
    )


def mask_quality_spec(study: Study) -> Spec:
    one = study.mask_quality
    assert one is not None
    benchmark = study.benchmarks[one.benchmark]
    words = study.prompt_set_of(next(iter(study.image_sets))).words  # those that the images are drawn with
    return {
        "benchmark": one.benchmark,
        "format": benchmark.format,
        "folder": benchmark_folder(study, one.benchmark),
        "split": benchmark.split,
        "images": one.images,
        "timesteps": list(one.timesteps),
        **_classes(study, one.benchmark, study.classes),
        **({"words": words} if words else {}),
        "rng_seed": study.rng_seed,
        "model": study.diffusion.reference,
        "variants": _steps(study, one.variants),
        "refinements": {name: asdict(study.refinement(name)) for name in one.refinements},
    }


def table_spec(study: Study, table: str) -> Spec:
    shared = {"name": table, "study": study.name}
    if table == MASK_QUALITY:
        assert study.mask_quality is not None
        return {**shared, **study.mask_quality.model_dump(include={"benchmark", "title", "caption"})}
    one, columns = study.tables[table], table_columns(study, table)
    reported_on = one.reported_on or study.reported_on
    world = {"embedded": study.embedded, "reported_on": reported_on, "repeats": study.repeats}
    headings = [{"heading": name, "kind": column.kind, "of": list(column.of)} for name, column in columns.items()]
    rows = [{**row.model_dump(), "paper": _paper_numbers(row, next(iter(columns)))} for row in one.rows]
    return {**shared, **world, "title": one.title, "caption": one.caption, "columns": headings, "rows": rows}


def table_columns(study: Study, table: str) -> dict[str, Column]:
    """The table's own columns, or the mean IoU in both readings: over all classes, and over the listed ones."""
    if columns := study.tables[table].columns:
        return columns
    both = {"mIoU": Column(mean="all")}
    if listed := study.listed_classes:
        both[f"mIoU of {len(listed)} listed classes"] = Column(mean=listed)
    return both


def _paper_numbers(row: Row, first_column: str) -> dict[str, float]:
    if row.paper is None:
        return {}
    return row.paper if isinstance(row.paper, dict) else {first_column: row.paper}


def strip_classes(study: Study) -> list[str]:
    """Those of which the report has a strip."""
    return list(strips_spec(study)["prompts"]["classes"])


def strips_spec(study: Study) -> Spec:
    """The report's strips show every step of SeeDiff on one image a class."""
    image_set = next(iter(study.image_sets))
    return {
        "prompts": prompts_spec(study, study.image_sets[image_set].prompt_set) | {"per_class": 1},
        **_denoising_spec(study, image_set, ["seediff"]),
        "refinement": asdict(study.refinement(next(iter(study.refinements)))),
    }


def figures_spec(study: Study) -> Spec:
    """The images of the paper's figures: those of the run itself, and the open prompts'."""
    one = study.figures
    assert one is not None
    prompts = prompts_spec(study, study.image_sets[one.image_set].prompt_set)
    return {
        **_model(study, one.image_set),
        "prompts": prompts | {"classes": list(one.classes), "per_class": one.candidates},
        "open": [prompt.model_dump() for prompt in one.open],
        "rng_seed": study.rng_seed,
        "alpha": study.thresholds.alpha,
        "refinement": asdict(study.refinement(next(iter(study.refinements)))),
    }


def report_spec(study: Study) -> Spec:
    """The report shows the whole study, so it depends on the whole study."""
    figures = list(FIGURES) if study.figures else []
    shown = {"tables": table_names(study), "strips": strip_classes(study), "figures": figures}
    return {"study": study.model_dump(mode="json"), **shown}
