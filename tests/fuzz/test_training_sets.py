"""Hostile training sets: refused before anything is learnt from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seediff.datasets.images import encode_mask
from seediff.datasets.shards import Sample, write_shard
from seediff.embedded.domains import write_domain
from tests.fuzz.hostile import damaged, tampered
from tests.fuzz.sandbox import Sandbox, cases, sandbox
from tests.fuzz.test_shards import ABOUT, IMAGE

pytestmark = pytest.mark.fuzz

SPEC = {
    "classes": ["car"],
    "segmenter": {"backbone": "swin-mini", "iterations": 1, "batch_size": 1, "checkpoint_every": 1},
    "augmentation": None,
    "rng_seed": 0,
    "repeat": 0,
}
BENCHMARK = {"kind": "benchmark", "format": "ade20k", "folder": "copy", "split": "train", "classes": ["car"]}
CONTENT = {
    "format_version": 1,
    "number": 2,
    "entries": [
        {"kind": "pairs", "images": "images.tar", "masks": "masks.tar", "keys": ["cat-000000"]},
        {**BENCHMARK, "names": ["ADE_train_00000001"]},
    ],
}
SOUND = "Training cannot start from nowhere"
"""The result for a correct training set: it is refused for its start, before it takes any time."""


def train(content: bytes, spec: Any = SPEC) -> str:
    with sandbox() as box:
        write_sources(box.folder)
        (box.folder / "set.json").write_bytes(content)
        return start_training(box, spec)


def write_sources(folder: Path) -> None:
    mask = encode_mask(np.zeros((16, 16), np.uint8))
    write_shard(folder / "images.tar", [Sample("cat-000000", {"png": IMAGE, "json": ABOUT})])
    write_shard(folder / "masks.tar", [Sample("cat-000000", {"png": mask})])
    write_domain("ade20k", folder / "copy", train=1, val=1, rng_seed=0)


def start_training(box: Sandbox, spec: Any) -> str:
    folders = ("--checkpoints", "out/checkpoints", "--output", "out/model")
    code, said = box.seediff(
        "stage", "train", "--spec", json.dumps(spec), "--training-set", "set.json", "--start", "nowhere", *folders
    )
    assert code == 1 and not (box.folder / "out" / "model").exists()
    return said


def test_a_sound_training_set() -> None:
    assert SOUND in train(json.dumps(CONTENT).encode())


@cases(200)
@given(tampered(CONTENT))
def test_a_training_set_that_was_tampered_with(content: Any) -> None:
    train(json.dumps(content).encode())


@cases(60)
@given(damaged(json.dumps(CONTENT).encode()) | st.sampled_from([b"[" * 200_000, b"9" * 5000]))
def test_a_damaged_training_set(content: bytes) -> None:
    train(content)


@cases(60)
@given(tampered(SPEC))
def test_a_hostile_spec(spec: Any) -> None:
    train(json.dumps(CONTENT).encode(), spec)


@pytest.mark.parametrize("classes", [["car"] * 300, [f"c{k}" for k in range(300)], [], ["car", "car"]])
def test_classes_that_are_no_label_space(classes: list[str]) -> None:
    entries = [{**BENCHMARK, "classes": classes, "names": ["ADE_train_00000001"]}]
    assert SOUND not in train(json.dumps({**CONTENT, "entries": entries}).encode())
