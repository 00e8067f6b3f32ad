"""Does robust training help when half of the labels are wrong? (See docs/methods/robust-training.md.)

    python -m benchmarks.label_noise --noise swollen                 ten minutes on one idle core
    python -m benchmarks.label_noise --noise blotches --architecture mask2former

Rendered scenes of the embedded world with one object each. A pixel's score is a sigmoid of its distance to the object's
outline; in half of the scenes the distance is wrong before the label is cut from the score:

    swollen     by 3 to 9 pixels, the same all along the outline, so that masks spill over it as attention's do
    blotches    by smooth random amounts, so that scores near the threshold are those most often on its wrong side
    context     around a disc elsewhere that is taken for part of the object, with margins as large as the object's

Each row: mIoU on 200 other scenes, mean and standard deviation over random-number seeds. ``two plain`` is the mean of
the probabilities of two networks trained apart, which robust training has to beat: it has two networks as well.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from seediff.datasets.images import Pair
from seediff.embedded.judge import held_out_scenes
from seediff.embedded.scenes import natural_scene
from seediff.embedded.vocabulary import CLASSES
from seediff.masks.refinement import to_mask
from seediff.masks.reliability import mask_reliability
from seediff.rng import derive_seed
from seediff.segmenter.cotraining import CoTrained, CoTraining, paired
from seediff.segmenter.evaluate import Segmenter, confusion, load_segmenter
from seediff.segmenter.metrics import miou
from seediff.segmenter.settings import RobustTraining, SegmenterSettings, segmenter_settings
from seediff.segmenter.train import train

SCENES, TESTED = 400, 200
THRESHOLD, SOFTNESS = 0.5, 3.0
NAMES = ("background", *CLASSES)


Distances = NDArray[np.float64]
"""(H, W), in pixels: positive inside an outline, negative outside."""


def _swollen(rng: np.random.Generator, distance: Distances) -> Distances:
    return distance + rng.uniform(3, 9)


def _blotches(rng: np.random.Generator, distance: Distances) -> Distances:
    """Smooth noise of a standard deviation of 8 pixels on top."""
    noise = gaussian_filter(rng.standard_normal(distance.shape), 5)
    return np.asarray(distance + 8 * noise / noise.std())


def _context(rng: np.random.Generator, distance: Distances) -> Distances:
    """A disc of 8 to 14 pixels' radius, its centre in the background."""
    rows, columns = np.nonzero(distance < 0)
    place = rng.integers(len(rows))
    down, right = np.indices(distance.shape)
    disc = rng.uniform(8, 14) - np.hypot(down - rows[place], right - columns[place])
    return np.maximum(distance, disc)


NOISE: dict[str, Callable[[np.random.Generator, Distances], Distances]] = {
    "swollen": _swollen,
    "blotches": _blotches,
    "context": _context,
}


@cache
def scene(noise: str, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Image, labels and uncertainty; every second scene has wrong labels unless ``noise`` is none."""
    rng = np.random.default_rng(derive_seed("label noise", index))
    drawn = natural_scene(rng, [CLASSES[index % len(CLASSES)]])
    inside = drawn.labels > 0
    distance = distance_transform_edt(inside) - distance_transform_edt(~inside)
    if noise in NOISE and index // len(CLASSES) % 2:
        distance = NOISE[noise](rng, distance)
    score = torch.from_numpy(distance / SOFTNESS).sigmoid()
    mask = to_mask(score, index % len(CLASSES) + 1, THRESHOLD)
    return drawn.image, mask, 255 - mask_reliability(score, mask, THRESHOLD)


@dataclass(frozen=True)
class Scenes:
    """Images with what ``column`` of ``scene`` says of them: 1 labels, 2 uncertainty."""

    noise: str
    column: int = 1

    def __len__(self) -> int:
        return SCENES

    def __getitem__(self, index: int) -> Pair:
        found = scene(self.noise, index)
        return found[0].copy(), found[self.column].copy()


Train = Callable[..., None]


def trained(run: Train, noise: str, settings: SegmenterSettings, rng_seed: int) -> Segmenter:
    with tempfile.TemporaryDirectory() as folder:
        run(Scenes(noise), settings, NAMES, Path(folder) / "model", Path(folder) / "state", rng_seed)
        return load_segmenter(Path(folder) / "model")


def score_of(segmenter: Segmenter) -> float:
    """mIoU in percent on scenes that nothing was trained on, with exact labels."""
    samples = ((str(number), scene.image, scene.labels) for number, scene in enumerate(held_out_scenes(TESTED)))
    return 100 * miou(confusion(segmenter, samples))


def together(segmenters: Sequence[Segmenter]) -> Segmenter:
    first, second = segmenters
    pair = CoTrained(first.model, second.model)
    return Segmenter(paired(first.architecture), pair, first.settings, first.classes)


def measure(noise: str, settings: SegmenterSettings, robust: RobustTraining, rng_seed: int) -> dict[str, float]:
    """mIoU by way of training."""
    plain = [trained(train, noise, settings, derive_seed(rng_seed, k)) for k in range(2)]
    scores = {"plain": score_of(plain[0]), "two plain": score_of(together(plain))}
    for name, changed in {
        "robust": robust,
        "robust, soft": replace(robust, reliability="soft"),
        "robust, no ClassMix": replace(robust, mix=0.0),
    }.items():
        run = partial(train, objective=CoTraining(Scenes(noise, column=2), changed))
        scores[name] = score_of(trained(run, noise, settings, derive_seed(rng_seed, 0)))
    return scores | {"plain, exact labels": score_of(trained(train, "none", settings, derive_seed(rng_seed, 0)))}


def wrong_pixels(noise: str) -> str:
    """How much of the labels is wrong, of all pixels and of those that hard reliability relies on."""
    right = np.stack([scene("none", index)[1] for index in range(SCENES)])
    wrong = np.stack([scene(noise, index)[1] for index in range(SCENES)]) != right
    relied_on = np.stack([scene(noise, index)[2] for index in range(SCENES)]) < 127
    return f"{noise}: {wrong.mean():.1%} of all labels are wrong, {wrong[relied_on].mean():.1%} of the reliable half"


def main() -> None:
    about = "Does robust training help when half of the labels are wrong?"
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_noise", description=about)
    parser.add_argument("--architecture", choices=("mask2former", "pixel"), default="pixel")
    parser.add_argument("--noise", choices=sorted(NOISE), default="swollen")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--mix-after", type=int, default=6, help="epochs, of 50 iterations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = segmenter_settings("resnet-mini", architecture=options.architecture, iterations=options.iterations)
    robust = RobustTraining(mix_after=options.mix_after)
    print(wrong_pixels(options.noise), flush=True)
    found = []
    for rng_seed in range(options.seeds):
        found.append(measure(options.noise, settings, robust, rng_seed))
        print(f"seed {rng_seed}:", {name: round(score, 1) for name, score in found[-1].items()}, flush=True)
    for name in found[0]:
        scores = [scores_of_seed[name] for scores_of_seed in found]
        print(f"| {name} | {np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f} |")


if __name__ == "__main__":
    main()
