"""A data set of one's own words through Snakemake: in parts, gone on with, and the same as by one command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from seediff.datasets.annotated import open_annotated
from seediff.diffusion.model_files import embedded_folder
from tests.conftest import make_workspace


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = ["snakemake", "--cores", "1", *more, "--config", "dataset=pets.yaml"]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=600)


def test_a_data_set_in_parts(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    workspace.edit("rules/dataset.smk", "IMAGES_PER_JOB = 100", "IMAGES_PER_JOB = 2")
    settings = {
        "model": str(embedded_folder()),
        "classes": ["cat"],
        "images": 3,
        "drawing": {"steps": 1, "batch_size": 1},
    }
    (tmp_path / "pets.yaml").write_text(yaml.safe_dump(settings))
    dry = run(tmp_path, "--dry-run")
    assert "draw_dataset" in dry.stdout and dry.returncode == 0
    assert not (tmp_path / "results").exists()
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    made = tmp_path / "results/pets"
    assert len(open_annotated(made)) == 3
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.png")}
    assert "Nothing to be done" in run(tmp_path).stdout + run(tmp_path).stderr
    (tmp_path / "pets.yaml").write_text(yaml.safe_dump({**settings, "classes": ["cat", "bus"]}))
    assert run(tmp_path).returncode == 0
    assert len(open_annotated(made)) == 6
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (tmp_path / "pets.yaml").write_text(yaml.safe_dump({**settings, "classes": ["bus"]}))
    refused = run(tmp_path)
    assert refused.returncode and "labels and words must stay" in refused.stdout + refused.stderr
    assert len(open_annotated(made)) == 6
    (tmp_path / "pets.yaml").write_text("classes: [cat]\n")
    assert "lacks 'model'" in run(tmp_path).stderr
