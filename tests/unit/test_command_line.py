"""How the program answers: help without heavy imports, usage errors in two lines, and options that take lists."""

from __future__ import annotations

import subprocess
import sys

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
        (["check", "mini", "--wrods"], "--words", "seediff check"),
        (["check"], "Missing argument 'study'", "seediff check"),
        (["status"], "Missing option '--study'", "seediff status"),
        (["check", "mini", "paper"], "(paper)", "seediff check"),
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
