"""What a study's ``backend`` means; plain values only, so that reading a study never imports torch."""

from __future__ import annotations

from typing import NamedTuple


class Backend(NamedTuple):
    """Names of an architecture and of the engine that trains it (``registry``)."""

    architecture: str
    engine: str


BACKENDS: dict[str, Backend] = {
    "transformers": Backend("mask2former", "seediff"),
    "pixel": Backend("pixel", "seediff"),
    "detectron2": Backend("mask2former", "detectron2"),
    "mask2former": Backend("official", "detectron2"),
}
