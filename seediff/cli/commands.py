"""The commands for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from seediff.cli.data_sets import export, gallery
from seediff.cli.demo import demo
from seediff.cli.generation import begin, draw, finish, generate
from seediff.cli.options import Output, file
from seediff.cli.photographs import segment
from seediff.cli.segmenters import evaluate, onnx, predict, train
from seediff.cli.terminal import say, show_tables, status_text
from seediff.errors import SeediffError
from seediff.names import nearest

Model = Annotated[
    str, typer.Option(help="id or folder of a text-to-image model, or pictograms: the model of seediff's wheel")
]
StudyName = Annotated[str, typer.Option(help="name of a study, or its file")]
RngSeed = Annotated[int, typer.Option(help="every random number is derived from it")]


def add_to(app: typer.Typer) -> None:
    """Add every command for people to the program."""
    own: list[Callable[..., None]] = [
        generate, segment, export, gallery, train, predict, evaluate, onnx, demo, adapter,
    ]  # fmt: skip
    of_studies: list[Callable[..., None]] = [check, plan, status, compare, figures, show]
    for command in [*own, *of_studies]:
        app.command()(command)
    data = typer.Typer(help="Benchmarks on this machine.")
    data.command("list")(data_list)
    data.command("check")(data_check)
    app.add_typer(data, name="data")
    in_parts = typer.Typer(help="A data set in parts: begin, draw each part, finish.")
    for command in (begin, draw, finish):
        in_parts.command()(command)
    app.add_typer(in_parts, name="dataset")


def adapter(
    model: Model,
    images: Annotated[Path, typer.Option(parser=file, help="folder of target images (PNG, JPEG, WebP, ...)")],
    prompts: Annotated[list[str], typer.Option("--prompt", metavar="TEXT", help="of the images; can be repeated")],
    output: Output,
    rank: int = 4,
    iterations: int = 1000,
    batch_size: int = 4,
    learning_rate: float = 1e-4,
    target_modules: Annotated[
        list[str],
        typer.Option(
            "--target-module",
            metavar="TEXT",
            help="layers such as to_q; can be repeated; all attention layers if left out",
        ),
    ] = [],  # noqa: B006 - typer copies it
    rng_seed: RngSeed = 0,
) -> None:
    """Train a LoRA adapter on your own images.

    It adapts the model to their domain.
    """
    from seediff.adaptation.settings import ATTENTION, WEIGHTS, AdapterSettings

    settings = AdapterSettings(
        prompts=tuple(prompts),
        rank=rank,
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        target_modules=tuple(target_modules or ATTENTION),
    )
    if (output / WEIGHTS).exists():
        raise SeediffError(f"{output} already holds an adapter.\nChoose another folder, or delete this one.")
    from seediff.datasets.unlabelled import folder_images

    found = folder_images(images)
    from seediff.adaptation.train import train_adapter
    from seediff.versions import VERSIONS

    train_adapter(model, found, settings, output, output, rng_seed, VERSIONS["adapter"])
    say(f"{output / WEIGHTS}: give {output} to `seediff generate --adapter`")


def check(
    study: Annotated[str, typer.Argument(help="a study of config/studies, or a study file")],
    words: Annotated[
        bool, typer.Option("--words", help="also print the words that stand for the classes in varied prompts")
    ] = False,
) -> None:
    """Check a study and the files that it names.

    Prints what the study would run.
    """
    from seediff.workflow.plan import runs, shards
    from seediff.workflow.sources import check_data, real_data
    from seediff.workflow.study import check_paths, find_study, load_study

    loaded = load_study(find_study(study))
    check_paths(loaded)
    check_data(real_data(loaded))
    drawn = ", ".join(f"{len(shards(loaded, name))} shards of {name}" for name in loaded.image_sets)
    say(f"{study}: {len(loaded.tables)} tables, {len(runs(loaded))} runs, {drawn}")
    if words:
        from seediff.workflow.study.words import study_words

        say(study_words(loaded))


def plan(
    study: StudyName,
    table: Annotated[str | None, typer.Option(help="bill the jobs of this table alone")] = None,
    cores: Annotated[int, typer.Option(min=1, help="cores that an embedded study runs on")] = 2,
    tflops: Annotated[float, typer.Option(help="sustained speed of a GPU in TFLOP a second")] = 40.0,
) -> None:
    """Print what a study makes and costs.

    Runs, jobs, and hours: of cores for an embedded study, else of GPUs, with their memory, and disk.
    """
    from seediff.cli.bill import plan_text
    from seediff.workflow.study import find_study, load_study

    if not 0.001 <= tflops < float("inf"):
        raise SeediffError(f"--tflops is {tflops:g}, but must be finite and above 0.")
    say(plan_text(load_study(find_study(study)), table, cores, tflops))


def status(
    study: StudyName,
    results: Annotated[
        Path | None, typer.Option(parser=file, help="the folder of its results, results/NAME by default")
    ] = None,
) -> None:
    """Print a study's progress.

    Which of its jobs are done, running, failed and missing, from its files alone, and the time left.
    """
    from seediff.workflow.layout import results_folder
    from seediff.workflow.study import find_study, load_study

    loaded = load_study(find_study(study))
    say(status_text(loaded, results or results_folder(loaded.name)))


def compare(
    before: Annotated[str, typer.Argument(help="a study that was run, or a folder of results")],
    after: Annotated[str, typer.Argument(help="another, such as those of the same study after a change")],
) -> None:
    """Compare the tables of two runs.

    Prints which numbers moved beyond noise. The exit code is 1 if some did, and 0 if none did.
    """
    from seediff.workflow.reporting.two_runs import compare, comparison_text, find_results

    found = compare(find_results(before), find_results(after))
    say(comparison_text(found, before, after))
    if found.moved:
        raise typer.Exit(1)


def data_list(root: Annotated[Path, typer.Option(parser=file, help="the folder that holds data/")] = Path(".")) -> None:
    """List the benchmarks.

    What they are, where to get them, and which are here.
    """
    from seediff.datasets.registry import list_datasets

    say(list_datasets(root))


def data_check(
    name: Annotated[str, typer.Argument(help="its name in `seediff data list`, such as voc")],
    folder: Annotated[Path, typer.Argument(parser=file)],
    splits: Annotated[list[str], typer.Option("--split", help="split to check; can be repeated; all if left out")] = [],  # noqa: B006
    every: Annotated[bool, typer.Option("--all", help="read every file, not a sample")] = False,
) -> None:
    """Verify a copy of a benchmark.

    Counts, sizes, label values and checksums.
    """
    from seediff.datasets.verification import check_dataset

    report = check_dataset(name, folder, splits or None, None if every else 50)
    say(report.text)
    if not report.ok:
        raise typer.Exit(1)


def figures(
    names: Annotated[list[str], typer.Argument(help="figure1, figure3, ..., figureS5")],
    study: StudyName,
    output: Output,
    point: Annotated[
        tuple[float, float] | None, typer.Option(metavar="X Y", help="for figure4: the place that looks, 0 to 1")
    ] = None,
) -> None:
    """Draw figures of the paper from a study's own images."""
    from seediff.workflow.layout import results_folder
    from seediff.workflow.plan import FIGURES
    from seediff.workflow.sources import pinned, read_sources
    from seediff.workflow.study import find_study, load_study

    for name in names:
        if name not in FIGURES:
            raise SeediffError(f"There is no figure {name!r}.\n{nearest(name, FIGURES)}")
    if point and names != ["figure4"]:
        raise SeediffError("Only figure4 takes a point. Leave out --point.")
    loaded = load_study(find_study(study))
    loaded = pinned(loaded, read_sources(results_folder(loaded.name)))
    if loaded.figures is None:
        raise SeediffError(f"{study} has no section 'figures', which says what they show.")
    if output.suffix in (".png", ".pdf"):
        raise SeediffError(f"{output} must be a folder: each figure is a .png and a .pdf in it. Name a folder.")
    from seediff.workflow.stages.figures import draw_figure, spec

    for name in names:
        draw_figure(spec(loaded), name, point, output)
        say(f"{output / name}.png and .pdf")


def show(tables: Annotated[list[Path], typer.Argument(parser=file)]) -> None:
    """Print tables in the terminal."""
    show_tables(tables)
