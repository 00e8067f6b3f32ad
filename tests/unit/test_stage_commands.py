"""The commands that the rules call, one for each stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seediff.cli import main
from seediff.workflow.records import Record


@pytest.mark.parametrize(
    ("arguments", "said", "command"),
    [
        (["refin"], "Did you mean 'refine'", "seediff stage"),
        (["prompts", "--spec", "{}", "--output", "a", "b"], "unexpected extra argument", "seediff stage prompts"),
        (["train", "--processes", "0"], "'--processes'", "seediff stage train"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", *arguments]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ") and said in first
    assert second == f"See `{command} --help`."


def test_a_job_is_recorded_with_its_digest_and_files(tmp_path: Path) -> None:
    spec = {"prompt_set": "x", "classes": ["cat"], "per_class": 1}
    prompts = tmp_path / "p.csv"
    record = ("--record", "d1", str(prompts))
    assert main(["stage", "prompts", "--spec", json.dumps(spec), "--output", str(prompts), *record]) == 0
    assert Record.model_validate_json((tmp_path / ".p.csv.record").read_bytes()).digest == "d1"
