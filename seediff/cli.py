"""The ``seediff`` command. Commands are thin: they parse, call one function of the library, and say what they made.

The stages (``prompts`` to ``report``) are what the workflow calls, each with its resolved ``--spec``;
``generate`` and ``domain`` are for people.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seediff import __version__
from seediff.complaints import Parser, failed
from seediff.devices import on_gpu
from seediff.errors import SeediffError
from seediff.files import disk_full, is_disk_full
from seediff.names import nearest, visible
from seediff.options import file as _file
from seediff.options import path as _path
from seediff.options import paths as _paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Bad input is said in a few lines, never with a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal's encoding does not
    parsed = _parser().parse_args(arguments)
    parsed.arguments = arguments
    try:
        _limit_threads()
        return parsed.run(parsed) or 0
    except SeediffError as error:
        return failed(error)
    except BrokenPipeError:  # what we print to has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if is_disk_full(error):
            return failed(disk_full(error.filename or "what is said here"))
        if error.filename is None:
            raise
        return failed(f"{visible(str(error.filename))}: {error.strerror}.\nMend that and run again.")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _limit_threads() -> None:
    """Keep tokenizers and maths libraries to the threads the workflow grants."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="seediff", description=sys.modules["seediff"].__doc__)
    parser.add_argument("--version", action="version", version=f"seediff {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    _add_commands_for_people(commands)
    _add_stages(commands)
    return parser


def _command(
    among: Any, name: str, run: Callable[[argparse.Namespace], int | None], *options: tuple[str, dict[str, Any]]
) -> None:
    one = among.add_parser(name, help=run.__doc__, description=run.__doc__)
    one.set_defaults(run=run)
    for option, settings in options:
        one.add_argument(option, **settings)


def _add_commands_for_people(commands: Any) -> None:
    command, output = partial(_command, commands), _path("--output")
    command(
        "generate",
        generate,
        ("--model", {"required": True, "help": "Stable Diffusion id or folder"}),
        ("--class", {"action": "append", "required": True, "dest": "classes", "help": "class to draw; repeat it"}),
        ("--number", {"type": int, "default": 20, "help": "images a class"}),
        ("--template", {"default": "a photo of a {word}", "help": "prompt, with {word} for the class"}),
        ("--variant", {"default": "seediff"}),
        ("--steps", {"type": int, "default": 50, "help": "denoising steps"}),
        ("--guidance-scale", {"type": float, "default": 7.5}),
        ("--batch-size", {"type": int, "default": 4}),
        ("--dtype", {"choices": ("float32", "bfloat16", "float16"), "default": "float32"}),
        ("--rng-seed", {"type": int, "default": 0}),
        output,
    )
    command(
        "check",
        check,
        ("study", {"help": "a study of config/studies, or a study file"}),
        ("--words", {"action": "store_true", "help": "also say which words stand for the classes in varied prompts"}),
    )
    command(
        "plan",
        plan_study,
        ("--study", {"required": True, "help": "name of a study, or its file"}),
        ("--tflops", {"type": float, "default": 40.0, "help": "sustained speed of one GPU in TFLOP a second"}),
    )
    command(
        "status",
        status,
        ("--study", {"required": True, "help": "name of a study, or its file"}),
        ("--results", {"type": Path, "help": "the folder of its results, results/NAME by default"}),
    )
    data = commands.add_parser("data", help="Benchmarks on this machine.").add_subparsers(
        required=True, metavar="command"
    )
    _command(
        data,
        "list",
        data_list,
        ("--root", {"type": _file, "default": Path("."), "help": "the folder that holds data/"}),
    )
    _command(
        data,
        "check",
        data_check,
        ("name", {"help": "its name in `seediff data list`, such as voc"}),
        ("folder", {"type": _file}),
        ("--split", {"action": "append", "dest": "splits", "help": "all of its splits by default; repeat it"}),
        ("--all", {"action": "store_true", "help": "read every file, not a sample"}),
    )
    command(
        "figure",
        figure,
        ("name", {"help": "figure1, figure3, ..., figureS5"}),
        ("--study", {"required": True, "help": "name of a study, or its file"}),
        ("--point", {"type": float, "nargs": 2, "metavar": ("X", "Y"), "help": "for figure4: the place, 0 to 1"}),
        output,
    )
    command("show", show, ("tables", {"type": _file, "nargs": "+"}))


def _add_stages(commands: Any) -> None:
    """What the workflow calls."""
    command = partial(_command, commands)
    spec = ("--spec", {"required": True, "help": "the stage's settings as JSON"})
    output = _path("--output")
    command("domain", domain, spec, output)
    command("prompts", prompts, spec, output)
    shard = (_path("--prompts"), ("--class", {"required": True, "dest": "class_name"}))
    block = (("--first", {"type": int, "required": True}), ("--count", {"type": int, "required": True}))
    command("synthesize", synthesize, spec, *shard, *block, _path("--images"), _path("--scores"))
    command("replay", replay, spec, *shard, *block, _path("--scores"))
    command("refine", refine, spec, _paths("--images"), _paths("--scores"), output)
    pairs = (_paths("--images"), _paths("--scores"), _paths("--masks"), _paths("--other-masks"))
    command("filter", select, spec, *pairs, output)
    command("assemble", assemble, spec, _paths("--images"), _paths("--masks"), output)
    start = ("--start", {"type": _file, "nargs": "?", "help": "weights to go on from"})
    processes = ("--processes", {"type": int, "default": 1, "help": "that share every batch, a GPU each"})
    command("train", train, spec, _path("--training-set"), start, _path("--checkpoints"), processes, output)
    command("evaluate", evaluate, spec, _path("--model"), output)
    command("mask-quality", mask_quality, spec, output)
    command("tabulate", tabulate, spec, _path("--results"), output)
    command("strips", strips, spec, output)
    command("figures", figures, spec, output)
    command("report", report, spec, _path("--results"), output)


def generate(options: argparse.Namespace) -> None:
    """Draw images of your own classes, with their masks."""
    from seediff.generation import generate as generate_pairs

    folder: Path = options.output
    number = generate_pairs(
        options.model,
        options.classes,
        options.number,
        folder,
        template=options.template,
        variant=options.variant,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance_scale,
        batch_size=options.batch_size,
        dtype=options.dtype,
        rng_seed=options.rng_seed,
    )
    print(f"{number} images with masks in {folder} (images/, masks/, overlays/, classes.csv)")


def check(options: argparse.Namespace) -> None:
    """Check a study file and say what it would run."""
    from seediff.plan import runs, shards
    from seediff.study import find_study, load_study

    study = load_study(find_study(options.study))
    drawn = {name: len(shards(study, name)) for name in study.image_sets}
    print(f"{options.study}: {len(study.tables)} tables, {len(runs(study))} runs, shards {drawn}")
    if options.words:
        from seediff.synonyms.report import study_words

        print(study_words(study))


def plan_study(options: argparse.Namespace) -> None:
    """Say what a study will cost: runs, jobs, GPU hours, disk."""
    from seediff.estimate import plan_text
    from seediff.study import find_study, load_study

    if not 0.001 <= options.tflops < float("inf"):
        raise SeediffError(f"--tflops is {options.tflops:g}, but has to be finite and above 0.")
    print(plan_text(load_study(find_study(options.study)), options.tflops))


def status(options: argparse.Namespace) -> None:
    """Say what of a study is done, running, failed and missing, from its files alone."""
    from seediff.status import status_text
    from seediff.study import find_study, load_study

    study = load_study(find_study(options.study))
    print(status_text(study, options.results or Path("results", study.name)))


def data_list(options: argparse.Namespace) -> None:
    """Say which benchmarks are known, where they are had, and which are here."""
    from seediff.datasets.inventory import list_datasets

    print(list_datasets(options.root))


def data_check(options: argparse.Namespace) -> int:
    """Verify a copy of a benchmark: counts, sizes, label values, checksums."""
    from seediff.datasets.verification import check_dataset

    report = check_dataset(options.name, options.folder, options.splits, None if options.all else 50)
    print(report.text)
    return 0 if report.ok else 1


def domain(options: argparse.Namespace) -> None:
    """Write an embedded stand-in in a benchmark's own format."""
    from seediff.pictograms.domains import write_domain

    write_domain(folder=options.output, **_spec("domain", options))


def prompts(options: argparse.Namespace) -> None:
    """Write a prompt set."""
    from seediff.prompts import make_prompts, write_prompts

    write_prompts(make_prompts(**_spec("prompts", options)), options.output)


@on_gpu
def synthesize(options: argparse.Namespace) -> None:
    """Draw one shard of images and score every variant on the way."""
    from seediff.stages.synthesize import synthesize_shard

    synthesize_shard(**_shard(options), images=options.images, scores=options.scores)


@on_gpu
def replay(options: argparse.Namespace) -> None:
    """Draw a finished shard's images again to score further variants."""
    from seediff.stages.synthesize import replay_shard

    replay_shard(**_shard(options), scores=options.scores)


def _shard(options: argparse.Namespace) -> dict[str, Any]:
    from seediff.prompts import class_prompts, read_prompts

    spec = _spec("synthesize", options)
    prompts = class_prompts(read_prompts(options.prompts), options.class_name, options.first, options.count)
    return {"spec": spec, "prompts": prompts}


def _spec(stage: str, options: argparse.Namespace) -> dict[str, Any]:
    from seediff.specs import read_spec

    return read_spec(stage, options.spec)


def refine(options: argparse.Namespace) -> None:
    """Turn scores into masks."""
    from seediff.stages.refine import refine_part

    refine_part(_spec("refine", options), options.images, options.scores, options.output)


def select(options: argparse.Namespace) -> None:
    """Measure image-mask pairs and say which are good enough to learn from."""
    from seediff.stages.filter import filter_pairs

    files = options.images, options.scores, options.masks, options.other_masks
    filter_pairs(_spec("filter", options), *files, options.output)


def assemble(options: argparse.Namespace) -> None:
    """List the image-mask pairs a recipe trains on."""
    from seediff.stages.assemble import assemble_recipe

    assemble_recipe(_spec("assemble", options), options.images, options.masks, options.output)


@on_gpu
def train(options: argparse.Namespace) -> int | None:
    """Train a segmenter on a training set."""
    if options.processes > 1 and "WORLD_SIZE" not in os.environ:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        return subprocess.run([*launch, str(options.processes), "-m", "seediff.cli", *options.arguments]).returncode
    from seediff.stages.segment import train_model

    train_model(_spec("train", options), options.training_set, options.start, options.checkpoints, options.output)
    return None


@on_gpu
def evaluate(options: argparse.Namespace) -> None:
    """Evaluate a segmenter on a benchmark."""
    from seediff.stages.segment import evaluate_model

    evaluate_model(_spec("evaluate", options), options.model, options.output)


@on_gpu
def mask_quality(options: argparse.Namespace) -> None:
    """Compare every variant with exact masks, no segmenter in between."""
    from seediff.stages.measure import measure_masks

    measure_masks(_spec("mask_quality", options), options.output)


def tabulate(options: argparse.Namespace) -> None:
    """Write one table as csv, md, tex, html and json."""
    from seediff.stages.publish import tabulate_results

    tabulate_results(_spec("tabulate", options), options.results, options.output)


@on_gpu
def strips(options: argparse.Namespace) -> None:
    """Draw one image a class and show every mask step."""
    from seediff.stages.illustrate import publish_strips

    publish_strips(_spec("strips", options), options.output)


@on_gpu
def figures(options: argparse.Namespace) -> None:
    """Draw every qualitative figure of the paper."""
    from seediff.stages.illustrate import publish_figures

    publish_figures(_spec("figures", options), options.output)


def figure(options: argparse.Namespace) -> None:
    """Draw one figure of the paper from a study's own images."""
    from seediff.plan import FIGURES, figures_spec
    from seediff.study import find_study, load_study

    if options.name not in FIGURES:
        raise SeediffError(f"There is no figure {options.name!r}.\n{nearest(options.name, FIGURES)}")
    if options.point and options.name != "figure4":
        raise SeediffError("Only figure4 looks from a point. Leave --point out.")
    study = load_study(find_study(options.study))
    if study.figures is None:
        raise SeediffError(f"{options.study} has no section 'figures', which says what they show.")
    from seediff.stages.illustrate import publish_figure

    publish_figure(figures_spec(study), options.name, options.point, options.output)
    print(f"{options.output / options.name}.png and .pdf")


def report(options: argparse.Namespace) -> None:
    """Write the report: one self-contained page."""
    from seediff.stages.publish import publish_report

    publish_report(_spec("report", options), options.results, options.output)


def show(options: argparse.Namespace) -> None:
    """Print tables in the terminal."""
    from seediff.reporting.tables import print_tables

    print_tables(options.tables)


if __name__ == "__main__":
    sys.exit(main())
