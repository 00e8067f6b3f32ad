"""Where a number comes from: versions, machine, and the checksum of the diffusion model's weights."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "snakemake")


def provenance(model: str | None = None) -> dict[str, Any]:
    """Versions and machine; with ``model``, a local pipeline folder, the checksum of its weights as well."""
    about: dict[str, Any] = {
        "seediff": _version("seediff"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }
    if model is not None:
        about["model"] = {"name": model, "sha256": weights_checksum(Path(model))}
    return about


def weights_checksum(folder: Path) -> str | None:
    """One sha256 over all safetensors files of a pipeline folder, in path order; None where there is no folder."""
    files = sorted(folder.glob("**/*.safetensors"))
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(folder)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
