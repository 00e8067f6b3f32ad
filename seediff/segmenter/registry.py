"""The architectures, and the engines that run a training's iterations, by name."""

from __future__ import annotations

from seediff.detectron2 import engine, official
from seediff.segmenter import mask2former, pixel
from seediff.segmenter.architecture import Architecture
from seediff.segmenter.settings import SegmenterSettings
from seediff.training import loop

ARCHITECTURES: dict[str, Architecture] = {
    "mask2former": mask2former.ARCHITECTURE,
    "pixel": pixel.ARCHITECTURE,
    "mask2former-official": official.ARCHITECTURE,
}

ENGINES: dict[str, loop.Engine] = {
    "seediff": loop.run,
    "detectron2": engine.run,
}


def architecture_of(settings: SegmenterSettings) -> Architecture:
    """The architecture of a segmenter."""
    return ARCHITECTURES[settings.architecture]


def engine_of(settings: SegmenterSettings) -> loop.Engine:
    """The engine that trains a segmenter."""
    return ENGINES[settings.engine]
