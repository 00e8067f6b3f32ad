"""Hostile study files: refused in three lines, or sound enough to make every job from."""

from __future__ import annotations

import json
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from seediff.adaptation.settings import AdapterSettings
from seediff.diffusion.synthesis import Sampling
from seediff.errors import SeediffError
from seediff.masks.refinement import PamrSettings
from seediff.segmenter.settings import SegmenterSettings
from seediff.workflow import plan
from seediff.workflow.stage import told
from seediff.workflow.stages import STAGES
from seediff.workflow.study import Study
from seediff.workflow.study.load import parse_study
from tests.conftest import ROOT
from tests.fuzz.hostile import Place, at, damaged, places, tampered
from tests.fuzz.sandbox import cases, sandbox
from tests.stages import read_spec

pytestmark = pytest.mark.fuzz

TEXT = (ROOT / "config" / "studies" / "smoke.yaml").read_text()
CONTENT = yaml.safe_load(TEXT)


def check(content: bytes) -> tuple[int, str]:
    with sandbox() as box:
        (box.folder / "smoke.yaml").write_bytes(content)
        box.seediff("plan", "--study", "smoke.yaml")
        return box.seediff("check", "smoke.yaml")


@cases(300)
@given(tampered(CONTENT))
def test_a_study_that_was_tampered_with(content: Any) -> None:
    check(yaml.safe_dump(content).encode())


@cases(100)
@given(damaged(TEXT.encode()))
def test_a_damaged_study(content: bytes) -> None:
    check(content)


@cases(100)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_a_study_that_is_none(content: bytes) -> None:
    assert check(content)[0] == 1


@cases(300)
@given(tampered(CONTENT))
def test_a_sound_study_makes_sound_jobs(content: Any) -> None:
    """Whatever passes the check becomes specs that the stages accept, and paths that stay below the results."""
    try:
        study = parse_study(content)
    except SeediffError:
        return
    for stage, spec in specs(study):
        read_spec(stage, json.dumps(spec))
    for image_set in study.image_sets:
        for shard in plan.shards(study, image_set)[:3]:
            assert Path("x", shard.name).resolve().is_relative_to(Path("x").resolve())


def specs(study: Study) -> list[tuple[str, Any]]:
    """Every stage with the specs of its first jobs."""
    wanted = [(name, stage, work) for name, stage in STAGES.items() for work in islice(stage.work(study), 3)]
    return [(name, told(stage.spec, study, work.wildcards).model_dump(mode="json")) for name, stage, work in wanted]


RAW = ("010", "-010", "00", "1:30", "1:30.5", "yes", "no", "~", "''", "0x7fffffffffffffff", "1e400", "-1", ".nan",
       "[]", "{}", "!!int 1:30", "!!float 1:30", "2026-01-01", "1000000", "=1", "'\\e[2J'", "9" * 400)  # fmt: skip
LEAVES = [place for place in places(CONTENT) if not isinstance(at(CONTENT, place), (dict, list))]
COUNTS = [place for place in LEAVES if type(at(CONTENT, place)) is int and place[-1] not in ("rng_seed", "embedded")]
"""Each number of the study that counts something."""


def with_raw(place: Place, raw: str) -> bytes:
    """The study with a value as a user may write it, however YAML reads it."""
    content = deepcopy(CONTENT)
    at(content, place[:-1])[place[-1]] = "HERE"
    return yaml.safe_dump(content, allow_unicode=True).replace("HERE", raw).encode()


@cases(80)
@given(st.sampled_from(LEAVES), st.sampled_from(RAW))
def test_a_value_as_somebody_may_write_it(place: Place, raw: str) -> None:
    code, said = check(with_raw(place, raw))
    if raw in ("010", "-010", "00", "!!int 1:30"):
        assert code == 1 and "more than one number" in said


@pytest.mark.parametrize("place", COUNTS, ids=lambda place: ".".join(map(str, place)))
def test_every_count_has_its_bounds(place: Place) -> None:
    for raw in ("-1", "1000000000000", "1:30", "yes"):
        assert check(with_raw(place, raw))[0] == 1, raw


@pytest.mark.parametrize("section", [SegmenterSettings, AdapterSettings, PamrSettings, Sampling])
def test_every_count_of_settings_has_its_bounds(section: Any) -> None:
    """Including keys that the study above leaves out."""
    needed = (
        {"backbone": "swin-mini"}
        if section is SegmenterSettings
        else {"prompts": ("a cat",)}
        if section is AdapterSettings
        else {}
    )
    counts = [name for name, kind in get_type_hints(section).items() if kind is int]
    assert counts
    for name in counts:
        for value in (-1, 10**12):
            with pytest.raises(SeediffError, match=name):
                section(**needed, **{name: value})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("{a: " * 5000, "nested too deeply"),
        ("a: !!timestamp 2026-99-99", "not valid YAML"),
        ("a: !!timestamp soon", "not valid YAML"),
        ("a: !!int ''", "not valid YAML"),
        ("a: !!bool perhaps", "not valid YAML"),
        ("a: !!map [1]", "not valid YAML"),
        ("a: !!python/object/apply:os.system [touch pwned]", "not valid YAML"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: \0", "not valid YAML"),
        ("? [a, b]\n: c", "not valid YAML"),
        ("? {a: b}\n: c", "not valid YAML"),
        (f"{TEXT}\n1: yes", "write it in quotes"),
        (f"{TEXT}\nno: yes", "unknown key 'no'"),
        ("a: 010", "more than one number"),
        ("a: !!int 1:30", "more than one number"),
        ("a: !!float 1:30.5", "not valid YAML"),
        ("a: 1\n" * 3, "comes twice"),
        ("%YAML 9.9\n---\na: 1", "not valid YAML"),
        ("--- a\n--- b", "not valid YAML"),
        ("x" * (5 * 2**20), "larger than"),
        ("", "must be a mapping"),
    ],
)
def test_yaml_that_is_made_to_do_harm(content: str, reason: str) -> None:
    code, said = check(content.encode())
    assert code == 1 and reason.lower() in said.lower(), said


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("per_class: 3", "per_class: 1000000000000", "per_class"),
        ("{per_class: 3}", "{per_class: 1000000}", "shard_size"),
        ("repeats: 1", "repeats: 1000000000000", "repeats"),
        ("repeats: 1", "repeats: 1000000", "repeats"),
        ("[cat, car]", f"[{', '.join(f'c{k}' for k in range(255))}]", "at most 254"),
        ("iterations: 2,", "iterations: 1000000000000,", "iterations"),
        ("pamr: {pamr: {", "pamr: {pamr: {sigma_factor: .nan, ", "sigma_factor"),
        ("  look:", "  x: [{cross_attention: {resolution: '1e-999999999'}}]\n  look:", "1/4"),
        ("iterations: 4, batch_size: 2, checkpoint_every: 2}\n  resnet", f"clip: 1{'0' * 400}}}\n  resnet", "clip"),
        ("swin: {", "swin: {1: 2, ", "write it in quotes"),
        ("model: assets/pictograms", 'model: "a\\0b"', "diffusion.model"),
        ("model: assets/pictograms", "model: 'assets/{x}'", "diffusion.model"),
        ("{per_class: 3}", '{per_class: 3, words: {cat: "a\\nb"}}', "words.cat"),
        ("{per_class: 3}", '{per_class: 3, template: "\\ud800 {word}"}', "half a character"),
        ("repeats: 1", '"a\\nb\\nc\\nd": 1', r"a\nb\nc\nd"),
    ],
)
def test_values_that_are_made_to_do_harm(old: str, new: str, reason: str) -> None:
    assert old in TEXT
    code, said = check(TEXT.replace(old, new, 1).encode())
    assert code == 1 and reason in said, said


def test_what_is_no_file_at_all() -> None:
    with sandbox() as box:
        Path("folder.yaml").mkdir()
        Path("loop.yaml").symlink_to("loop.yaml")
        Path("endless.yaml").symlink_to("/dev/zero")
        for name in ("folder.yaml", "loop.yaml", "endless.yaml", "a\0b.yaml", "x" * 300 + ".yaml", "a\nb\nc\nd.yaml"):
            assert box.seediff("check", name)[0] in (1, 2)
