"""Hostile prompt files: the prompts that a shard needs, or a refusal that names the line."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.hostile import damaged, tampered, texts
from tests.fuzz.sandbox import cases, sandbox

pytestmark = pytest.mark.fuzz

HEADER = ["key", "class_name", "index", "prompt", "class_word", "rng_seed"]
ROWS = [HEADER, *([f"cat-{k:06d}", "cat", str(k), "a photo of a cat", "cat", str(10**18 + k)] for k in range(3))]
SPEC = {
    "diffusion": {"model": "./nowhere", "num_inference_steps": 1, "guidance_scale": 2.0, "batch_size": 1},
    "variants": {"caa": [["mean_cross_attention", {}]]},
}
SOUND = "There is no model folder"
"""The result for correct prompts: there is no model to draw them with."""


def written(rows: Any) -> bytes:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def synthesize(content: bytes, *shard: str) -> str:
    with sandbox() as box:
        (box.folder / "prompts.csv").write_bytes(content)
        chosen = shard or ("--class-name", "cat", "--first", "0", "--count", "3")
        outputs = ("--images", "out/i.tar", "--scores", "out/s.tar")
        code, said = box.seediff(
            "stage", "synthesize", "--spec", json.dumps(SPEC), "--prompts", "prompts.csv", *chosen, *outputs
        )
        assert code in (1, 2) and not list(box.folder.glob("out/*"))
        return said


def test_sound_prompts() -> None:
    assert SOUND in synthesize(written(ROWS))


@cases(150)
@given(tampered(ROWS, texts).filter(lambda rows: isinstance(rows, list) and all(isinstance(row, list) for row in rows)))
def test_rows_that_were_tampered_with(rows: Any) -> None:
    synthesize(written(rows))


@cases(100)
@given(damaged(written(ROWS)) | st.binary(max_size=100))
def test_a_damaged_prompt_file(content: bytes) -> None:
    synthesize(content)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("cat-000001", "../../cat", "cannot be used as a name"),
        ("cat-000001", "cat\0", "is not a prompt"),
        (str(10**18 + 1), str(2**63), "line 3 is not a prompt"),
        (str(10**18 + 1), "-1", "line 3 is not a prompt"),
        (str(10**18 + 1), "9" * 5000, "line 3 is not a prompt"),
        ("a photo of a cat", "", "line 2 is not a prompt"),
        ("a photo of a cat", '"a photo\nof a cat"', "is not a prompt"),
        ("a photo of a cat", "x" * 200_000, "is broken"),
        ("rng_seed", "seed", "is not a prompt"),
        ("cat,0,", "car,0,", "but it has 2"),
    ],
)
def test_prompts_that_are_made_to_do_harm(old: str, new: str, reason: str) -> None:
    text = written(ROWS).decode()
    assert old in text
    assert reason in synthesize(text.replace(old, new, 1).encode())


@pytest.mark.parametrize("shard", [("cat", "-1", "2"), ("cat", "0", "0"), ("cat", "2", "2"), ("$(touch x)", "0", "1")])
def test_a_shard_of_prompts_that_are_not_there(shard: tuple[str, str, str]) -> None:
    name, first, count = shard
    assert "were asked for" in synthesize(written(ROWS), "--class-name", name, "--first", first, "--count", count)
