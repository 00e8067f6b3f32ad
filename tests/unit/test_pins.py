"""pyproject.toml bounds dependencies from below, the lock and the conda files pin them, and no file names an index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED_BY_TESTS = ("workflow", "lora", "wordnet", "coco", "huggingface", "onnx", "demo", "docs", "dev")


def requirements(lines: list[str]) -> dict[str, Requirement]:
    """By name, without those on the project itself."""
    wanted = map(Requirement, lines)
    return {each.name.lower().replace("_", "-"): each for each in wanted if each.name != "seediff"}


def pins(lines: list[str]) -> dict[str, str]:
    found = (re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;#]+)", line.split("#")[0].strip()) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


def conda_pins(file: str) -> dict[str, str]:
    content = yaml.safe_load((ROOT / file).read_text())
    return pins(next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)))


EXTRAS = {name: requirements(lines) for name, lines in PROJECT["optional-dependencies"].items()}
DECLARED = requirements(PROJECT["dependencies"]) | {
    name: wanted for extra in NEEDED_BY_TESTS for name, wanted in EXTRAS[extra].items()
}
LOCKED = pins((ROOT / "requirements.lock").read_text().splitlines())


def test_an_installation_leaves_newer_packages_as_they_are() -> None:
    for wanted in [*DECLARED.values(), *EXTRAS["slurm"].values(), *EXTRAS["kernels"].values()]:
        assert re.fullmatch(r">=[0-9.]+", str(wanted.specifier)), wanted


def test_the_lock_holds_what_is_declared() -> None:
    for name, wanted in (DECLARED | EXTRAS["slurm"]).items():
        assert name in LOCKED and wanted.specifier.contains(LOCKED[name]), wanted
    assert len(LOCKED) > len(DECLARED)


@pytest.mark.parametrize("file", ["environment.yml", "environment.detectron2.yml"])
def test_the_conda_files_hold_the_pins_of_the_lock(file: str) -> None:
    pinned = conda_pins(file)
    assert {name: pinned.get(name) for name in DECLARED} == {name: LOCKED[name] for name in DECLARED}


def test_torch_is_the_release_everything_was_measured_on() -> None:
    assert LOCKED["torch"] == "2.13.0"


@pytest.mark.parametrize(
    "file",
    [
        "requirements.lock",
        "pyproject.toml",
        "environment.yml",
        "environment.detectron2.yml",
        "Makefile",
        "environment.py",
        ".ci/run",
    ],
)
def test_no_file_names_a_registry(file: str) -> None:
    text = (ROOT / file).read_text()
    assert not re.search(r"https?://(?!github\.com/)|--(extra-)?index-url|--find-links", text)
