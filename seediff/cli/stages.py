"""The commands that the workflow calls, each with its resolved ``--spec``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from seediff.cli.options import add_command, file, number_of_processes, path, paths
from seediff.workflow.devices import claimed


def add_stages(commands: Any) -> None:
    command = partial(add_command, commands)
    spec = ("--spec", {"required": True, "help": "the stage's settings as JSON"})
    output = path("--output")
    command("domain", domain, spec, output)
    command("prompts", prompts, spec, output)
    command("adapter", adapter, spec, path("--checkpoints"), output)
    shard = (path("--prompts"), ("--class", {"required": True, "dest": "class_name"}))
    block = (("--first", {"type": int, "required": True}), ("--count", {"type": int, "required": True}))
    command("synthesize", synthesize, spec, *shard, *block, path("--images"), path("--scores"))
    command("replay", replay, spec, *shard, *block, path("--scores"))
    command("refine", refine, spec, paths("--images"), paths("--scores"), output)
    pairs = (paths("--images"), paths("--scores"), paths("--masks"), paths("--other-masks"))
    command("filter", select, spec, *pairs, output)
    command("assemble", assemble, spec, paths("--images"), paths("--masks"), output)
    start = ("--start", {"type": file, "nargs": "?", "help": "weights to go on from"})
    processes = (
        "--processes",
        {"type": number_of_processes, "default": 1, "help": "that share every batch, a GPU each"},
    )
    command("train", train, spec, path("--training-set"), start, path("--checkpoints"), processes, output)
    command("evaluate", evaluate, spec, path("--model"), output)
    command("mask-quality", mask_quality, spec, output)
    command("tabulate", tabulate, spec, path("--results"), output)
    command("strips", strips, spec, output)
    command("figures", figures, spec, output)
    command("report", report, spec, path("--results"), output)


def on_gpu(run: Callable[[argparse.Namespace], int | None]) -> Callable[[argparse.Namespace], int | None]:
    """The same command with a GPU to itself, or as many as it has processes, where the machine has them.

    A process of a training that was started as several has been given its GPU already.
    """

    @wraps(run)
    def with_gpu(options: argparse.Namespace) -> int | None:
        if "WORLD_SIZE" in os.environ:
            return run(options)
        with claimed(getattr(options, "processes", 1)):
            return run(options)

    return with_gpu


def domain(options: argparse.Namespace) -> None:
    """Write an embedded stand-in in a benchmark's own format."""
    from seediff.embedded.domains import write_domain

    write_domain(folder=options.output, **_spec("domain", options))


def prompts(options: argparse.Namespace) -> None:
    """Write a prompt set."""
    from seediff.prompts.prompt_sets import make_prompts, write_prompts

    write_prompts(make_prompts(**_spec("prompts", options)), options.output)


@on_gpu
def adapter(options: argparse.Namespace) -> None:
    """Train the adapter of an adaptation."""
    from seediff.workflow.stages.adapt import adapt_model

    adapt_model(_spec("adapter", options), options.checkpoints, options.output)


@on_gpu
def synthesize(options: argparse.Namespace) -> None:
    """Draw one shard of images and score every variant on the way."""
    from seediff.workflow.stages.synthesize import synthesize_shard

    synthesize_shard(**_shard(options), images=options.images, scores=options.scores)


@on_gpu
def replay(options: argparse.Namespace) -> None:
    """Draw a finished shard's images again to score further variants."""
    from seediff.workflow.stages.synthesize import replay_shard

    replay_shard(**_shard(options), scores=options.scores)


def _shard(options: argparse.Namespace) -> dict[str, Any]:
    from seediff.prompts.prompt_sets import class_prompts, read_prompts

    spec = _spec("synthesize", options)
    prompts = class_prompts(read_prompts(options.prompts), options.class_name, options.first, options.count)
    return {"spec": spec, "prompts": prompts}


def _spec(stage: str, options: argparse.Namespace) -> dict[str, Any]:
    from seediff.workflow.specs import read_spec

    return read_spec(stage, options.spec)


def refine(options: argparse.Namespace) -> None:
    """Turn scores into masks."""
    from seediff.workflow.stages.refine import refine_part

    refine_part(_spec("refine", options), options.images, options.scores, options.output)


def select(options: argparse.Namespace) -> None:
    """Measure image-mask pairs and say which are good enough to learn from."""
    from seediff.workflow.stages.filter import filter_pairs

    files = options.images, options.scores, options.masks, options.other_masks
    filter_pairs(_spec("filter", options), *files, options.output)


def assemble(options: argparse.Namespace) -> None:
    """List the image-mask pairs a recipe trains on."""
    from seediff.workflow.stages.assemble import assemble_recipe

    assemble_recipe(_spec("assemble", options), options.images, options.masks, options.output)


@on_gpu
def train(options: argparse.Namespace) -> int | None:
    """Train a segmenter on a training set."""
    if options.processes > 1 and "WORLD_SIZE" not in os.environ:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        return subprocess.run([*launch, str(options.processes), "-m", "seediff.cli", *options.arguments]).returncode
    from seediff.workflow.stages.segment import train_model

    train_model(_spec("train", options), options.training_set, options.start, options.checkpoints, options.output)
    return None


@on_gpu
def evaluate(options: argparse.Namespace) -> None:
    """Evaluate a segmenter on a benchmark."""
    from seediff.workflow.stages.segment import evaluate_model

    evaluate_model(_spec("evaluate", options), options.model, options.output)


@on_gpu
def mask_quality(options: argparse.Namespace) -> None:
    """Compare every variant with exact masks, no segmenter in between."""
    from seediff.workflow.stages.measure import measure_masks

    measure_masks(_spec("mask_quality", options), options.output)


def tabulate(options: argparse.Namespace) -> None:
    """Write one table as csv, md, tex, html and json."""
    from seediff.workflow.stages.publish import tabulate_results

    tabulate_results(_spec("tabulate", options), options.results, options.output)


@on_gpu
def strips(options: argparse.Namespace) -> None:
    """Draw one image of each class and show every mask step."""
    from seediff.workflow.stages.illustrate import publish_strips

    publish_strips(_spec("strips", options), options.output)


@on_gpu
def figures(options: argparse.Namespace) -> None:
    """Draw every qualitative figure of the paper."""
    from seediff.workflow.stages.illustrate import publish_figures

    publish_figures(_spec("figures", options), options.output)


def report(options: argparse.Namespace) -> None:
    """Write the report: one self-contained page."""
    from seediff.workflow.stages.publish import publish_report

    publish_report(_spec("report", options), options.results, options.output)
