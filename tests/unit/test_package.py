"""What a source distribution and a wheel hold, and what an installation of the wheel can do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement

import seediff
from seediff.extras import EXTRAS
from tests.conftest import ROOT, Workspace

PARTS = {
    "seediff", "assets", "config", "profiles", "rules", "Snakefile", "benchmarks", "docs", "CHANGELOG.md",
    "CITATION.cff", "README.md", "LICENSE", "Makefile", "environment.py", "environment.yml",
    "environment.detectron2.yml", "requirements.lock", "pyproject.toml", "PKG-INFO", ".gitignore",
}  # fmt: skip


def build(target: str, project: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    built = subprocess.run(command, cwd=project, text=True, capture_output=True)
    assert built.returncode == 0, built.stderr
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a source distribution of this checkout unpacks to."""
    folder = tmp_path_factory.mktemp("unpacked")
    archive = build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)  # Python 3.11.2 cannot do so safely
    (project,) = folder.iterdir()
    return project


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution."""
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


def files(package: Path) -> set[str]:
    found = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(package.parent)) for path in found}


def test_it_holds_no_artifacts_and_no_keys(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir()} == PARTS


def test_the_wheel_holds_the_whole_package_and_the_embedded_model(wheel: Path) -> None:
    model = {f"seediff/assets/{name}" for name in files(ROOT / "assets" / "pictograms")}
    with ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.startswith("seediff/")} == files(ROOT / "seediff") | model


def test_an_editable_installation_copies_nothing(tmp_path: Path) -> None:
    with ZipFile(build("wheel:editable", ROOT, tmp_path)) as archive:
        assert not [name for name in archive.namelist() if name.startswith("seediff/")]


def test_the_wheel_has_every_extra_that_code_asks_for(wheel: Path) -> None:
    about = metadata(wheel)
    assert set(EXTRAS) <= set(about.get_all("Provides-Extra", []))
    assert about["Version"] == seediff.__version__


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == seediff.__version__


@pytest.mark.slow
def test_an_installed_wheel_draws_with_the_core_alone(wheel: Path, tmp_path: Path) -> None:
    """In a new environment, with the packages that the wheel requires and no others."""
    python = install(wheel, tmp_path / "venv")
    generate = ["generate", "--model", "pictograms", "--class", "cat", "--number", "1", "--steps", "2"]
    drawn = run(python, tmp_path, *generate, "--output", "pairs")
    assert drawn.returncode == 0, drawn.stderr
    assert len(list(tmp_path.glob("pairs/train/masks/*.png"))) == 1
    refused = run(python, tmp_path, "check", "smoke")
    assert refused.returncode == 1
    assert re.fullmatch(r'error: .*pandas.* not installed: pip install "seediff\[workflow\]"\n', refused.stderr)


def install(wheel: Path, folder: Path) -> Path:
    """A virtual environment with the wheel, and links to what it requires; returns its Python."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in required(metadata(wheel).get_all("Requires-Dist", [])):
        for file in distribution(name).files or ():
            top = file.parts[0]
            link = packages / top
            if top not in ("..", "__pycache__") and not link.is_symlink():
                link.symlink_to(distribution(name).locate_file(top))
    return python


def required(lines: Iterable[str]) -> set[str]:
    """The names of what is required without extras, of what that requires, and so on."""
    found: set[str] = set()
    left = [*lines]
    while left:
        wanted = Requirement(left.pop())
        if wanted.name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(wanted.name)
        left += distribution(wanted.name).requires or []
    return found


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the installed program, without this checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(python.with_name("seediff")), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)


def test_its_workflow_plans_the_embedded_study(unpacked: Path) -> None:
    assert Workspace(unpacked).planned(study="mini")["all"] == 1
