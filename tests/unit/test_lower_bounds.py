"""The library with exactly the oldest packages that pyproject.toml allows, in a virtual environment made of them.

    pytest -m lower_bounds

It takes minutes and gigabytes: pip chooses the build of torch, as it does for `make setup`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seediff.extras import EXTRAS
from tests.conftest import ROOT
from tests.unit.test_imports import imported, reaches
from tests.unit.test_pins import EXTRAS as DECLARED_EXTRAS
from tests.unit.test_pins import LOCKED, PROJECT, requirements

pytestmark = pytest.mark.lower_bounds

BOUNDS = {
    name: next(iter(wanted.specifier)).version
    for name, wanted in (requirements(PROJECT["dependencies"]) | DECLARED_EXTRAS["lora"]).items()
}
TEST_TOOLS = ("pytest", "hypothesis", "torchmetrics")

DRAW = """
import sys
import numpy as np, torch, seediff
pipe = seediff.load("pictograms")
with seediff.record_attention(pipe) as recording:
    generator = torch.Generator().manual_seed(3)
    image = pipe("a photo of a cat", num_inference_steps=10, guidance_scale=2.0, generator=generator).images[0]
score = seediff.make_score(recording.maps[0], "cat", variant="seediff")
mask = seediff.make_mask(recording.maps[0], "cat", image=image, variant="seediff")
np.savez(sys.argv[1], image=np.asarray(image), score=score, mask=mask)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The environment's Python. torch is installed first, so that the rest fits its build, and the project last."""
    folder = tmp_path_factory.mktemp("lower_bounds")
    venv.create(folder, symlinks=True, with_pip=True)
    python = folder / "bin" / "python"
    oldest = [f"{name}=={version}" for name, version in BOUNDS.items()]
    tools = [f"{name}=={LOCKED[name]}" for name in TEST_TOOLS]
    install(python, f"torch=={BOUNDS['torch']}", f"numpy=={BOUNDS['numpy']}")
    install(python, *oldest, *tools)
    install(python, str(ROOT))
    yield python
    shutil.rmtree(folder)


def install(python: Path, *packages: str) -> None:
    uv = shutil.which("uv")
    command = [uv, "pip", "install", "--python"] if uv else [sys.executable, "-m", "pip", "--python"]
    subprocess.run([*command, str(python), *([] if uv else ["install"]), "--quiet", *packages], check=True)


def call(python: Path, folder: Path, *arguments: str) -> str:
    """The output of a call that must succeed, without this process's settings for Python."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([str(python), *arguments], cwd=folder, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def library_tests() -> list[str]:
    """Test files of the library that need no extra but ``lora``."""
    more = [module for extra, modules in EXTRAS.items() if extra != "lora" for module in modules]
    others = ("seediff.workflow", "seediff.extras", "tests.stages", *more)
    files = {path: imported(path) for path in sorted((ROOT / "tests" / "unit").glob("test_*.py"))}
    return [
        str(path)
        for path, modules in files.items()
        if reaches(modules, "seediff") and not any(reaches(modules, other) for other in others)
    ]


def test_installing_the_project_changes_no_package(python: Path) -> None:
    listed = json.loads(call(python, ROOT, "-m", "pip", "list", "--format", "json"))
    versions = {package["name"].lower(): package["version"].partition("+")[0] for package in listed}
    assert {name: versions[name] for name in BOUNDS} == {
        name: version if version.count(".") > 1 else f"{version}.0" for name, version in BOUNDS.items()
    }


def test_it_draws_what_is_drawn_here(python: Path, tmp_path: Path) -> None:
    call(python, tmp_path, "-c", DRAW, "there.npz")
    call(Path(sys.executable), ROOT, "-c", DRAW, str(tmp_path / "here.npz"))
    there, here = np.load(tmp_path / "there.npz"), np.load(tmp_path / "here.npz")
    assert np.abs(there["image"].astype(int) - here["image"]).max() <= 2
    np.testing.assert_allclose(there["score"], here["score"], atol=1e-3)
    assert (there["mask"] == here["mask"]).mean() > 0.999


def test_the_program_draws(python: Path, tmp_path: Path) -> None:
    options = ("--model", "pictograms", "--class", "cat", "--number", "1", "--steps", "2", "--output", "pairs")
    call(python, tmp_path, "-m", "seediff.cli", "generate", *options)
    assert len([*tmp_path.glob("pairs/train/masks/*.png")]) == 1


def test_the_tests_of_the_library_pass(python: Path) -> None:
    files = library_tests()
    assert len(files) > 20
    call(python, ROOT, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not slow and not fuzz", *files)
