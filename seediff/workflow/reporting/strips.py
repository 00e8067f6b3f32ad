"""One image's way to its mask: the image, cross-attention, every mask step, PAMR, and the mask over the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.diffusion.synthesis import Drawn
from seediff.masks.labels import refine, to_mask
from seediff.masks.refinement import Refinement
from seediff.masks.variants import scores_by_step
from seediff.workflow.reporting.figures import Tile, strip


def step_strip(drawn: Drawn, steps: Sequence[tuple[str, dict[str, Any]]], refinement: Refinement) -> Image.Image:
    """The strip of one drawn image for one variant's resolved steps."""
    maps = drawn.class_maps()
    columns: list[tuple[str, Tile]] = [(drawn.prompt.prompt, drawn.image)]
    scores = scores_by_step(steps, maps)
    for (name, params), score in zip(steps, scores, strict=True):
        columns.append((f"{name.replace('_', ' ')} {params.get('resolution', '')}", score.cpu().numpy()))
    soft = refine(scores[-1], drawn.image, refinement)
    mask = to_mask(soft, 1, refinement.final_threshold)
    refined = "PAMR" if refinement.pamr else "upsampled"
    return strip([*columns, (refined, soft.cpu().numpy()), ("mask", overlay(drawn.image, mask, VOC_COLOURS))])
