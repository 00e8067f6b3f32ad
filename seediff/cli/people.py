"""The commands for people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from seediff.cli.options import Option, add_command, file, folder
from seediff.cli.output import say
from seediff.errors import SeediffError
from seediff.names import nearest

MODEL: Option = ("--model", {"required": True, "help": "Stable Diffusion id or folder"})
STUDY: Option = ("--study", {"required": True, "help": "name of a study, or its file"})
OUTPUT: Option = ("--output", {"type": folder, "required": True, "help": "folder to write to"})
RNG_SEED: Option = ("--rng-seed", {"type": int, "default": 0, "help": "every random number follows from it (0)"})


def add_commands_for_people(commands: Any) -> None:
    _add_drawing(commands)
    _add_studies(commands)
    _add_data(commands.add_parser("data", help="Benchmarks on this machine."))
    _add_pictures_and_tables(commands)


def _add_drawing(commands: Any) -> None:
    add_command(
        commands,
        "generate",
        generate,
        MODEL,
        ("--class", {"action": "append", "required": True, "dest": "classes", "help": "class to draw; repeat it"}),
        ("--number", {"type": int, "default": 20, "help": "images of each class (20)"}),
        ("--template", {"default": "a photo of a {word}", "help": "prompt, with {word} for the class"}),
        (
            "--variant",
            {"default": "seediff", "help": "how masks are made (seediff); docs/studies.md lists all variants"},
        ),
        ("--steps", {"type": int, "default": 50, "help": "denoising steps (50)"}),
        ("--guidance-scale", {"type": float, "default": 7.5, "help": "of classifier-free guidance (7.5)"}),
        ("--batch-size", {"type": int, "default": 4, "help": "images drawn at a time (4)"}),
        ("--adapter", {"type": file, "help": "a LoRA file, or its folder, to adapt the model by"}),
        (
            "--dtype",
            {"choices": ("float32", "bfloat16", "float16"), "default": "float32", "help": "of the weights (float32)"},
        ),
        RNG_SEED,
        OUTPUT,
    )
    add_command(
        commands,
        "adapt",
        adapt,
        MODEL,
        (
            "--images",
            {"type": file, "required": True, "help": "folder of target images (PNG, JPEG, WebP, ...)"},
        ),
        ("--prompt", {"action": "append", "required": True, "dest": "prompts", "help": "of the images; repeat it"}),
        ("--rank", {"type": int, "default": 4}),
        ("--iterations", {"type": int, "default": 1000}),
        ("--batch-size", {"type": int, "default": 4}),
        ("--learning-rate", {"type": float, "default": 1e-4}),
        ("--target-module", {"action": "append", "dest": "target_modules", "help": "to_q and its kind; repeat it"}),
        RNG_SEED,
        OUTPUT,
    )


def _add_studies(commands: Any) -> None:
    words = {"action": "store_true", "help": "also say which words stand for the classes in varied prompts"}
    study = ("study", {"help": "a study of config/studies, or a study file"})
    add_command(commands, "check", check, study, ("--words", words))
    speed = {"type": float, "default": 40.0, "help": "sustained speed of one GPU in TFLOP a second"}
    add_command(commands, "plan", plan_study, STUDY, ("--tflops", speed))
    results = {"type": file, "help": "the folder of its results, results/NAME by default"}
    add_command(commands, "status", status, STUDY, ("--results", results))


def _add_data(data: argparse.ArgumentParser) -> None:
    commands = data.add_subparsers(required=True, metavar="command")
    root = {"type": file, "default": Path("."), "help": "the folder that holds data/"}
    add_command(commands, "list", data_list, ("--root", root))
    add_command(
        commands,
        "check",
        data_check,
        ("name", {"help": "its name in `seediff data list`, such as voc"}),
        ("folder", {"type": file}),
        ("--split", {"action": "append", "dest": "splits", "help": "all of its splits by default; repeat it"}),
        ("--all", {"action": "store_true", "help": "read every file, not a sample"}),
    )


def _add_pictures_and_tables(commands: Any) -> None:
    add_command(
        commands,
        "figure",
        figure,
        ("name", {"help": "figure1, figure3, ..., figureS5"}),
        STUDY,
        ("--point", {"type": float, "nargs": 2, "metavar": ("X", "Y"), "help": "for figure4: the place, 0 to 1"}),
        OUTPUT,
    )
    add_command(commands, "show", show, ("tables", {"type": file, "nargs": "+"}))


def generate(options: argparse.Namespace) -> None:
    """Draw images of your own classes, with their masks."""
    from seediff.datasets.flaws import counted
    from seediff.diffusion.generation import flaws_in
    from seediff.diffusion.generation import generate as generate_pairs

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
        adapter=options.adapter,
    )
    asked = len(options.classes) * options.number
    fewer = f"; {asked} of them were asked for now, the others earlier" if number > asked else ""
    say(f"{number} images with masks in {folder} (train/images, train/masks, overlays, classes.csv){fewer}")
    say(f"images: {counted(flaws_in(folder))}")


def adapt(options: argparse.Namespace) -> None:
    """Adapt a model to the domain of your own images (LoRA)."""
    from seediff.adaptation.settings import ATTENTION, WEIGHTS, AdapterSettings

    settings = AdapterSettings(
        prompts=tuple(options.prompts),
        rank=options.rank,
        iterations=options.iterations,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        target_modules=tuple(options.target_modules or ATTENTION),
    )
    if (options.output / WEIGHTS).exists():
        raise SeediffError(f"{options.output} holds an adapter already.\nChoose another folder, or delete this one.")
    from seediff.datasets.unlabelled import folder_images

    images, output = folder_images(options.images), options.output
    from seediff.adaptation.train import train_adapter
    from seediff.versions import VERSIONS

    train_adapter(options.model, images, settings, output, output, options.rng_seed, VERSIONS["adapter"])
    say(f"{options.output / WEIGHTS}: give {options.output} to `seediff generate --adapter`")


def check(options: argparse.Namespace) -> None:
    """Check a study file and what it names, and say what it would run."""
    from seediff.workflow.plan import runs, shards
    from seediff.workflow.sources import check_data, real_data
    from seediff.workflow.study import check_paths, find_study, load_study

    study = load_study(find_study(options.study))
    check_paths(study)
    check_data(real_data(study))
    drawn = ", ".join(f"{len(shards(study, name))} shards of {name}" for name in study.image_sets)
    say(f"{options.study}: {len(study.tables)} tables, {len(runs(study))} runs, {drawn}")
    if options.words:
        from seediff.workflow.study_words import study_words

        say(study_words(study))


def plan_study(options: argparse.Namespace) -> None:
    """Say what a study will cost: runs, jobs, GPU hours, disk."""
    from seediff.workflow.estimate import plan_text
    from seediff.workflow.study import find_study, load_study

    if not 0.001 <= options.tflops < float("inf"):
        raise SeediffError(f"--tflops is {options.tflops:g}, but has to be finite and above 0.")
    say(plan_text(load_study(find_study(options.study)), options.tflops))


def status(options: argparse.Namespace) -> None:
    """Say which jobs of a study are done, running, failed and missing, from its files alone."""
    from seediff.workflow.status import status_text
    from seediff.workflow.study import find_study, load_study

    study = load_study(find_study(options.study))
    say(status_text(study, options.results or Path("results", study.name)))


def data_list(options: argparse.Namespace) -> None:
    """List the benchmarks: what they are, where to get them, and which are here."""
    from seediff.datasets.registry import list_datasets

    say(list_datasets(options.root))


def data_check(options: argparse.Namespace) -> int:
    """Verify a copy of a benchmark: counts, sizes, label values, checksums."""
    from seediff.datasets.verification import check_dataset

    report = check_dataset(options.name, options.folder, options.splits, None if options.all else 50)
    say(report.text)
    return 0 if report.ok else 1


def figure(options: argparse.Namespace) -> None:
    """Draw one figure of the paper from a study's own images."""
    from seediff.workflow.plan import FIGURES
    from seediff.workflow.sources import pinned, read_sources
    from seediff.workflow.study import find_study, load_study

    if options.name not in FIGURES:
        raise SeediffError(f"There is no figure {options.name!r}.\n{nearest(options.name, FIGURES)}")
    if options.point and options.name != "figure4":
        raise SeediffError("Only figure4 looks from a point. Leave --point out.")
    study = load_study(find_study(options.study))
    study = pinned(study, read_sources(Path("results", study.name)))
    if study.figures is None:
        raise SeediffError(f"{options.study} has no section 'figures', which says what they show.")
    if options.output.suffix in (".png", ".pdf"):
        raise SeediffError(f"{options.output} is to be the folder of both {options.name}.png and .pdf. Name a folder.")
    from seediff.workflow.stages.figures import draw_figure, spec

    draw_figure(spec(study), options.name, options.point, options.output)
    say(f"{options.output / options.name}.png and .pdf")


def show(options: argparse.Namespace) -> None:
    """Print tables in the terminal."""
    from seediff.workflow.reporting.tables import print_tables

    print_tables(options.tables)
