"""Code that needs an extra names it if a package is missing, and programs import only what they need."""

from __future__ import annotations

import subprocess
import sys

import pytest
from torch import nn

from seediff.adaptation.adapter import add_adapter
from seediff.adaptation.settings import AdapterSettings
from seediff.extras import EXTRAS, MissingExtraError, require_extra

HEAVY = ("torch", "diffusers", "transformers", "snakemake", "pydantic", "pandas", "matplotlib", "scipy")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", f"import sys; {code}"], text=True, capture_output=True)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_that_is_there_is_not_asked_for(extra: str) -> None:
    require_extra(extra)


def test_an_adapter_needs_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError) as error:
        add_adapter(nn.Linear(1, 1), AdapterSettings(prompts=("a photo",)))
    assert str(error.value) == 'peft not installed: pip install "seediff[lora]"'


@pytest.mark.parametrize("command", ["['check', 'smoke']", "['show', 'table.csv']", "['stage', 'train']"])
def test_commands_of_the_workflow_need_its_extra(command: str) -> None:
    called = run(f"sys.modules['jinja2'] = None; from seediff.cli import main; sys.exit(main({command}))")
    assert called.returncode == 1
    assert called.stderr == 'error: jinja2 not installed: pip install "seediff[workflow]"\n'


@pytest.mark.parametrize("start", ["import seediff", "from seediff.cli import main; main(['--help'])"])
def test_it_starts_light(start: str) -> None:
    called = run(f"import atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); {start}")
    assert not set(HEAVY) & set(called.stderr.split())
    assert "seediff" in called.stderr.split()
