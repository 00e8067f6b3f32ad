"""Workspaces for the workflow, and one finished run of the smoke study that the tests share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # there is a process for each core; read when torch is imported
COUNT = re.compile(r"^(\w+)\s+(\d+)$", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full-size", action="store_true", help="run the tests of full-size architectures too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full-size"):
        for item in items:
            if "full_size" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="minutes and gigabytes: give --full-size"))


@dataclass(frozen=True)
class Workspace:
    """A folder with a copy of the workflow; ``code`` goes before the installed package where a test edits it."""

    folder: Path

    def snakemake(self, *arguments: str, study: str = "smoke", **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["snakemake", "--cores", "2", *arguments, "--config", f"study={study}"]
        return subprocess.run(
            command, cwd=self.folder, env={**os.environ, **environment}, text=True, capture_output=True, timeout=900
        )

    def planned(self, *arguments: str, study: str = "smoke", **environment: str) -> dict[str, int]:
        """Jobs by rule that a run would execute."""
        dry = self.snakemake("--dry-run", *arguments, study=study, **environment)
        assert dry.returncode == 0, dry.stdout + dry.stderr
        table = (dry.stdout + dry.stderr).partition("Job stats:")[2].partition("total")[0]
        return {rule: int(number) for rule, number in COUNT.findall(table)}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))


def make_workspace(folder: Path) -> Workspace:
    for name in ("rules", "config", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "assets").symlink_to(ROOT / "assets")
    return Workspace(folder)


Sharing = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Sharing:
    """``shared(name, fill)``: a folder filled once for all processes of this test run; do not change it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def share(name: str, fill: Callable[[Path], None]) -> Path:
        folder, filled = root / name, root / f"{name}.filled"
        with FileLock(root / f"{name}.lock"):
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return share


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workflow before any run."""
    return make_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="session")
def finished(shared: Sharing) -> Workspace:
    """The workflow after one run of the smoke study. Do not change it: use ``copy_of_finished``."""

    def run_smoke(folder: Path) -> None:
        run = make_workspace(folder).snakemake()
        assert run.returncode == 0, run.stdout + run.stderr

    return Workspace(shared("finished", run_smoke))


@pytest.fixture
def copy_of_finished(finished: Workspace, tmp_path: Path) -> Workspace:
    """A finished smoke study that the test may edit."""
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder, symlinks=True)
    return Workspace(folder)
