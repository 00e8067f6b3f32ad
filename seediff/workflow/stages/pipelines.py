"""The pipeline that a spec asks for, with its adapter, and how it samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seediff.diffusion.model_files import identity, reference
from seediff.diffusion.synthesis import Sampling, load
from seediff.segmenter.checkpoint import load_tensors

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


def open_pipeline(spec: Mapping[str, Any]) -> tuple[StableDiffusionPipeline, Sampling]:
    """Load it; ``SeediffError`` if its adapter is not the one that the study's own adaptation wrote."""
    settings, adapter = dict(spec["diffusion"]), spec.get("adapter")
    if adapter:
        load_tensors(Path(adapter), "The adapter")
    model = reference(settings.pop("model"), settings.pop("revision", None))
    return load(model, settings.pop("dtype"), adapter=adapter), Sampling(**settings)


def pipeline_identity(spec: Mapping[str, Any]) -> dict[str, str]:
    """The checksums of the model that a spec asks for, and of its adapter."""
    model = reference(spec["diffusion"]["model"], spec["diffusion"].get("revision"))
    return identity(model, Path(spec["adapter"]) if spec.get("adapter") else None)
