"""A machine with GPUs, for tests on one without: a program named nvidia-smi lists them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def install_gpus(folder: Path, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For this process and those it starts; ``folder`` holds the program, and the locks of the devices."""
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo {name}\n" for name in names))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
