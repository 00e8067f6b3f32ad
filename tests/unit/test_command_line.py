"""How the program answers: help without heavy imports, usage errors in two lines, and options that take lists."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from seediff.cli import main, program
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


def full_gpu(_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")


@pytest.mark.parametrize(
    "work", [full_gpu, lambda _: bytes(2**62), lambda _: np.zeros(2**58), lambda _: torch.zeros(2**58)]
)
def test_too_little_memory_is_no_traceback(
    work: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "_run", work)
    assert main([]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: There is not enough memory: ")
    assert second == "Lower --batch-size, height or width."


def test_other_errors_of_the_runtime_stay_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_run", lambda _: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        main([])
