"""Hostile command lines and specs of every command: an exit code, three lines, nothing outside the output folder."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperGroup

from seediff.adaptation.settings import AdapterSettings
from seediff.cli import main
from seediff.cli.program import app
from seediff.workflow.study import load_study
from tests.conftest import ROOT
from tests.fuzz.hostile import NUMBERS, TEXTS, tampered
from tests.fuzz.sandbox import cases, run, sandbox
from tests.fuzz.test_studies import specs

pytestmark = pytest.mark.fuzz


def declared(command: Any, name: str = "") -> dict[str, list[str]]:
    """Every command at or below this, with its options."""
    if not isinstance(command, TyperGroup):
        options = [option for parameter in command.params for option in parameter.opts[:1]]
        return {name: [option for option in options if option.startswith("--") and option != "--help"]}
    context = typer.Context(command)
    found: dict[str, list[str]] = {}
    for below in command.list_commands(context):
        found |= declared(command.get_command(context, below), f"{name} {below}".strip())
    return found


COMMANDS = declared(typer.main.get_command(app))
SERVED = ("demo",)
"""Commands that do not end by themselves."""
ENDING = {name: options for name, options in COMMANDS.items() if name not in SERVED}
OUTPUTS = ("--output", "--images", "--scores", "--masks", "--checkpoints")
any_text = st.text(max_size=8).filter(lambda text: text[:1] not in "-/.~" and not text.isdecimal())
"""Nothing that is a path elsewhere, or a number of processes to start."""
WORDS = [text for text in TEXTS if not text.startswith(("-", "/", "..", "~"))]


def test_every_command_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that the help lists is tried."""
    for name in ("", "data", "dataset", "stage"):
        assert main([*name.split(), "--help"]) == 0
        listed = set(re.findall(r"^  (\w+)  ", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE))
        tried = [command.split() for command in COMMANDS if f"{command} ".startswith(f"{name} ".lstrip())]
        assert listed == {words[len(name.split())] for words in tried}
    assert {"--adapter", "--number"} <= {*COMMANDS["generate"]} and COMMANDS["status"] == ["--study", "--results"]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from(sorted(ENDING)))
    arguments = command.split()
    for option in ENDING[command]:
        if draw(st.integers(0, 9)):
            value = draw(st.sampled_from(WORDS) | any_text)
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


MODEL = "--model ./none"
SOUND = {
    "generate": f"{MODEL} --class cat --number 1 --template {{word}} --variant caa --steps 1 --guidance-scale 2"
    " --batch-size 1 --adapter a.safetensors --dtype float32 --rng-seed 0 --output out/pairs",
    "adapter": f"{MODEL} --images images --prompt cat --rank 1 --iterations 1 --batch-size 1 --learning-rate 1e-4"
    " --target-module to_q --rng-seed 0 --output out/adapter",
    "figures": f"figure4 --study {ROOT}/config/studies/none.yaml --point 0 0 --output out/figure",
    "plan": f"--study {ROOT}/config/studies/mini.yaml --tflops 1",
    "stage synthesize": "--spec {} --prompts p.csv --class-name cat --first 0 --count 1"
    " --images out/i.tar --scores out/s.tar",
    "stage train": "--spec {} --training-set s.json --start x --checkpoints out/c --processes 1 --output out/model",
    "status": f"--study {ROOT}/config/studies/smoke.yaml --results results",
}
"""Lines that are correct, but whose model, study or file does not exist."""
VALUES = [text for text in (*TEXTS, *map(str, NUMBERS[:9]), *map(str, NUMBERS[12:])) if text[:1] not in ("/", "~")]


@st.composite
def lines_with_a_wrong_value(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from(sorted(SOUND)))
    arguments = SOUND[command].split()
    values = [
        at
        for at, argument in enumerate(arguments)
        if not argument.startswith("--") and at and arguments[at - 1] not in OUTPUTS
    ]
    arguments[draw(st.sampled_from(values))] = draw(st.sampled_from(VALUES) | any_text)
    return [*command.split(), *arguments]


@cases(120)
@given(lines_with_a_wrong_value())
def test_a_line_with_a_wrong_value(arguments: list[str]) -> None:
    with sandbox() as box:
        assert box.seediff(*arguments)[0] in (1, 2)
        assert not Path("out").exists()


@cases(100)
@given(st.lists(st.sampled_from([*TEXTS, *ENDING, "--spec", "--output", "--help"]), max_size=5))
def test_arguments_at_random(arguments: list[str]) -> None:
    with sandbox() as box:
        box.seediff(*arguments)


SMOKE = load_study(ROOT / "config" / "studies" / "smoke.yaml")
FILES = {
    "prompts": "--output out/p.csv",
    "domain": "--output out/domain",
    "adapter": "--checkpoints out/c --output out/adapter",
    "synthesize": "--prompts p.csv --class-name cat --first 0 --count 1 --images out/i.tar --scores out/s.tar",
    "replay": "--prompts p.csv --class-name cat --first 0 --count 1 --scores out/s.tar",
    "refine": "--images i.tar --scores s.tar --output out/m.tar",
    "filter": "--images i.tar --scores s.tar --masks m.tar --other-masks o.tar --output out/table.csv",
    "assemble": "--images i.tar --masks m.tar --output out/set.json",
    "train": "--training-set set.json --checkpoints out/c --output out/model",
    "evaluate": "--model model --output out/metrics.json --images out/metrics.npz",
    "judge": "--images i.tar --scores s.tar --model m.safetensors --output out/judged.json --picture out/judged.png",
    "predictions": "--models m.safetensors --output out/predictions.png",
    "tabulate": "--results results --output out/table",
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
@given(st.sampled_from(SPECS).flatmap(lambda case: st.tuples(st.just(case[0]), tampered(case[1]))))
def test_a_spec_that_was_tampered_with(case: tuple[str, Any]) -> None:
    stage, spec = case
    with sandbox() as box:
        box.seediff("stage", stage, "--spec", json.dumps(spec), *FILES[stage].split())


@cases(100)
@given(st.sampled_from(sorted(FILES)), st.text(max_size=30) | st.sampled_from(["[" * 100_000, "9" * 5000, "{", "\0"]))
def test_a_spec_that_is_none(stage: str, text: str) -> None:
    with sandbox() as box:
        assert box.seediff("stage", stage, "--spec", text, *FILES[stage].split())[0] in (1, 2)


@pytest.mark.parametrize("output", ["", ".", "..", "/", "out/\0", "x" * 300])
def test_outputs_that_are_no_files(output: str) -> None:
    with sandbox() as box:
        prompts = {"prompt_set": "x", "classes": ["cat"], "per_class": 1}
        assert box.seediff("stage", "prompts", "--spec", json.dumps(prompts), "--output", output)[0] in (1, 2)
        domain = {"format": "voc", "train": 1, "val": 1, "rng_seed": 0}
        assert box.seediff("stage", "domain", "--spec", json.dumps(domain), "--output", output)[0] in (1, 2)


@pytest.mark.parametrize("point", [("nan", "0"), ("inf", "0"), ("-1", "0"), ("0", "2")])
def test_points_beside_the_image(point: tuple[str, str]) -> None:
    study = str(ROOT / "config" / "studies" / "smoke.yaml")
    with sandbox():
        code, said = run(["figures", "figure4", "--study", study, "--point", *point, "--output", "out"])
        assert code == 1 and "from 0 to 1" in said


def test_generate_stays_in_its_folder() -> None:
    with sandbox() as box:
        for name in ("../x", "/tmp/x", "a/../../x", "..", "a\0b", "a\nb"):
            code, said = box.seediff("generate", "--model", "./none", "--class", name, "--output", "out")
            assert code == 1 and "cannot be used as a name" in said
        many = [part for k in range(255) for part in ("--class", f"c{k}")]
        assert "254 at most" in box.seediff("generate", "--model", "./none", *many, "--output", "out")[1]
        for number in ("0", "-5", "1" + "0" * 12):
            arguments = ("--class", "cat", "--number", number, "--output", "out")
            assert "images is " in box.seediff("generate", "--model", "./none", *arguments)[1]


@pytest.mark.parametrize("content", ["[]", "3", "{}", "[" * 100_000, '{"model": []}'])
def test_hostile_settings_of_an_earlier_call(content: str) -> None:
    with sandbox() as box:
        Path("out").mkdir()
        Path("out/settings.json").write_text(content)
        assert box.seediff("generate", "--model", "./none", "--class", "cat", "--output", "out")[0] == 1
