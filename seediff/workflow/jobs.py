"""Every job of a study with the files it reads and leaves, as the rules under ``rules/`` declare them.

The workflow knows these through Snakemake; whoever only wants to look at a study's files knows them from here, and a
test keeps the two in step. Paths are text, relative to the repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seediff.adaptation.settings import WEIGHTS
from seediff.names import MASK_QUALITY, slug
from seediff.workflow import plan
from seediff.workflow.plan import Shard
from seediff.workflow.study import RealRecipe, Study, SyntheticRecipe
from seediff.workflow.study.mask_sets import (
    MaskSet,
    all_filtered,
    compared,
    filter_table,
    filtered,
    mask_set,
    mask_sets,
)

TABLE_SUFFIXES = ("csv", "md", "tex", "html", "json")


@dataclass(frozen=True)
class Job:
    """One command of ``stage``; ``name`` tells it from the stage's others (empty where there is one).

    ``inputs`` are files of other jobs. Jobs of one stage and ``kind`` take about equally long for each unit of ``work``
    (images or iterations). ``state``: the training state it can be resumed from.
    """

    stage: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    log: str
    benchmark: str = ""
    state: str = ""
    kind: str = ""
    work: int = 1

    @property
    def title(self) -> str:
        return f"{self.stage} {self.name}".rstrip()


def needed(jobs: Sequence[Job], targets: Iterable[str], there: Callable[[str], bool]) -> list[Job]:
    """The jobs that have to run for the targets to be, in order; ``there`` says which files are.

    A file that is missing, but that nothing which still has to run reads, is not missed.
    """
    wanted, found = {*targets}, []
    for job in reversed(jobs):
        if any(output in wanted and not there(output) for output in job.outputs):
            wanted.update(job.inputs)
            found.append(job)
    return found[::-1]


def targets(study: Study) -> list[str]:
    """What the workflow is asked for: every table, and the report."""
    return [*_tables(study), f"results/{study.name}/report.html"]


def study_jobs(study: Study) -> list[Job]:
    """Every job of the study, after those whose files it reads."""
    makers = (
        _prompts, _domains, _mask_quality, _adapter, _synthesize, _replay, _refine, _filter, _assemble, _train,
        _evaluate, _tabulate, _strips, _figures, _report,
    )  # fmt: skip
    return needed([job for make in makers for job in make(study)], targets(study), lambda path: False)


def _job(
    study: Study,
    stage: str,
    name: str,
    inputs: Iterable[str],
    outputs: Iterable[str],
    *,
    timed: bool = True,
    **more: Any,
) -> Job:
    """``timed``: whether Snakemake measures the job's time."""
    results, below = f"results/{study.name}", f"{stage}/{name}".rstrip("/")
    benchmark = f"{results}/benchmarks/{below}.tsv" if timed else ""
    return Job(stage, name, (*inputs,), (*outputs,), f"{results}/logs/{below}.log", benchmark, **more)


def _prompts(study: Study) -> Iterator[Job]:
    for name in study.prompt_sets:
        yield _job(study, "prompts", name, [], [_prompt_file(study, name)], timed=False)


def _prompt_file(study: Study, prompt_set: str) -> str:
    return f"results/{study.name}/prompts/{prompt_set}.csv"


def _domains(study: Study) -> Iterator[Job]:
    for name in study.benchmarks:
        yield _job(study, "domain", name, [], _domain_files(study, name), timed=False)


def _domain_files(study: Study, benchmark: str) -> list[str]:
    embedded = study.benchmarks[benchmark].embedded
    return [f"{plan.benchmark_folder(study, benchmark)}/domain.json"] if embedded else []


def _adapter(study: Study) -> Iterator[Job]:
    for name, one in study.adaptations.items():
        images = _domain_files(study, one.benchmark) if one.benchmark else []
        weights = plan.adapter_file(study, name)
        outputs = [weights, weights.replace(WEIGHTS, "history.csv")]
        state = f"results/{study.name}/checkpoints/adapters/{name}/state.safetensors"
        yield _job(study, "adapter", name, images, outputs, state=state, kind=name, work=one.iterations)


def _adapter_files(study: Study, image_set: str) -> list[str]:
    """What an image set needs besides its prompts."""
    adapter = plan.adapter_file(study, study.image_sets[image_set].adaptation)
    return [adapter] if adapter else []


def _shard_files(study: Study, folder: str, shards: Iterable[Shard]) -> list[str]:
    return [f"results/{study.name}/{folder}/{shard.name}.tar" for shard in shards]


def _with_manifests(shards: Iterable[str]) -> list[str]:
    return [path for shard in shards for path in (shard, shard.removesuffix(".tar") + ".json")]


def _synthesize(study: Study) -> Iterator[Job]:
    for name, one in study.image_sets.items():
        inputs = [_prompt_file(study, one.prompt_set), *_adapter_files(study, name)]
        for shard in plan.shards(study, name):
            outputs = [file for kind in ("images", "scores") for file in _shard_files(study, f"{kind}/{name}", [shard])]
            files = _with_manifests(outputs)
            yield _job(study, "synthesize", f"{name}/{shard.name}", inputs, files, kind=name, work=shard.count)


def _replay(study: Study) -> Iterator[Job]:
    for name, one in study.passes.items():
        prompts = _prompt_file(study, plan.pass_prompt_set(study, name))
        inputs = [prompts, *_adapter_files(study, one.image_set)]
        for shard in plan.shards(study, one.image_set):
            outputs = _with_manifests(_shard_files(study, f"replays/{name}", [shard]))
            yield _job(study, "replay", f"{name}/{shard.name}", inputs, outputs, kind=name, work=shard.count)


def _refine(study: Study) -> Iterator[Job]:
    for masks in mask_sets(study):
        scores = plan.scores_folder(study, masks.image_set, masks.variant)
        files = _mask_files(study, masks)
        for part, (shards, mask) in enumerate(zip(plan.parts(study, masks.image_set), files, strict=True)):
            images = _shard_files(study, f"images/{masks.image_set}", shards)
            inputs = _with_manifests([*images, *_shard_files(study, scores, shards)])
            name = f"{masks.image_set}/{masks.name}/{part:04d}"
            images_of_part = sum(shard.count for shard in shards)
            kind = f"{masks.image_set}/{masks.refinement}"
            yield _job(study, "refine", name, inputs, _with_manifests([mask]), kind=kind, work=images_of_part)


def _mask_files(study: Study, masks: MaskSet) -> list[str]:
    folder = f"results/{study.name}/masks/{masks.image_set}/{masks.name}"
    return [f"{folder}/{part:04d}.tar" for part in range(len(plan.parts(study, masks.image_set)))]


def _filter(study: Study) -> Iterator[Job]:
    for one in all_filtered(study):
        image_set, variant = one.masks.image_set, one.masks.variant
        shards = plan.shards(study, image_set)
        folders = f"images/{image_set}", plan.scores_folder(study, image_set, variant)
        inputs = [file for folder in folders for file in _shard_files(study, folder, shards)]
        inputs += [file for masks in (one.masks, *compared(study, one)) for file in _mask_files(study, masks)]
        inputs = _with_manifests(inputs)
        images = sum(shard.count for shard in shards)
        yield _job(study, "filter", one.name, inputs, [filter_table(study, one)], kind=one.filter, work=images)


def _mask_quality(study: Study) -> Iterator[Job]:
    if study.mask_quality:
        benchmark = study.mask_quality.benchmark
        yield _job(study, "mask_quality", benchmark, _domain_files(study, benchmark), _mask_quality_file(study))


def _mask_quality_file(study: Study) -> list[str]:
    return [f"results/{study.name}/mask_quality/{study.mask_quality.benchmark}.json"] if study.mask_quality else []


def _pair_files(study: Study, recipe: str) -> list[str]:
    """The images and masks of a recipe."""
    one = study.recipes[recipe]
    if isinstance(one, RealRecipe):
        return _domain_files(study, one.benchmark)
    shards = plan.shards(study, one.image_set)
    images = _shard_files(study, f"images/{one.image_set}", shards)
    return _with_manifests([*images, *_mask_files(study, mask_set(one))])


def _training_set(study: Study, recipe: str) -> str:
    return f"results/{study.name}/training_sets/{recipe}.json"


def _assemble(study: Study) -> Iterator[Job]:
    for name, recipe in study.recipes.items():
        one = filtered(recipe) if isinstance(recipe, SyntheticRecipe) else None
        inputs = [*_pair_files(study, name), *([filter_table(study, one)] if one else [])]
        yield _job(study, "assemble", name, inputs, [_training_set(study, name)], timed=False)


def _model_file(study: Study, model: str, name: str) -> str:
    return f"results/{study.name}/models/{model}/{name}"


def _train(study: Study) -> Iterator[Job]:
    for model in sorted(plan.models(study), key=lambda model: len(_starts(study, model))):
        recipe, segmenter, repeat = model.split("/")
        start = plan.start_model(study, recipe, segmenter, repeat)
        weights = [_model_file(study, start, "model.safetensors")] if start else []
        inputs = [*_pair_files(study, recipe), _training_set(study, recipe), *weights]
        outputs = [_model_file(study, model, name) for name in ("model.safetensors", "config.json", "history.csv")]
        state = f"results/{study.name}/checkpoints/{model}/state.safetensors"
        kind, iterations = _kind(study, recipe, segmenter), study.segmenters[segmenter].iterations
        yield _job(study, "train", model, inputs, outputs, state=state, kind=kind, work=iterations)


def _kind(study: Study, recipe: str, segmenter: str) -> str:
    """A segmenter, or two of them: models of one kind take equally long."""
    return f"{segmenter}/robust" if study.is_robust(recipe) else segmenter


def _starts(study: Study, model: str) -> list[str]:
    """The models that this one goes on from, directly or in turn."""
    start = plan.start_model(study, *model.split("/"))
    return [start, *_starts(study, start)] if start else []


def _evaluate(study: Study) -> Iterator[Job]:
    for run in plan.runs(study):
        model = [_model_file(study, run.model, name) for name in ("model.safetensors", "config.json")]
        inputs = [*_domain_files(study, run.benchmark), *model]
        output = [f"results/{study.name}/{plan.metrics_file(run)}"]
        kind = f"{_kind(study, run.recipe, run.segmenter)}/{run.benchmark}"
        yield _job(study, "evaluate", f"{run.model}/{run.benchmark}", inputs, output, kind=kind)


def _tables(study: Study) -> list[str]:
    return [file for name in plan.table_names(study) for file in _table_files(study, name)]


def _table_files(study: Study, table: str) -> list[str]:
    return [f"results/{study.name}/tables/{table}.{suffix}" for suffix in TABLE_SUFFIXES]


def _tabulate(study: Study) -> Iterator[Job]:
    for name in plan.table_names(study):
        yield _job(study, "tabulate", name, _measurements(study, name), _table_files(study, name), timed=False)


def _measurements(study: Study, table: str) -> list[str]:
    """The files a table is made from."""
    if table == MASK_QUALITY:
        return _mask_quality_file(study)
    runs = (run for row in study.tables[table].rows for run in plan.runs_of(study, row))
    return [f"results/{study.name}/{plan.metrics_file(run)}" for run in runs]


def _strips(study: Study) -> Iterator[Job]:
    adapter = _adapter_files(study, next(iter(study.image_sets)))
    yield _job(study, "strips", "", adapter, _strip_files(study))


def _strip_files(study: Study) -> list[str]:
    return [f"results/{study.name}/strips/{slug(name)}.png" for name in plan.strip_classes(study)]


def _figures(study: Study) -> Iterator[Job]:
    adapter = _adapter_files(study, study.figures.image_set) if study.figures else []
    yield _job(study, "figures", "", adapter, _figure_files(study, ("png", "pdf")))


def _figure_files(study: Study, suffixes: Sequence[str]) -> list[str]:
    names = plan.FIGURES if study.figures else ()
    return [f"results/{study.name}/figures/{name}.{suffix}" for name in names for suffix in suffixes]


def _report(study: Study) -> Iterator[Job]:
    histories = [_model_file(study, model, "history.csv") for model in plan.models(study)]
    pictures = [*_strip_files(study), *_figure_files(study, ["png"])]
    inputs = [*_tables(study), *pictures, *_mask_quality_file(study), *histories]
    yield _job(study, "report", "", inputs, [f"results/{study.name}/report.html"], timed=False)
