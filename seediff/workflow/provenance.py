"""Where a number comes from: versions, machine, and the checksum of the diffusion model's weights."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from seediff.diffusion.model_files import named_weights

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "snakemake")


def provenance(model: str | None = None) -> dict[str, Any]:
    """Versions and machine; with ``model``, a pipeline's folder or hub id, the checksum of its weights as well."""
    about: dict[str, Any] = {
        "seediff": _version("seediff"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }
    if model is not None:
        about["model"] = named_weights(model)
    return about


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
