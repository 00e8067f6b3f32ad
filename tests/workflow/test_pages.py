"""The pages that Sphinx builds of docs/, and the notebook."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import seediff
from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs/masks-step-by-step.ipynb"


@pytest.mark.slow
def test_pages_are_built_and_have_the_whole_api(tmp_path: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    command = ["-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html", "docs", str(tmp_path)]
    built = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    inventory = InventoryFile.loads((tmp_path / "objects.inv").read_bytes(), uri="")
    known = {name for kind, entries in inventory.data.items() if kind.startswith("py:") for name in entries}
    public = {f"seediff.{name}" for name in seediff.__all__ if name != "__version__"}
    assert public - known == set()
    explained = re.findall(r"<li><p><code[^>]*><span[^>]*>(\w+)</span></code>: ", (tmp_path / "api.html").read_text())
    assert {"adapter", "timesteps", "alpha", "cross_attention"} <= {*explained}  # arguments are items of a list


@pytest.mark.slow
def test_notebook_prints_what_it_shows() -> None:
    import nbformat
    from nbclient import NotebookClient

    kept = nbformat.read(NOTEBOOK, as_version=4)
    again = NotebookClient(nbformat.read(NOTEBOOK, as_version=4), timeout=300, kernel_name="python3").execute()
    assert texts(again) == texts(kept)
    assert any("sure positions" in text for text in texts(kept))
    assert pictures(again) == pictures(kept) == 6


def texts(notebook: Any) -> list[str]:
    return [output["text"] for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output]


def pictures(notebook: Any) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)
