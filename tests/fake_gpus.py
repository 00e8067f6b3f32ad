"""A machine with GPUs, for tests on one without: a program named nvidia-smi lists them."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest


def install_gpus(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Their UUIDs, for this process and those it starts: new ones, because locks hold on the whole machine."""
    devices = [f"GPU-{uuid4()}" for _ in range(number)]
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo {device}\n" for device in devices))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return devices
