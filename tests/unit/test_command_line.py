"""How the program answers: help without heavy imports, usage errors in two lines, and options that take lists."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seediff.cli import main
from seediff.cli.stages import _repeated

HEAVY = ("torch", "pydantic", "pandas", "numpy", "rich", "yaml")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = f"import sys; from seediff.cli import main; code = main({arguments})"
    check = f"sys.exit(code or ' '.join({{*{HEAVY}}} & {{*sys.modules}}) or 0)"
    run = subprocess.run([sys.executable, "-c", f"{program}; {check}"], text=True, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert "seediff" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "said", "command"),
    [
        ([], "Missing command", "seediff"),
        (["chekc"], "Did you mean 'check'?", "seediff"),
        (["data", "lst"], "Did you mean 'list'?", "seediff data"),
        (["stage", "refin"], "Did you mean 'refine'", "seediff stage"),
        (["check", "mini", "--wrods"], "--words", "seediff check"),
        (["check"], "Missing argument 'study'", "seediff check"),
        (["status"], "Missing option '--study'", "seediff status"),
        (["check", "mini", "paper"], "(paper)", "seediff check"),
        (
            ["stage", "prompts", "--spec", "{}", "--output", "a", "b"],
            "unexpected extra argument",
            "seediff stage prompts",
        ),
        (["stage", "train", "--processes", "0"], "'--processes'", "seediff stage train"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ") and said in first
    assert second == f"See `{command} --help`."


@pytest.mark.parametrize(
    ("arguments", "repeated"),
    [
        ("--images a b --output c", "--images a --images b --output c"),
        ("--images --output c", "--output c"),
        ("--output c --images", "--output c"),
        ("--output c d --images a", "--output c d --images a"),
        ("--images a --images b", "--images a --images b"),
    ],
)
def test_a_list_takes_any_number_of_values(arguments: str, repeated: str) -> None:
    assert [*_repeated(arguments.split(), {"--images"})] == repeated.split()


def test_a_job_is_recorded_with_its_digest_and_files(tmp_path: Path) -> None:
    spec = {"prompt_set": "x", "classes": ["cat"], "per_class": 1}
    prompts = tmp_path / "p.csv"
    record = ("--record", "d1", str(prompts))
    assert main(["stage", "prompts", "--spec", json.dumps(spec), "--output", str(prompts), *record]) == 0
    assert json.loads((tmp_path / ".p.csv.record").read_text())["digest"] == "d1"
