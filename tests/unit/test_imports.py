"""Which parts of the library may import which others (docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "seediff"


def imported(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, and what it imports from them."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    sources = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    named = {f"{node.module}.{alias.name}" for node in sources for alias in node.names}
    return plain | named | {str(node.module) for node in sources}


def imported_at_top(path: Path) -> set[str]:
    """Modules imported when the file is imported."""
    body = ast.parse(path.read_text()).body
    plain = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in body if isinstance(node, ast.ImportFrom) and node.module}


def reaches(modules: set[str], package: str) -> bool:
    return any(module == package or module.startswith(package + ".") for module in modules)


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("masks", "diffusers"),
        ("segmenter", "seediff.attention"),
        ("segmenter", "diffusers"),
        ("datasets", "torch"),
        ("workflow/reporting", "seediff.segmenter.train"),
        (".", "snakemake"),
    ],
)
def test_forbidden_imports(folder: str, forbidden: str) -> None:
    files = list((PACKAGE / folder).rglob("*.py"))
    assert files
    assert not [str(path) for path in files if reaches(imported(path), forbidden)]


WINGS = ("workflow", "embedded", "cli")
LIBRARY = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in WINGS]


@pytest.mark.parametrize("wing", WINGS)
def test_the_library_knows_no_other_wing(wing: str) -> None:
    assert not [str(path) for path in LIBRARY if reaches(imported(path), f"seediff.{wing}")]


def test_the_embedded_world_knows_the_library_alone() -> None:
    files = (PACKAGE / "embedded").rglob("*.py")
    assert not [str(path) for path in files if reaches(imported(path), "seediff.workflow")]


def test_few_modules_lie_outside_the_packages() -> None:
    shared = {"devices", "errors", "extras", "finite", "names", "replacing", "rng", "settings", "versions"}
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", *shared}


@pytest.mark.parametrize("name", ["attention/maps.py", "masks/shards.py", "filtering/pairs.py"])
def test_what_reads_recorded_attention_does_not_know_diffusers(name: str) -> None:
    """Which takes longer to import than a small job runs."""
    assert not reaches(imported(PACKAGE / name), "diffusers")


LIGHT = [
    str(path.relative_to(PACKAGE)) for folder in ("cli", "workflow/study") for path in (PACKAGE / folder).glob("*.py")
]


@pytest.mark.parametrize("name", ["workflow/plan.py", "prompts/prompt_sets.py", "__init__.py", *LIGHT])
def test_the_command_line_starts_without_torch(name: str) -> None:
    assert not any(reaches(imported_at_top(PACKAGE / name), heavy) for heavy in ("torch", "diffusers", "transformers"))


def test_no_file_is_too_long() -> None:
    lengths = {str(path): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_rules_fit_a_screen_or_two() -> None:
    root = PACKAGE.parent
    assert len((root / "Snakefile").read_text().splitlines()) <= 50
    for rules in (root / "rules").glob("*.smk"):
        assert len(rules.read_text().splitlines()) <= 120, rules
