"""The three places that name dependencies agree, and none of them names where packages come from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def pins(lines: list[str]) -> dict[str, str]:
    found = (re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;#]+)", line.split("#")[0].strip()) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


@pytest.fixture
def declared() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert len(pins(wanted)) == len(wanted), "every dependency is pinned"
    return pins(wanted)


def test_the_lock_holds_every_declared_pin(declared: dict[str, str]) -> None:
    locked = pins((ROOT / "requirements.lock").read_text().splitlines())
    assert {name: locked.get(name) for name in declared} == declared
    assert len(locked) > len(declared)


def test_the_conda_file_holds_the_same_pins(declared: dict[str, str]) -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    by_pip = next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict))
    assert pins(by_pip) == declared


def test_the_detectron2_environment_holds_them_too(declared: dict[str, str]) -> None:
    content = yaml.safe_load((ROOT / "environment.detectron2.yml").read_text())
    by_pip = pins(next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)))
    assert {name: by_pip.get(name) for name in declared} == declared


def test_torch_is_the_release_everything_was_measured_on(declared: dict[str, str]) -> None:
    assert declared["torch"] == "2.13.0"


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
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
