"""Which parts of the library may know which others (docs/architecture.md)."""

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
    """Modules imported when the file is."""
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
        ("reporting", "seediff.segmenter.train"),
        (".", "snakemake"),
    ],
)
def test_forbidden_imports(folder: str, forbidden: str) -> None:
    files = list((PACKAGE / folder).rglob("*.py"))
    assert files
    assert not [str(path) for path in files if reaches(imported(path), forbidden)]


LIBRARY = [
    "attention", "masks", "datasets", "segmenter", "filtering", "adaptation", "bounds.py", "diffusion_outputs.py",
    "finite.py", "generation.py", "mask_quality.py", "model_files.py", "names.py", "prompts.py", "synthesis.py",
    "tensor_files.py", "versions.py", "words.py",
]  # fmt: skip
WORKFLOW = [
    "cli", "estimate", "failures", "jobs", "leftovers", "plan", "progress", "sources", "specs", "stages", "status",
    "study",
]  # fmt: skip


@pytest.mark.parametrize("part", LIBRARY)
def test_the_library_does_not_know_the_workflow(part: str) -> None:
    files = [PACKAGE / part] if part.endswith(".py") else list((PACKAGE / part).rglob("*.py"))
    assert files
    for path in files:
        assert not [module for module in WORKFLOW if reaches(imported(path), f"seediff.{module}")], path


def test_recorded_maps_do_not_know_diffusers() -> None:
    assert not reaches(imported(PACKAGE / "attention" / "maps.py"), "diffusers")


LIGHT = [str(path.relative_to(PACKAGE)) for folder in ("cli", "study") for path in (PACKAGE / folder).glob("*.py")]


@pytest.mark.parametrize("name", ["plan.py", "prompts.py", "__init__.py", *LIGHT])
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
