"""A trained segmenter as a folder, which this package and transformers open.

``segmenter.json`` and ``model.safetensors`` are all that this package reads. transformers opens the same weights by
``config.json``, with the names of the classes, and prepares images by ``preprocessor_config.json`` as ``predict`` does:

    model = Mask2FormerForUniversalSegmentation.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)

The per-pixel classifier, the pair of robust training and the authors' own network are no classes of transformers. Their
folders have the same files, whose names of classes and preparation of images hold as well.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from seediff.datasets.classes import IGNORE_LABEL
from seediff.files.sealed import write_csv, write_json, write_text
from seediff.segmenter.backbones import PIXEL_MEAN, PIXEL_STD
from seediff.segmenter.settings import SegmenterSettings, as_json
from seediff.training.checkpoint import save_tensors

SETTINGS = "segmenter.json"
WEIGHTS = "model.safetensors"
NO_LIMIT = 1_000_000
"""Of the longer edge, in pixels: transformers wants a limit."""


def write_segmenter(
    folder: Path,
    model: nn.Module,
    settings: SegmenterSettings,
    classes: Sequence[str],
    about: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
) -> None:
    """Write the whole folder, the weights last: where they stand, all stands.

    ``classes``: names in label order, background first. ``about``: what else ``segmenter.json`` is to say.
    """
    own = {"settings": as_json(settings), "num_classes": len(classes), "classes": [*classes], **about}
    write_json(folder / SETTINGS, own)
    write_text(folder / "config.json", transformers_config(model, classes).to_json_string())
    write_text(folder / "preprocessor_config.json", json.dumps(processor_config(settings), indent=2) + "\n")
    write_csv(folder / "history.csv", history)
    save_tensors(folder / WEIGHTS, model.state_dict())


def transformers_config(model: nn.Module, classes: Sequence[str]) -> PretrainedConfig:
    """The model's own configuration with the names of the classes; of a class that transformers lacks, the names."""
    config = copy.deepcopy(model.config) if isinstance(model, PreTrainedModel) else PretrainedConfig()
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: label for label, name in enumerate(classes)}
    config.architectures = [type(model).__name__]
    return config


def processor_config(settings: SegmenterSettings) -> dict[str, Any]:
    """Settings of transformers' ``Mask2FormerImageProcessor`` by which it prepares images as ``evaluate.predict`` does.

    Two things it cannot do: windows (``test_window``), and padding to a multiple of 32, which matters for other sides.
    """
    return {
        "image_processor_type": "Mask2FormerImageProcessor",
        "do_resize": settings.test_edge > 0,
        "size": {"shortest_edge": settings.test_edge or min(settings.crop_size), "longest_edge": NO_LIMIT},
        "size_divisor": 0,
        "resample": 2,  # bilinear
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [value / 255 for value in PIXEL_MEAN],
        "image_std": [value / 255 for value in PIXEL_STD],
        "ignore_index": IGNORE_LABEL,
        "do_reduce_labels": False,
    }
