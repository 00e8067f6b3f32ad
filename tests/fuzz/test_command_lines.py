"""Hostile command lines and specs of every command: an exit code, three lines, nothing outside the output folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seediff.adaptation.settings import AdapterSettings
from seediff.cli import main
from seediff.study import load_study
from tests.conftest import ROOT
from tests.fuzz.hostile import TEXTS, tampered
from tests.fuzz.sandbox import cases, run, sandbox
from tests.fuzz.test_studies import specs

pytestmark = pytest.mark.fuzz

COMMANDS = {
    "generate": ["--model", "--class", "--number", "--template", "--variant", "--steps", "--guidance-scale",
                 "--batch-size", "--dtype", "--rng-seed", "--output"],
    "check": ["--words"], "plan": ["--study", "--tflops"], "data list": ["--root"], "data check": ["--split", "--all"],
    "adapt": ["--model", "--images", "--prompt", "--rank", "--iterations", "--batch-size", "--learning-rate",
              "--target-module", "--output"],
    "adapter": ["--spec", "--checkpoints", "--output"],
    "figure": ["--study", "--point", "--output"], "show": [], "domain": ["--spec", "--output"],
    "prompts": ["--spec", "--output"],
    "synthesize": ["--spec", "--prompts", "--class", "--first", "--count", "--images", "--scores"],
    "replay": ["--spec", "--prompts", "--class", "--first", "--count", "--scores"],
    "refine": ["--spec", "--images", "--scores", "--output"],
    "filter": ["--spec", "--images", "--scores", "--masks", "--other-masks", "--output"],
    "assemble": ["--spec", "--images", "--masks", "--output"],
    "train": ["--spec", "--training-set", "--start", "--checkpoints", "--output"],
    "evaluate": ["--spec", "--model", "--output"], "mask-quality": ["--spec", "--output"],
    "tabulate": ["--spec", "--results", "--output"], "strips": ["--spec", "--output"],
    "figures": ["--spec", "--output"], "report": ["--spec", "--results", "--output"],
}  # fmt: skip
"""Every command and its options; all but those about names and numbers are given what no file is called."""

OUTPUTS = ("--output", "--images", "--scores", "--masks", "--checkpoints")
WORDS = [text for text in TEXTS if not text.startswith(("-", "/", "..", "~"))]


def test_every_command_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    for name in {name.split()[0] for name in COMMANDS}:
        assert f"    {name} " in listed or f"    {name}\n" in listed
    assert listed.count("\n    ") >= len({name.split()[0] for name in COMMANDS})


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from(sorted(COMMANDS)))
    arguments = command.split()
    for option in COMMANDS[command]:
        if draw(st.integers(0, 9)):
            value = draw(st.sampled_from(WORDS) | st.text(max_size=8).filter(lambda text: text[:1] not in "-/.~"))
            arguments += [
                option,
                f"./{value}" if option == "--model" else f"out/{value}" if option in OUTPUTS else value,
            ]
    return arguments + draw(st.lists(st.sampled_from([*WORDS, "--all", "--spec", "--nonsense", "voc"]), max_size=2))


@cases(400)
@given(command_lines())
def test_a_hostile_command_line(arguments: list[str]) -> None:
    with sandbox() as box:
        box.seediff(*arguments)


@cases(100)
@given(st.lists(st.sampled_from([*TEXTS, *COMMANDS, "--spec", "--output", "--help"]), max_size=5))
def test_arguments_at_random(arguments: list[str]) -> None:
    with sandbox() as box:
        box.seediff(*arguments)


SMOKE = load_study(ROOT / "config" / "studies" / "smoke.yaml")
FILES = {
    "prompts": "--output out/p.csv",
    "domain": "--output out/domain",
    "adapter": "--checkpoints out/c --output out/adapter",
    "synthesize": "--prompts p.csv --class cat --first 0 --count 1 --images out/i.tar --scores out/s.tar",
    "refine": "--images i.tar --scores s.tar --output out/m.tar",
    "filter": "--images i.tar --scores s.tar --masks m.tar --other-masks o.tar --output out/table.csv",
    "assemble": "--images i.tar --masks m.tar --output out/set.json",
    "train": "--training-set set.json --checkpoints out/c --output out/model",
    "evaluate": "--model model --output out/metrics.json",
    "tabulate": "--results results --output out/table",
    "mask_quality": "--output out/quality.json",
    "figures": "--output out/figures",
    "strips": "--output out/strips",
    "report": "--results results --output out/report.html",
}


ADAPTER = {
    "model": "./none",
    "images": {"folder": "images", "format": None, "split": None},
    "settings": asdict(AdapterSettings(("a photo of city",))),
    "rng_seed": 0,
}
SPECS = [*specs(SMOKE), ("adapter", ADAPTER)]


@cases(500)
@given(st.sampled_from(SPECS).flatmap(lambda one: st.tuples(st.just(one[0]), tampered(one[1]))))
def test_a_spec_that_was_tampered_with(case: tuple[str, Any]) -> None:
    stage, spec = case
    with sandbox() as box:
        box.seediff(stage.replace("_", "-"), "--spec", json.dumps(spec), *FILES[stage].split())


@cases(100)
@given(st.sampled_from(sorted(FILES)), st.text(max_size=30) | st.sampled_from(["[" * 100_000, "9" * 5000, "{", "\0"]))
def test_a_spec_that_is_none(stage: str, text: str) -> None:
    with sandbox() as box:
        assert box.seediff(stage.replace("_", "-"), "--spec", text, *FILES[stage].split())[0] in (1, 2)


@pytest.mark.parametrize("output", ["", ".", "..", "/", "out/\0", "x" * 300])
def test_outputs_that_are_no_files(output: str) -> None:
    with sandbox() as box:
        prompts = {"prompt_set": "x", "classes": ["cat"], "per_class": 1}
        assert box.seediff("prompts", "--spec", json.dumps(prompts), "--output", output)[0] in (1, 2)
        domain = {"format": "voc", "train": 1, "val": 1, "rng_seed": 0}
        assert box.seediff("domain", "--spec", json.dumps(domain), "--output", output)[0] in (1, 2)


@pytest.mark.parametrize("point", [("nan", "0"), ("inf", "0"), ("-1", "0"), ("0", "2")])
def test_points_beside_the_image(point: tuple[str, str]) -> None:
    study = str(ROOT / "config" / "studies" / "smoke.yaml")
    with sandbox():
        code, said = run(["figure", "figure4", "--study", study, "--point", *point, "--output", "out"])
        assert code == 1 and "from 0 to 1" in said


def test_generate_stays_in_its_folder() -> None:
    with sandbox() as box:
        for name in ("../x", "/tmp/x", "a/../../x", "..", "a\0b", "a\nb"):
            code, said = box.seediff("generate", "--model", "./none", "--class", name, "--output", "out")
            assert code == 1 and "cannot be used as a name" in said
        many = [part for k in range(255) for part in ("--class", f"c{k}")]
        assert "room for 254" in box.seediff("generate", "--model", "./none", *many, "--output", "out")[1]
        for number in ("0", "-5", "1" + "0" * 12):
            arguments = ("--class", "cat", "--number", number, "--output", "out")
            assert "images a class" in box.seediff("generate", "--model", "./none", *arguments)[1]


@pytest.mark.parametrize("content", ["[]", "3", "{}", "[" * 100_000, '{"model": []}'])
def test_hostile_settings_of_an_earlier_call(content: str) -> None:
    with sandbox() as box:
        Path("out").mkdir()
        Path("out/settings.json").write_text(content)
        assert box.seediff("generate", "--model", "./none", "--class", "cat", "--output", "out")[0] == 1
