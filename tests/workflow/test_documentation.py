"""What README and docs print works: commands are run dry, settings are read, files exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from seediff.cli import main
from seediff.errors import SeediffError
from seediff.generation.settings import read_data_set
from seediff.workflow.study.load import parse_study
from tests.conftest import ROOT, Workspace

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
OTHERS = (
    "awk",
    "cd",
    "conda",
    "export",
    "git",
    "hf",
    "nano",
    "pip",
    "rm",
    "sort",
    "squeue",
    "tmux",
    "torchrun",
    "xargs",
    ".",
)
"""Other programs, in lines that people adapt to their machine."""


@dataclass(frozen=True)
class Printed:
    """A fenced block of a page."""

    page: str
    language: str
    text: str


def printed(language: str) -> list[Printed]:
    return [
        Printed(str(page.relative_to(ROOT)), language, text)
        for page in PAGES
        for found, text in FENCED.findall(page.read_text())
        if found == language
    ]


def commands() -> list[tuple[str, str]]:
    """Page and command, each once, without comments and continued lines."""
    found = {}
    for block in printed("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for command in " ".join(map(shlex.quote, words)).replace("'&&'", "&&").replace("'|'", "|").split(" && "):
                if command and command.split()[0] not in OTHERS:
                    found.setdefault(command, block.page)
    return [(page, command) for command, page in found.items()]


COMMANDS = commands()


def of_program(program: str) -> list[str]:
    return [command for _, command in COMMANDS if command.split()[0] == program]


def run(command: list[str], folder: Path = ROOT) -> str:
    ran = subprocess.run(command, cwd=folder, env=os.environ, text=True, capture_output=True, timeout=300)
    assert ran.returncode == 0, f"{shlex.join(command)}\n{ran.stdout}{ran.stderr}"
    return ran.stdout + ran.stderr


def test_every_program_is_looked_at() -> None:
    assert {command.split()[0] for _, command in COMMANDS} == {
        "cp",
        "dvc",
        "make",
        "pytest",
        "python",
        "ruff",
        "seediff",
        "snakemake",
    }


@pytest.mark.parametrize("command", of_program("make"))
def test_make(command: str) -> None:
    assert "pip" not in run([*shlex.split(command), "--dry-run"])


@pytest.mark.parametrize("command", of_program("pytest"))
def test_pytest(command: str, pytestconfig: pytest.Config) -> None:
    """Its markers, folders and options exist; collecting the tests again would take long."""
    _, *words = shlex.split(command)
    markers = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    for before, word in zip(["", *words], words, strict=False):
        known = word in ("-m", "--full-size") if word.startswith("-") else (ROOT / word).exists()
        assert word in markers if before == "-m" else known, word


@pytest.mark.parametrize("command", of_program("ruff"))
def test_ruff(command: str) -> None:
    run(shlex.split(command))


@pytest.mark.parametrize("command", of_program("python"))
def test_modules_take_the_options(command: str) -> None:
    _, flag, module, *arguments = shlex.split(command)
    help_text = run([sys.executable, flag, module, "--help"])
    options = [word for word in arguments if word.startswith("--")]
    assert [option for option in options if option not in help_text.split()] == []


@pytest.mark.parametrize("command", of_program("seediff"))
def test_seediff(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Wrong options end in 2; missing models, images and data, or asking for no image, in 1."""
    monkeypatch.chdir(workspace.folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    words = shlex.split(command.replace("--number 20", "--number 0"))[1:]
    assert main([*words, "--help"] if words[0] == "demo" else words) in (0, 1)  # a page is served until it is stopped


@pytest.mark.parametrize("command", of_program("dvc"))
def test_dvc_takes_the_options(command: str) -> None:
    words = shlex.split(command)
    names = words[1:3] if words[1] in ("remote", "metrics", "params", "plots") else words[1:2]
    help_text = run(["dvc", *names, "--help"])
    assert [word for word in words if word.startswith("--") and word not in re.split(r"[\s,\[\]]", help_text)] == []


@pytest.mark.parametrize("command", of_program("snakemake"))
def test_snakemake(workspace: Workspace, command: str) -> None:
    """With the smallest study, for the time that planning takes."""
    if "dataset=" in command:  # needs the file that it names
        (workspace.folder / "pets.yaml").write_text(DATA_SETS[0].text)
    words = shlex.split(re.sub(r"study=\w+", "study=smoke", command))
    run([*words, "--dry-run", "--quiet", "all"], workspace.folder)


WHOLE = [block for block in printed("yaml") if not block.text.startswith(" ")]
DATA_SETS = [block for block in WHOLE if block.text.startswith("model:")]
SECTIONS = [block for block in WHOLE if block not in DATA_SETS]


@pytest.mark.parametrize("block", DATA_SETS, ids=lambda block: block.page)
def test_settings_of_data_sets_are_read(block: Printed, tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text(block.text)
    assert read_data_set(tmp_path / "set.yaml").images == 200


@pytest.mark.parametrize("block", SECTIONS, ids=lambda block: block.page)
def test_settings_fit_a_study(block: Printed) -> None:
    """Each fragment, put into a shipped study in place of the section of its name."""
    problems = [problem_in(name, yaml.safe_load(block.text)) for name in ("mini", "paper")]
    assert None in problems, problems


def problem_in(name: str, fragment: dict[str, Any]) -> str | None:
    study = yaml.safe_load((ROOT / f"config/studies/{name}.yaml").read_text())
    changed = {section: {**study.get(section, {}), **content} for section, content in fragment.items()}
    try:
        parse_study(study | changed)
    except SeediffError as error:
        return str(error)
    return None


@cache
def named_paths() -> list[tuple[str, str]]:
    """Page and path of everything that pages name as a file or folder of the repository."""
    named = re.compile(r"`((?:seediff|tests|rules|config|benchmarks|profiles|assets|docs)/[\w/.-]*)`")
    return sorted({(str(page.relative_to(ROOT)), path) for page in PAGES for path in named.findall(page.read_text())})


def test_named_files_exist() -> None:
    assert len(named_paths()) > 20
    assert [(page, path) for page, path in named_paths() if not (ROOT / path).exists()] == []


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append((str(page.relative_to(ROOT)), target))
    assert broken == []
