"""Draw the pictures of docs/: how each method makes masks of the embedded model's images, and what augmentations do.

python -m seediff.workflow.reporting.docs_pictures --docs docs

The augmentations are shown on rendered scenes. Their masks are exact, so an augmentation that moved a mask away from
its object would show.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seediff.datasets.augmentation import Augmentation, augmented
from seediff.datasets.images import encode_picture
from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.diffusion.loading import load
from seediff.diffusion.synthesis import Drawn, Sampling, draw
from seediff.embedded.judge import RenderedPairs
from seediff.filtering.measures import agreement, area, connectedness, contrast
from seediff.filtering.selection import Measured, quality
from seediff.masks.refinement import PamrSettings, Refinement, refine, to_mask
from seediff.masks.steps import STEPS, resize
from seediff.masks.variants import VARIANTS, Steps, apply, resolve, scores_by_step
from seediff.prompts.prompt_sets import make_prompts
from seediff.rng import derive_seed
from seediff.workflow.reporting.grids import PictureGrid, PictureRow, picture
from seediff.workflow.reporting.strips import Tile, strip

SHOWN = ("bus", "cat", "pottedplant")
RAW = Refinement(pamr=None, threshold=0.3)
PAMR = Refinement(PamrSettings(dilations=(1, 2, 3)), threshold=0.3)
ATTN2MASK: Steps = (("summed_cross_attention", {"layers": {"1/4": 4, "1/2": 3, "1": 2}}),)
"""With the number of layers of the embedded model."""
PER_CLASS, COLOURS = 8, 256

Tiles = dict[str, Tile]


def seediff_masks(drawn: Drawn) -> Tiles:
    maps = drawn.class_maps()
    seeds, *rounds, final = scores_by_step(resolve(VARIANTS["seediff"]), maps)
    tiles = {f"expanded at {at}": _score(score) for at, score in zip(("1/4", "1/2", "1"), rounds, strict=True)}
    behind = STEPS["expand"](1 - rounds[-1], maps, resolution="1", alpha=0.5)
    first: Tiles = {"image": drawn.image, "cross-attention at 1/4": _score(seeds)}
    last: Tiles = {"background": _score(behind), "SeeDiff": _score(final), "mask": _mask(drawn, final, PAMR)}
    return {**first, **tiles, **last}


def attn2mask_masks(drawn: Drawn) -> Tiles:
    maps = drawn.class_maps()
    sums = {f"cross-attention at {at}": maps.cross_attention[maps.size(at)] for at in ("1/4", "1/2", "1")}
    resized = {title: resize(values, maps.latent_size, "bicubic") for title, values in sums.items()}
    largest = max(float(values.max()) for values in sums.values())
    tiles = {title: _score((values / largest).clamp(0, 1)) for title, values in resized.items()}
    total = apply(resolve(ATTN2MASK), maps)
    cut = {"beta 0.4": 0.3, "beta 0.2": 0.4, "beta 0": 0.5}
    masks = {f"mask, {beta}": _mask(drawn, total, Refinement(PAMR.pamr, threshold=at)) for beta, at in cut.items()}
    return {"image": drawn.image, **tiles, "sum": _score(total), **masks}


def pamr(drawn: Drawn) -> Tiles:
    score = apply(resolve(VARIANTS["seediff"]), drawn.class_maps())
    shown: Tiles = {"image": drawn.image}
    for title, refinement in (("upsampled", RAW), ("PAMR", PAMR)):
        shown[f"score, {title}"] = _score(refine(score, drawn.image, refinement))
        shown[f"mask, {title}"] = _mask(drawn, score, refinement)
    return shown


def dataset_diffusion(drawn: Drawn) -> Tiles:
    start, propagated = scores_by_step(resolve(VARIANTS["ca_sa"]), drawn.class_maps())
    uncertain = Refinement(pamr=None, threshold=0.6, uncertain_from=0.5)
    scores = {"cross-attention at 1/4": _score(start), "CA·SA": _score(propagated)}
    return {"image": drawn.image, **scores, "mask, ignored band grey": _mask(drawn, propagated, uncertain)}


PICTURES: dict[str, Callable[[Drawn], Tiles]] = {
    "seediff-masks": seediff_masks,
    "attn2mask-masks": attn2mask_masks,
    "pamr": pamr,
    "dataset-diffusion": dataset_diffusion,
}


def ranked(drawn: Iterable[Drawn]) -> PictureGrid:
    """The pairs of every class from best to worst, by agreement with CA·SA and contrast; the better half is kept."""
    rows = []
    for name, of_class in groupby(drawn, key=lambda image: image.prompt.class_name):
        pairs = [_measured(image) for image in of_class]
        order = np.argsort(-quality([measured.measures for measured, _ in pairs], ("agreement", "contrast")))
        titles = [f"{place + 1}, {'kept' if 2 * place < len(pairs) else 'left out'}" for place in range(len(pairs))]
        rows.append(PictureRow(name, "", {title: pairs[k][1] for title, k in zip(titles, order, strict=True)}))
    return PictureGrid(rows)


def _measured(drawn: Drawn) -> tuple[Measured, Tile]:
    maps = drawn.class_maps()
    scores = {name: apply(resolve(VARIANTS[name]), maps) for name in ("seediff", "ca_sa")}
    soft = {name: refine(score, drawn.image, PAMR) for name, score in scores.items()}
    mask, other = (to_mask(score, 1, PAMR.final_threshold) for score in soft.values())
    upsampled = resize(scores["seediff"], (mask.shape[0], mask.shape[1])).numpy()
    measures = {
        "agreement": agreement(mask, [other]),
        "area": area(mask),
        "connectedness": connectedness(mask),
        "contrast": contrast(mask, upsampled),
    }
    return Measured(drawn.prompt.key, drawn.prompt.class_name, measures), overlay(drawn.image, mask, VOC_COLOURS)


def _score(score: Tensor) -> Tile:
    return score.cpu().numpy()


def _mask(drawn: Drawn, score: Tensor, refinement: Refinement) -> Tile:
    soft = refine(score, drawn.image, refinement)
    mask = to_mask(soft, 1, refinement.final_threshold, refinement.uncertain_from)
    return overlay(drawn.image, mask, VOC_COLOURS)


def save(grid: PictureGrid, path: Path) -> None:
    """Save as a PNG of few colours, small enough for a page of documentation."""
    buffer = BytesIO()
    picture(grid).savefig(buffer, dpi=100)
    Image.open(buffer).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def draw_pictures(drawn: Sequence[Drawn], folder: Path) -> None:
    """Write the picture of every method; ``drawn`` holds several images of each class, class by class."""
    first = [next(of_class) for _, of_class in groupby(drawn, key=lambda image: image.prompt.class_name)]
    for name, tiles in PICTURES.items():
        save(
            PictureGrid([PictureRow(image.prompt.class_name, "", tiles(image)) for image in first]),
            folder / f"{name}.png",
        )
    save(ranked(drawn), folder / "quality-filter.png")


# --- augmentations ---------------------------------------------------------------------------------------------------

SCENES = 3
AUGMENTATIONS: dict[str, Augmentation] = {
    "as it is": Augmentation(),
    "splice, up to 2 x 2": Augmentation(splice=1, splice_grid=2),
    "splice, up to 8 x 8": Augmentation(splice=1),
    "perspective": Augmentation(perspective=1),
    "occlusion": Augmentation(occlusion=1),
    "blur": Augmentation(blur=1),
    "noise": Augmentation(noise=1),
}


def augmentation_sheet(scenes: int) -> Image.Image:
    """One row per augmentation; a tile is the image and, beside it, the image with its mask."""
    pairs = RenderedPairs(64)
    strips = [
        strip([(title if scene == 0 else "", _pair(pairs, scene, title, augmentation)) for scene in range(scenes)])
        for title, augmentation in AUGMENTATIONS.items()
    ]
    page = Image.new("RGB", (strips[0].width, sum(shown.height for shown in strips)), "white")
    for row, shown in enumerate(strips):
        page.paste(shown, (0, row * shown.height))
    return page


def _pair(pairs: RenderedPairs, index: int, title: str, augmentation: Augmentation) -> Image.Image:
    image, labels = augmented(np.random.default_rng(derive_seed(title, index)), pairs, index, augmentation)
    both = np.concatenate([image, np.asarray(overlay(image, labels, VOC_COLOURS))], axis=1)
    return Image.fromarray(both)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    parser.add_argument("--docs", type=Path, required=True, help="folder of augmentations.png and methods/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    (options.docs / "augmentations.png").write_bytes(encode_picture(augmentation_sheet(SCENES)))
    prompts = make_prompts("methods", SHOWN, PER_CLASS)
    sampling = Sampling(num_inference_steps=20, guidance_scale=2.0, batch_size=8)
    draw_pictures(list(draw(load("assets/pictograms"), prompts, sampling)), options.docs / "methods")


if __name__ == "__main__":
    main()
