"""Stage: a LoRA adapter of the diffusion model, learnt from the target images of an adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seediff.adaptation.settings import AdapterSettings
from seediff.adaptation.train import train_adapter
from seediff.datasets.unlabelled import benchmark_images, folder_images
from seediff.versions import VERSIONS


def adapt_model(spec: Mapping[str, Any], checkpoints: Path, output: Path) -> None:
    """Train the adapter; goes on from a state in ``checkpoints`` where the same call was stopped earlier."""
    where = spec["images"]
    folder = Path(where["folder"])
    images = benchmark_images(where["format"], folder, where["split"]) if where["format"] else folder_images(folder)
    settings, version = AdapterSettings(**spec["settings"]), VERSIONS["adapter"]
    train_adapter(spec["model"], images, settings, output, checkpoints, spec["rng_seed"], version)
