"""Stages: train a segmenter, and evaluate it on a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from seediff.datasets.augmentation import Augmentation
from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.flaws import FLAWS
from seediff.datasets.training_sets import load_training_set
from seediff.errors import SeediffError
from seediff.files.sealed import write_json
from seediff.rng import derive_seed
from seediff.segmenter.evaluate import confusion, load_segmenter
from seediff.segmenter.robust.settings import RobustTraining
from seediff.segmenter.robust.train import train_robustly
from seediff.segmenter.settings import segmenter_settings
from seediff.segmenter.train import train
from seediff.versions import VERSIONS
from seediff.workflow.provenance import provenance


def train_model(
    spec: Mapping[str, Any], training_set: Path, start: Path | None, checkpoints: Path, output: Path
) -> None:
    """Train on the listed pairs; goes on from a state in ``checkpoints`` where the same call was stopped earlier.

    ``start``: the weights of the trained model to begin with, if any.
    """
    pairs = load_training_set(training_set)
    flaws = pairs.flaws
    robust = spec.get("robust")
    run = partial(train_robustly, doubts=pairs.doubts, robust=RobustTraining(**robust)) if robust else train
    run(
        pairs,
        segmenter_settings(**spec["segmenter"]),
        ["background", *spec["classes"]],
        output,
        checkpoints,
        rng_seed=derive_seed(spec["rng_seed"], "repeat", spec["repeat"]),
        augmentation=Augmentation(**spec["augmentation"]) if spec["augmentation"] else Augmentation(),
        start=start,
        pairs_digest=pairs.digest,
        version=VERSIONS["train"],
        about={FLAWS: flaws} if flaws else {},
    )


def evaluate_model(spec: Mapping[str, Any], model: Path, output: Path) -> None:
    """Write the confusion matrix, from which every table's numbers are derived."""
    segmenter = load_segmenter(model)
    benchmark = open_benchmark(spec["format"], Path(spec["folder"]), spec["split"], spec["classes"], spec["lacks"])
    if segmenter.classes != benchmark.label_space.names:
        raise SeediffError(
            f"The segmenter {model} knows other classes than it is to be evaluated on: "
            f"{', '.join(segmenter.classes)}.\nTrain it again."
        )
    samples = ((item.name, *benchmark[index]) for index, item in enumerate(benchmark.items))
    matrix = confusion(segmenter, samples)
    names = {key: spec[key] for key in ("recipe", "segmenter", "repeat", "benchmark")}
    flaws = {FLAWS: dict(segmenter.flaws)} if segmenter.flaws else {}
    counts = {"images": len(benchmark), "classes": list(segmenter.classes), "confusion": matrix.tolist()}
    data = {"data": spec["data"]} if spec.get("data") else {}
    write_json(output, {**names, **counts, **flaws, **data, "provenance": provenance(spec["model"])})
