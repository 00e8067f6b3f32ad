"""What a source distribution holds, and what is built from it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT, Workspace

PARTS = {
    "seediff", "assets", "config", "profiles", "rules", "Snakefile", "benchmarks", "docs", "CHANGELOG.md", "README.md",
    "LICENSE", "Makefile", "environment.py", "environment.yml", "environment.detectron2.yml", "requirements.lock",
    "pyproject.toml", "PKG-INFO", ".gitignore",
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
    with tarfile.open(build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))) as archive:
        archive.extractall(folder, filter="data")
    (project,) = folder.iterdir()
    return project


def files(package: Path) -> set[str]:
    found = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(package.parent)) for path in found}


def test_it_holds_no_artifacts_and_no_keys(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir()} == PARTS


def test_its_wheel_holds_the_whole_package(unpacked: Path, tmp_path: Path) -> None:
    with ZipFile(build("wheel", unpacked, tmp_path)) as wheel:
        assert {name for name in wheel.namelist() if name.startswith("seediff/")} == files(ROOT / "seediff")


def test_its_workflow_plans_the_embedded_study(unpacked: Path) -> None:
    assert Workspace(unpacked).planned(study="mini")["all"] == 1
