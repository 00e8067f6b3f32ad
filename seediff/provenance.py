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
    """Versions and machine; with ``model``, a pipeline's folder or hub id, the checksum of its weights as well."""
    about: dict[str, Any] = {
        "seediff": _version("seediff"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }
    if model is not None:
        about["model"] = {"name": model, "sha256": weights_checksum(_local_folder(model))}
    return about


def _local_folder(model: str) -> Path:
    """The folder itself, or where the hub's files of that id lie on this machine."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return Path(model)


def weight_files(folder: Path) -> list[Path]:
    """The weights of a pipeline: those of its parts, each in a folder of its own."""
    return sorted(folder.glob("*/*.safetensors"))


def weights_checksum(folder: Path) -> str | None:
    """One sha256 over the weights of a pipeline folder's parts, in path order; None where there are none."""
    files = weight_files(folder)
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
