"""What a study makes: its shards, mask sets, models, runs and tables, and the files of each.

Pure functions of a ``Study``; the stages, the costs and the status are built on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Literal, get_args

from seediff.diffusion.model_files import named_model, network_files, pipeline_files
from seediff.names import slug
from seediff.workflow import layout
from seediff.workflow.layout import fill
from seediff.workflow.study import Column, Row, Study, SyntheticRecipe
from seediff.workflow.study.mask_sets import Filtered, MaskSet
from seediff.workflow.study.outputs import ReferenceJudge, Table

Figure = Literal[
    "figure1", "figure3", "figure4", "figure5", "figure6", "figureS1", "figureS2", "figureS3", "figureS4", "figureS5"
]
FIGURES: tuple[Figure, ...] = get_args(Figure)
"""The paper's qualitative figures; ``reporting.galleries`` draws them."""


@dataclass(frozen=True)
class Shard:
    """Images ``first`` to ``first + count - 1`` of one class; ``name`` is its path below the image set."""

    class_name: str
    block: int
    first: int
    count: int

    @property
    def wildcards(self) -> dict[str, str]:
        """The wildcards of its files."""
        return {"class_slug": slug(self.class_name), "block": f"{self.block:04d}"}

    @property
    def name(self) -> str:
        return "/".join(self.wildcards.values())


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

    @property
    def wildcards(self) -> dict[str, str]:
        """The wildcards of its files."""
        return {name: str(value) for name, value in asdict(self).items()}


def shard(study: Study, image_set: str, class_name: str, block: int) -> Shard:
    """One shard of the image set."""
    size, number = study.image_sets[image_set].shard_size, study.prompt_set_of(image_set).number
    return Shard(class_name, block, block * size, min(size, number - block * size))


def shards(study: Study, image_set: str) -> list[Shard]:
    """The image set's shards, class by class."""
    size, number = study.image_sets[image_set].shard_size, study.prompt_set_of(image_set).number
    blocks = range(ceil(number / size))
    return [shard(study, image_set, name, block) for name in study.image_set_classes(image_set) for block in blocks]


def parts(study: Study, image_set: str) -> list[list[Shard]]:
    """Consecutive shards that are refined in one job."""
    every, size = shards(study, image_set), study.image_sets[image_set].shards_per_part
    return [every[start : start + size] for start in range(0, len(every), size)]


def part(study: Study, image_set: str, number: int) -> list[Shard]:
    """``parts(...)[number]``, without making the others; ``IndexError`` if there is no such part."""
    section, classes = study.image_sets[image_set], study.image_set_classes(image_set)
    blocks = ceil(study.prompt_set_of(image_set).number / section.shard_size)
    every = range(len(classes) * blocks)
    start = every[:: section.shards_per_part][number]
    places = every[start : start + section.shards_per_part]
    return [shard(study, image_set, classes[place // blocks], place % blocks) for place in places]


def image_files(study: Study, image_set: str, shards: Iterable[Shard]) -> list[str]:
    return _shard_files(fill(layout.IMAGES, study=study.name, image_set=image_set), shards)


def score_files(study: Study, image_set: str, variant: str, shards: Iterable[Shard]) -> list[str]:
    """Where the variant's scores are: with the images, or in the first later pass that feeds it."""
    wanted = {study.variant_for(variant, name) for name in study.image_set_classes(image_set)}
    if wanted <= {*study.image_sets[image_set].variants}:
        return _shard_files(fill(layout.SCORES, study=study.name, image_set=image_set), shards)
    later = next(name for name in study.passes_of(image_set) if wanted <= {*study.passes[name].variants})
    return _shard_files(fill(layout.REPLAYED_SCORES, study=study.name, pass_name=later), shards)


def _shard_files(template: str, shards: Iterable[Shard]) -> list[str]:
    return [fill(template, **shard.wildcards) for shard in shards]


def mask_files(study: Study, masks: MaskSet) -> list[str]:
    template = fill(layout.MASKS, study=study.name, **masks.wildcards)
    return [fill(template, part=f"{part:04d}") for part in range(len(parts(study, masks.image_set)))]


def filter_table(study: Study, filtered: Filtered) -> str:
    """The table of the pairs that are kept."""
    return fill(layout.FILTER, study=study.name, filter=filtered.filter, **filtered.masks.wildcards)


def variants_by_class(study: Study, image_set: str, variant: str) -> dict[str, str]:
    return {name: study.variant_for(variant, name) for name in study.image_set_classes(image_set)}


def variant_names(study: Study) -> list[str]:
    """Every variant from which masks can be made."""
    fed = (name for image_set in study.image_sets for name in study.fed_variants(image_set))
    return list(dict.fromkeys([*fed, *study.variants_by_class]))


def adapter_files(study: Study, image_set: str) -> list[str]:
    """The weights of an image set's adapter; empty if it has none."""
    adaptation = study.image_sets[image_set].adaptation
    return [fill(layout.ADAPTER_WEIGHTS, study=study.name, adaptation=adaptation)] if adaptation else []


def benchmark_folder(study: Study, benchmark: str) -> str:
    folder = study.benchmarks[benchmark].folder
    return folder or fill(layout.BENCHMARK, study=study.name, benchmark=benchmark)


def domain_files(study: Study, benchmark: str) -> list[str]:
    """The list of files of a stand-in; empty for a real benchmark."""
    drawn = fill(layout.DOMAIN, study=study.name, benchmark=benchmark)
    return [drawn] if study.benchmarks[benchmark].embedded else []


def diffusion_files(study: Study) -> list[str]:
    """Every file of a local diffusion model; none for a model of the hub, whose commit is in the spec."""
    return model_files(study.diffusion.model)


def model_files(model: str) -> list[str]:
    """Every file of a local diffusion model; an empty list for a hub's."""
    return [*map(str, pipeline_files(Path(named_model(model))))]


def network_inputs(model: str) -> list[str]:
    """Every file of a local network; none for a network of the hub."""
    return [*map(str, network_files(Path(model)))]


def lacking(study: Study, benchmark: str, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that are tested on a benchmark although it lacks them."""
    return tuple(name for name in classes if name in study.benchmarks[benchmark].lacks)


def judges(study: Study) -> list[str]:
    """The judges that some table shows."""
    return [name for name in study.judges if study.judged_rows(name)]


def judged_pictures(study: Study) -> dict[str, str]:
    """Where the picture of each judge's masks is."""
    return {name: fill(layout.JUDGED_PICTURE, study=study.name, judge=name) for name in judges(study)}


def pictured_tables(study: Study) -> list[str]:
    """The tables that show what their segmenters predict."""
    return [name for name, table in study.segmenter_tables.items() if table.predictions and pictured_runs(study, name)]


def pictured_runs(study: Study, table: str) -> dict[str, Run]:
    """The first run of each row by the row's label; of the rows with the classes and the benchmark of the first."""
    section, found = study.segmenter_tables[table], dict[str, Run]()
    for row in section.rows:
        for run in runs_of(study, section, row)[:1]:
            first = next(iter(found.values()), run)
            same = study.recipe_classes(run.recipe) == study.recipe_classes(first.recipe)
            if same and run.benchmark == first.benchmark:
                found[row.label] = run
    return found


def prediction_pictures(study: Study) -> dict[str, str]:
    """Where the picture of each such table is."""
    return {name: fill(layout.PREDICTIONS, study=study.name, table=name) for name in pictured_tables(study)}


def runs(study: Study) -> list[Run]:
    """Every run that a table row or a judge asks for, each once."""
    tables = study.segmenter_tables.values()
    wanted = [run for table in tables for row in table.rows for run in runs_of(study, table, row)]
    return list(dict.fromkeys([*wanted, *(run_of_reference(judge) for judge in study.references.values())]))


def run_of_reference(judge: ReferenceJudge) -> Run:
    """The training and test of a segmenter that judges."""
    return Run(judge.recipe, judge.segmenter, 0, judge.benchmark)


def repeats_of(study: Study, table: Table) -> int:
    """How often each row of a table is trained."""
    return table.repeats or study.repeats


def runs_of(study: Study, table: Table, row: Row) -> list[Run]:
    """The runs of a table's row; none for a row that is only quoted."""
    if row.recipe is None or row.segmenter is None or row.benchmark is None:
        return []
    return [Run(row.recipe, row.segmenter, repeat, row.benchmark) for repeat in range(repeats_of(study, table))]


def models(study: Study) -> list[str]:
    """Every model to train, once, as ``recipe/segmenter/repeat``: the models of the runs, and those they start from."""
    wanted = {run.model: None for run in runs(study)}
    for model in [*wanted]:
        wanted.update(dict.fromkeys(starts(study, model)))
    return list(wanted)


def draw_of(study: Study, recipe: str, repeat: int) -> int | None:
    """The draw of images that a repeat learns from; None if there is only one."""
    section = study.recipes[recipe]
    draws = study.prompt_set_of(section.image_set).draws if isinstance(section, SyntheticRecipe) else 1
    return repeat % draws if draws > 1 else None


def start_model(study: Study, recipe: str, segmenter: str, repeat: str) -> str:
    """The model whose weights a training starts from; empty if it starts from those of its backbone."""
    start = study.recipes[recipe].start
    return f"{start.recipe}/{start.segmenter}/{repeat}" if start else ""


def starts(study: Study, model: str) -> list[str]:
    """The models that the training of a model starts from, directly or indirectly."""
    start = start_model(study, *model.split("/"))
    return [start, *starts(study, start)] if start else []


def model_file(study: Study, template: str, model: str) -> str:
    recipe, segmenter, repeat = model.split("/")
    return fill(template, study=study.name, recipe=recipe, segmenter=segmenter, repeat=repeat)


def network(study: Study, recipe: str, segmenter: str) -> str:
    """The kind of network: a segmenter, or two of them. Models of one kind take equally long."""
    return f"{segmenter}/robust" if study.is_robust(recipe) else segmenter


def learns_from_drawn_images(study: Study, recipe: str) -> bool:
    """Whether the recipe has drawn images, or the training it starts from had them."""
    section = study.recipes[recipe]
    return isinstance(section, SyntheticRecipe) or (
        section.start is not None and learns_from_drawn_images(study, section.start.recipe)
    )


def table_columns(study: Study, table: str) -> dict[str, Column]:
    """The table's own columns, or the mean IoU in its readings: over the foreground, all, and the listed classes.

    The first is the one that the paper's single numbers stand beside, and most likely are (docs/papers.md).
    """
    if columns := study.segmenter_tables[table].columns:
        return columns
    readings = {"foreground mIoU": Column(mean="foreground"), "mIoU": Column(mean="all")}
    if listed := study.listed_classes:
        readings[f"mIoU of {len(listed)} listed classes"] = Column(mean=listed)
    return readings


def paper_numbers(row: Row, first_column: str) -> dict[str, float]:
    """What the paper reports in a row, by column."""
    if row.paper is None:
        return {}
    return row.paper if isinstance(row.paper, dict) else {first_column: row.paper}
