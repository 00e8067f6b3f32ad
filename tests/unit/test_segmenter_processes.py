"""Two processes that share every batch learn what a single process learns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seediff.cli import main
from seediff.datasets.images import encode_mask, encode_png
from seediff.datasets.shards import Sample, write_shard
from seediff.datasets.training_sets import assemble
from seediff.segmenter.loss import alone, make_targets, set_loss
from seediff.segmenter.settings import segmenter_settings

SETTINGS = segmenter_settings(
    "swin-mini", queries=4, points=1024, batch_size=4, iterations=6, crop=32, warmup=0, learning_rate=3e-4
)


def test_the_mean_of_the_shares_is_the_loss_of_the_whole() -> None:
    """Masks are constant, so that it does not matter which points are sampled; the shares differ in their targets."""
    torch.manual_seed(0)
    labels = torch.tensor([[[0, 1]], [[1, 2]], [[2, 2]], [[0, 0]]]).repeat_interleave(8, 1).repeat_interleave(8, 2)
    classes, masks = torch.randn(4, 3, 4), torch.randn(4, 3, 1, 1).expand(-1, -1, 8, 16)

    def loss(images: slice, mean: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
        return set_loss([(classes[images], masks[images])], make_targets(labels[images], 3), 4096, mean)

    halves = slice(0, 2), slice(2, 4)
    normalisers: list[list[torch.Tensor]] = [[], []]
    for half, noted in zip(halves, normalisers, strict=True):
        loss(half, partial(note, noted))
    means = [torch.stack(values).mean(0) for values in zip(*normalisers, strict=True)]
    shares = [loss(half, partial(next_of, iter(means))) for half in halves]
    for name, whole in loss(slice(0, 4), alone).items():
        torch.testing.assert_close((shares[0][name] + shares[1][name]) / 2, whole, rtol=0.02, atol=0)


def note(noted: list[torch.Tensor], value: torch.Tensor) -> torch.Tensor:
    noted.append(value)
    return value


def next_of(means: Iterator[torch.Tensor], _: torch.Tensor) -> torch.Tensor:
    return next(means)


@pytest.fixture
def training_set(tmp_path: Path) -> Path:
    """Eight pictures of a bright square each."""
    rng = np.random.default_rng(0)
    pictures = []
    for index in range(8):
        mask = np.zeros((32, 32), np.uint8)
        top, left = rng.integers(4, 16, 2)
        mask[top : top + 12, left : left + 12] = 1
        pictures.append((f"cat-{index:06d}", np.repeat(200 * mask[..., None], 3, 2), mask))
    about = json.dumps({"class_name": "cat"}).encode()
    images = [Sample(key, {"png": encode_png(picture), "json": about}) for key, picture, _ in pictures]
    write_shard(tmp_path / "i.tar", images)
    write_shard(tmp_path / "m.tar", [Sample(key, {"png": encode_mask(mask)}) for key, _, mask in pictures])
    assemble([tmp_path / "i.tar"], [tmp_path / "m.tar"], None, tmp_path / "set.json")
    return tmp_path / "set.json"


def arguments(training_set: Path, folder: Path, batch: int = 4) -> list[str]:
    settings = asdict(SETTINGS) | {"batch_size": batch}
    spec = {"classes": ["cat"], "segmenter": settings, "augmentation": None, "rng_seed": 0, "repeat": 0}
    paths = {"training-set": training_set, "checkpoints": folder / "state", "output": folder / "out"}
    options = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    return ["stage", "train", "--spec", json.dumps(spec), *options]


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(training_set: Path, tmp_path: Path) -> None:
    assert main(arguments(training_set, tmp_path / "one")) == 0
    assert main([*arguments(training_set, tmp_path / "two"), "--processes", "2"]) == 0
    alone, shared = (pd.read_csv(tmp_path / name / "out/history.csv").loss for name in ("one", "two"))
    assert len(alone) == len(shared) == 6
    # They sample different points of the masks: with 1024 of them the losses agree within a few per cent.
    np.testing.assert_allclose(shared, alone, rtol=0.1)
    assert alone.iloc[-1] < 0.9 * alone.iloc[0]


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_said_plainly(training_set: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seediff.cli", *arguments(training_set, tmp_path, batch=3), "--processes", "2"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode != 0 and "cannot be shared by 2 processes" in run.stderr
    assert not (tmp_path / "out").exists()
