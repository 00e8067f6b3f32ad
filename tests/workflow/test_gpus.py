"""The workflow on one machine with several GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import make_workspace
from tests.fake_gpus import install_gpus

CLASSES = ("cat", "car")


@pytest.mark.slow
def test_jobs_at_one_time_have_a_gpu_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = install_gpus(tmp_path, 2, monkeypatch)
    workspace = make_workspace(tmp_path / "study")
    shards = [f"results/smoke/images/basic/{name}/0000.tar" for name in CLASSES]
    run = workspace.snakemake(*shards, "--profile", "profiles/gpus", "--resources", "gpu=2")
    assert run.returncode == 0, run.stdout + run.stderr
    logs = [workspace.folder / f"results/smoke/logs/synthesize/basic/{name}/0000.log" for name in CLASSES]
    assert {log.read_text().splitlines()[0] for log in logs} == {f"GPU: {device} of 2" for device in devices}
