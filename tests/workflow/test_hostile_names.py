"""Shell metacharacters in a study pass through the workflow's real rules and do nothing there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seediff.files.sealed import read_csv
from tests.conftest import Workspace, make_workspace

SMOKE = "config/studies/smoke.yaml"
WORDS = (
    "$(touch pwned)", "`touch pwned`", "; touch pwned #", "| touch pwned", "&& touch pwned", "' touch pwned '",
    '" touch pwned "', "\\\\ x", "> pwned", "{wildcards} {params.spec} {{x}}", "%s $HOME ~ * ? [a]", "--output x",
    "猫 🐱",
)  # fmt: skip


def yaml_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.fixture
def hostile(tmp_path: Path) -> Workspace:
    """The smoke study in a folder and with a model, a template and headings that a shell would interpret."""
    workspace = make_workspace(tmp_path / "it's $(touch pwned); {x} 猫")
    model = "assets/$(touch pwned); 'x' 猫"
    (workspace.folder / "assets").unlink()
    shutil.copytree(Path(__file__).parents[2] / "assets" / "pictograms", workspace.folder / model)
    workspace.edit(SMOKE, "model: assets/pictograms", f"model: {yaml_text(model)}")
    template = yaml_text("a photo of a {word} $(touch pwned)")
    workspace.edit(SMOKE, "basic: {per_class: 3}", f"basic: {{per_class: 3, template: {template}}}")
    workspace.edit(SMOKE, "title: Two variants", f"title: {yaml_text('; touch pwned; {x} $(touch pwned)')}")
    workspace.edit(SMOKE, "label: CAA,", f"label: {yaml_text('`touch pwned` {wildcards.x}')},")
    return workspace


def assert_harmless(workspace: Workspace) -> None:
    assert not list(workspace.folder.parent.rglob("pwned*"))


def test_class_words_that_are_commands(hostile: Workspace) -> None:
    words = {f"class {number}": word for number, word in enumerate(WORDS)}
    lines = [f"    words: {{{', '.join(f'{name}: {yaml_text(word)}' for name, word in words.items())}}}"]
    lines += [f"    classes: [{', '.join(words)}]", "    per_class: 1"]
    hostile.edit(SMOKE, "prompt_sets:\n", "\n".join(["prompt_sets:", "  hostile:", *lines, ""]))
    run = hostile.snakemake("results/smoke/prompts/hostile.csv", "results/smoke/prompts/basic.csv")
    assert run.returncode == 0, run.stdout + run.stderr
    rows = read_csv(hostile.folder / "results/smoke/prompts/hostile.csv", "The prompt set")
    assert {row["class_name"]: row["class_word"] for row in rows} == words
    assert_harmless(hostile)


@pytest.mark.slow
def test_every_job_of_a_hostile_study(hostile: Workspace) -> None:
    """From prompts to the tables: all text of a study is in the commands of some job."""
    run = hostile.snakemake("results/smoke/tables/table2.md", "results/smoke/judged/scenes.json")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "$(touch pwned)" in (hostile.folder / "results/smoke/tables/table2.md").read_text()
    assert_harmless(hostile)


@pytest.mark.parametrize("name", ["$(touch pwned)", "../x", "{x}"])
def test_class_names_that_are_no_names(tmp_path: Path, name: str) -> None:
    workspace = make_workspace(tmp_path / "workspace")
    workspace.edit(SMOKE, "classes: [cat, car]", f"classes: [{yaml_text(name)}, car]")
    run = workspace.snakemake("--dry-run")
    assert run.returncode == 1 and "cannot be used as a name" in run.stderr
    assert_harmless(workspace)
