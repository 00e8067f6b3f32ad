"""Draw what DiffuMask's augmentations make of image-mask pairs.

    python -m seediff.workflow.reporting.augmentation_pictures --output docs/augmentations.png

Rendered scenes, because their masks are exact: an augmentation that moved the mask away from its object would show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from seediff.datasets.augmentation import Augmentation, augmented
from seediff.datasets.images import encode_picture
from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.embedded.judge import RenderedPairs
from seediff.rng import derive_seed
from seediff.workflow.reporting.figures import strip

SHOWN: dict[str, Augmentation] = {
    "as it is": Augmentation(),
    "splice, up to 2 x 2": Augmentation(splice=1, splice_grid=2),
    "splice, up to 8 x 8": Augmentation(splice=1),
    "perspective": Augmentation(perspective=1),
    "occlusion": Augmentation(occlusion=1),
    "blur": Augmentation(blur=1),
    "noise": Augmentation(noise=1),
}


def sheet(scenes: int) -> Image.Image:
    """One row an augmentation; a tile is the image and, beside it, its mask laid over it."""
    pairs = RenderedPairs(64)
    strips = [
        strip([(title if scene == 0 else "", _tile(pairs, scene, title, augmentation)) for scene in range(scenes)])
        for title, augmentation in SHOWN.items()
    ]
    page = Image.new("RGB", (strips[0].width, sum(one.height for one in strips)), "white")
    for row, one in enumerate(strips):
        page.paste(one, (0, row * one.height))
    return page


def _tile(pairs: RenderedPairs, index: int, title: str, augmentation: Augmentation) -> Image.Image:
    image, labels = augmented(np.random.default_rng(derive_seed(title, index)), pairs, index, augmentation)
    both = np.concatenate([image, np.asarray(overlay(image, labels, VOC_COLOURS))], axis=1)
    return Image.fromarray(both)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw DiffuMask's augmentations.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=3)
    options = parser.parse_args()
    options.output.write_bytes(encode_picture(sheet(options.scenes)))


if __name__ == "__main__":
    main()
