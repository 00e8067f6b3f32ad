"""The smoke study as a git repository with published artifacts, clones of it, and remotes on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, Sharing, Workspace

NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
"""Proxies that never answer, so that every use of the network fails."""
AUTHOR = {f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True)
class Repository(Workspace):
    """A workspace under git and DVC."""

    def run(self, *command: str, **environment: str) -> str:
        """The output of a command that must succeed."""
        code, said = self._call(command, environment)
        assert code == 0, f"{' '.join(command)}\n{said}"
        return said

    def refused(self, *command: str) -> str:
        """The output of a command that must fail."""
        code, said = self._call(command, {})
        assert code != 0, f"{' '.join(command)}\n{said}"
        return said

    def _call(self, command: tuple[str, ...], environment: dict[str, str]) -> tuple[int, str]:
        ran = subprocess.run(
            command, cwd=self.folder, env=_environment(environment), text=True, capture_output=True, timeout=600
        )
        return ran.returncode, ran.stdout + ran.stderr

    def clone(self, folder: Path) -> Repository:
        self.run("git", "clone", "--quiet", str(self.folder), str(folder))
        return Repository(folder)


def _environment(more: dict[str, str]) -> dict[str, str]:
    """Only the folder's repository and cache are used; everything stays on this machine."""
    private = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
    return {**private, **NOWHERE, **AUTHOR, "DVC_NO_ANALYTICS": "1", **more}


@pytest.fixture(scope="session")
def published(finished: Workspace, shared: Sharing) -> Repository:
    """The finished smoke study, published as `make publish` does it. Do not change it: clone it."""
    return Repository(shared("published", lambda folder: _publish(finished, folder)))


def _publish(finished: Workspace, folder: Path) -> None:
    shutil.copytree(finished.folder, folder, symlinks=True, dirs_exist_ok=True)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".gitattributes"):
        shutil.copy(ROOT / name, folder)
    repository = Repository(folder)
    if not (ROOT / ".git").exists():  # the suite runs in an archive, whose settings say that there is no git
        repository.edit(".dvc/config", "# \n    no_scm = true\n", "# $Format:%n    no_scm = true$\n")
    repository.edit("dvc.yaml", "study: mini", "study: smoke")
    repository.edit("dvc.yaml", "      - results/${study}/adapters: {persist: true}\n", "")  # the smoke study has none
    repository.edit("dvc.yaml", "tables/masks.csv", "tables/scenes.csv")
    scores = "      - results/${study}/scores: {persist: true}\n"
    repository.edit("dvc.yaml", scores, scores + scores.replace("scores", "replays"))  # a pass, which mini has none of
    repository.run("git", "init", "--quiet")
    repository.run("dvc", "commit", "--force")
    repository.run("dvc", "push")
    repository.run("git", "add", "--all")
    repository.run("git", "commit", "--quiet", "--message", "Publish")


@pytest.fixture
def pulled(published: Repository, tmp_path: Path) -> Repository:
    """A new clone after `dvc pull`, which tests may edit."""
    clone = published.clone(tmp_path / "clone")
    clone.run("dvc", "pull")
    return clone


@pytest.fixture(scope="session")
def virtual_environment(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """Programs of a separate environment, kept between runs: moto and DVC's plugins need other versions."""

    def make(name: str) -> Path:
        pins = Path(__file__).parent / "requirements" / f"{name}.txt"
        folder = pytestconfig.cache.mkdir("environments") / name
        complete = folder / "complete.txt"
        if not complete.exists() or complete.read_text() != pins.read_text():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run(["python3", "-m", "venv", folder], check=True)
            install = [folder / "bin" / "pip", "install", "--quiet", "--no-deps", "--requirement", pins]
            installed = subprocess.run(install, text=True, capture_output=True)
            if installed.returncode:
                pytest.skip(f"{pins.name} cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
            shutil.copy(pins, complete)
        return folder / "bin"

    return make
