"""`make setup` of a small project without a package index: its torch is a single file, and it builds itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tiny_backend import write_wheel

PYPROJECT = """
[build-system]
requires = []
build-backend = "tiny_backend"
backend-path = ["."]

[project]
name = "seediff"
version = "0.1.0"

[tool.ruff]
line-length = 120
"""
TORCH = "2.13.0"


@dataclass(frozen=True)
class Project:
    """A folder with the Makefile, and an index of packages beside it."""

    folder: Path
    index: Path

    def start(self, *command: str) -> subprocess.Popen[str]:
        # Without the settings that an outer `make test` passes on to inner makes.
        theirs = ("PIP_", "PYTHON", "MAKE", "MFLAGS")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index), "PIP_CONFIG_FILE": os.devnull}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**environment, **pip},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def setup(self, *settings: str) -> str:
        """The output of a call that must succeed."""
        call = self.start("make", "setup", *settings)
        said, _ = call.communicate(timeout=300)
        assert call.returncode == 0, said
        return said

    def refused(self) -> str:
        call = self.start("make", "setup")
        said, _ = call.communicate(timeout=300)
        assert call.returncode != 0, said
        return said

    def python(self, code: str) -> str:
        """The output of the environment's Python."""
        command = [self.folder / ".venv/bin/python", "-I", "-c", code]
        return subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip()

    def assert_whole(self) -> None:
        assert self.python("import seediff; print(seediff.__file__)") == str(self.folder / "seediff/__init__.py")
        assert self.python("import torch; print(torch.__version__)") == TORCH
        assert [path.name for path in self.folder.glob(".venv*") if path.is_dir()] == [".venv"]


def make_project(folder: Path) -> Project:
    """A project whose environment is not built yet."""
    project = Project(folder / "project", folder / "index")
    project.index.mkdir()
    (project.folder / "seediff").mkdir(parents=True)
    (project.folder / "seediff/__init__.py").touch()
    for name in ("Makefile", "environment.py", "tests/tiny_backend.py"):
        shutil.copy(ROOT / name, project.folder)
    (project.folder / "pyproject.toml").write_text(PYPROJECT)
    (project.folder / "requirements.lock").write_text(f"torch=={TORCH}\n")
    write_wheel(project.index, "torch", TORCH, {"torch.py": f"__version__ = {TORCH!r}\n"})
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with its environment. Tests must leave it complete."""
    project = make_project(tmp_path_factory.mktemp("built"))
    assert "Building .venv" in project.setup()
    project.assert_whole()
    return project


def without_index(project: Project) -> Project:
    return replace(project, index=project.folder / "seediff")


def test_what_has_not_changed_is_not_installed_again(built: Project) -> None:
    """Also without an index, with any time stamps, and with settings of other tools."""
    for file in built.folder.iterdir():
        os.utime(file)
    path = built.folder / "pyproject.toml"
    path.write_text(path.read_text().replace("120", "100"))
    assert without_index(built).setup() == ""
    built.assert_whole()


@pytest.mark.slow
def test_an_environment_stays_where_its_successor_cannot_be_built(built: Project) -> None:
    lock = built.folder / "requirements.lock"
    lock.write_text("torch==2.14.0\n")
    said = built.refused()
    assert "No matching distribution found for torch==2.14.0" in said
    assert "error: The environment could not be built: pip ended with 1" in said
    built.assert_whole()
    lock.write_text(f"torch=={TORCH}\n")
    assert without_index(built).setup() == ""


@pytest.mark.slow
def test_a_copied_folder_runs_its_own_code(built: Project) -> None:
    other = Project(built.folder.with_name("other"), built.index)
    shutil.copytree(built.folder, other.folder, symlinks=True)
    assert "Building .venv" in other.setup()
    other.assert_whole()
    assert built.setup() == ""
    built.assert_whole()


@pytest.mark.slow
def test_of_two_calls_one_waits(project: Project) -> None:
    calls = [project.start("make", "setup") for _ in range(2)]
    said = sorted(call.communicate(timeout=300)[0] for call in calls)
    assert [call.returncode for call in calls] == [0, 0], said
    assert "Building .venv" in said[0]
    assert said[1] == "Waiting for another `make setup` in this folder.\n"
    project.assert_whole()


@pytest.mark.robustness
@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["it alone", "with its programs"])
@pytest.mark.parametrize("moment", [".venv/bin/python", ".venv/**/pip", ".venv/**/torch.py", ".venv/**/seediff.pth"])
def test_after_a_kill_it_begins_anew(project: Project, moment: str, kill: Callable[[int, int], None]) -> None:
    """If programs that the killed call started still run, the next call waits for them."""
    call = project.start(sys.executable, "environment.py")
    while not any(project.folder.glob(moment)):
        assert call.poll() is None, f"{moment} never came"
        time.sleep(0.01)
    kill(call.pid, signal.SIGKILL)
    call.wait()
    assert "Building .venv" in project.setup()
    project.assert_whole()
    assert project.setup() == ""


@pytest.mark.robustness
def test_a_former_environment_outlives_a_kill(built: Project) -> None:
    lock = built.folder / "requirements.lock"
    lock.write_text(f"torch=={TORCH}\n# changed\n")
    call = built.start(sys.executable, "environment.py")
    while not ((built.folder / ".venv.former").exists() and any(built.folder.glob(".venv/**/torch.py"))):
        assert call.poll() is None
        time.sleep(0.01)
    os.killpg(call.pid, signal.SIGKILL)
    call.wait()
    lock.write_text(f"torch=={TORCH}\n")
    assert without_index(built).setup() == ""
    built.assert_whole()


@pytest.mark.robustness
def test_a_changed_lock_is_followed(project: Project) -> None:
    project.setup()
    write_wheel(project.index, "more", "1.0", {"more.py": ""})
    (project.folder / "requirements.lock").write_text(f"more==1.0\ntorch=={TORCH}\n")
    assert "Building .venv" in project.setup()
    project.assert_whole()
    project.python("import more")


@pytest.mark.robustness
def test_the_python_that_was_chosen_stays(project: Project) -> None:
    other = other_python()
    assert "Building .venv" in project.setup(f"PYTHON={other}")
    version = project.python("import sys; print(sys.version_info[:2])")
    assert version != str(sys.version_info[:2])
    assert project.setup() == ""
    assert "Building .venv" in project.setup(f"PYTHON={sys.executable}")
    assert project.python("import sys; print(sys.version_info[:2])") == str(sys.version_info[:2])


def other_python() -> str:
    """One of another version that can run the project."""
    for minor in range(11, 20):
        program = shutil.which(f"python3.{minor}")
        if program and minor != sys.version_info.minor and not subprocess.call([program, "-c", ""]):
            return program
    pytest.skip("there is no other Python of version 3.11 or newer")
