"""Data sets of a few images, as tests draw them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seediff.generation.pairs import make_data_set
from seediff.generation.settings import data_set

DRAWING = {"num_inference_steps": "steps"}
OF_DRAWING = ("steps", "guidance_scale", "height", "width", "batch_size", "dtype", "negative_prompt", "scheduler")


def generate(model: str | Path, classes: Sequence[str], number: int, folder: Path, **options: Any) -> int:
    """Draw ``number`` images of each class with their masks; returns how many pairs the folder holds."""
    named = {DRAWING.get(name, name): value for name, value in options.items() if value is not None}
    drawing = {name: named.pop(name) for name in OF_DRAWING if name in named}
    masks = {"variant": named.pop("variant")} if "variant" in named else {}
    templates = {"templates": [named.pop("template")]} if "template" in named else {}
    adapter = {"adapter": str(named.pop("adapter"))} if "adapter" in named else {}
    settings = {"model": str(model), "classes": classes, "images": number, "drawing": drawing, "masks": masks}
    return make_data_set(data_set(**settings, **templates, **adapter, **named), folder).kept
