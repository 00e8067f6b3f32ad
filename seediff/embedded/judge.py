"""Judge the embedded model: do its images show what was asked for?

    python -m seediff.embedded.judge --model assets/pictograms --folder work/judge --samples docs/samples.png

A reference segmenter is trained on rendered scenes with exact labels, independently of the diffusion model's attention.
Its accuracy on held-out rendered scenes is printed beside what it finds in generated images. The quality of the masks
is measured elsewhere, by a study's judges.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from seediff.datasets.images import Pair
from seediff.diffusion.loading import load
from seediff.diffusion.synthesis import Sampling, draw
from seediff.embedded.scenes import Scene, natural_scene
from seediff.embedded.vocabulary import CLASSES
from seediff.prompts.prompt_sets import make_prompts
from seediff.rng import derive_seed
from seediff.segmenter.evaluate import Segmenter, count_pixels, load_segmenter, predict
from seediff.segmenter.metrics import miou
from seediff.segmenter.settings import segmenter_settings
from seediff.segmenter.train import train

Array = NDArray[np.uint8]

SMALLEST_SHARE = 0.03
"""An object must cover this share of the image to count as shown."""


@dataclass(frozen=True)
class RenderedPairs:
    """Natural scenes with one to three objects, rendered as they are asked for."""

    number: int

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Pair:
        rng = np.random.default_rng(derive_seed("judge", index))
        names = [CLASSES[k] for k in rng.permutation(len(CLASSES))[: rng.integers(1, 4)]]
        scene = natural_scene(rng, names)
        return scene.image, scene.labels


def reference_segmenter(folder: Path, iterations: int) -> Segmenter:
    """Train the reference on rendered scenes, or load it where it is already trained."""
    if not (folder / "model.safetensors").exists():
        settings = segmenter_settings("resnet-mini", iterations=iterations)
        train(RenderedPairs(5000), settings, ["background", *CLASSES], folder, folder / "state", rng_seed=0)
    return load_segmenter(folder)


def held_out_scenes(number: int) -> list[Scene]:
    """Single-object scenes that nothing was trained on, class by class in turn."""
    return [
        natural_scene(np.random.default_rng(derive_seed("held out", index)), [CLASSES[index % len(CLASSES)]])
        for index in range(number)
    ]


def shown_class(labels: Array) -> int:
    """The foreground label that covers most of the image, 0 where none covers enough of it."""
    counts = np.bincount(labels.ravel(), minlength=len(CLASSES) + 1)[1:]
    return int(counts.argmax()) + 1 if counts.max() >= SMALLEST_SHARE * labels.size else 0


def share_correct(segmenter: Segmenter, images: Sequence[Array], wanted: Sequence[int]) -> NDArray[np.bool_]:
    """For each image (H, W, 3), whether the reference sees the wanted label in it."""
    batches = [predict(segmenter, np.stack(images[start : start + 32])) for start in range(0, len(images), 32)]
    return np.array([shown_class(labels) for labels in np.concatenate(batches)]) == np.array(wanted)


def sample_grid(images: Sequence[Array], columns: int, enlarge: int = 2) -> Image.Image:
    """Square images of the same size, row by row."""
    side = images[0].shape[0]
    grid = Image.new("RGB", (columns * side, -(-len(images) // columns) * side), "white")
    for index, image in enumerate(images):
        grid.paste(Image.fromarray(image), (index % columns * side, index // columns * side))
    return grid.resize((grid.width * enlarge, grid.height * enlarge), Image.Resampling.NEAREST)


def judge(model: Path, folder: Path, samples: Path, per_class: int, iterations: int, sampling: Sampling) -> None:
    """Print the reference's accuracy and the share of generated images that show their class; save a sample grid."""
    segmenter = reference_segmenter(folder, iterations)
    scenes = held_out_scenes(300)
    labels = [CLASSES.index(scene.classes[0]) + 1 for scene in scenes]
    rendered = share_correct(segmenter, [scene.image for scene in scenes], labels)
    predicted = predict(segmenter, np.stack([scene.image for scene in scenes]))
    counted = [count_pixels("", s.labels, p, len(CLASSES) + 1) for s, p in zip(scenes, predicted, strict=True)]
    print(f"reference on 300 held-out scenes: {rendered.mean():.1%} classes right, mIoU {miou(sum(counted)):.1%}")
    prompts = make_prompts("judge", CLASSES, per_class)
    drawn = [sample.image for sample in draw(load(model), prompts, sampling)]
    right = share_correct(segmenter, drawn, [CLASSES.index(prompt.class_name) + 1 for prompt in prompts])
    by_class = {name: float(right[k * per_class : (k + 1) * per_class].mean()) for k, name in enumerate(CLASSES)}
    print(f"generated images that show their class: {right.mean():.1%} of {len(drawn)}")
    print(", ".join(f"{name} {share:.0%}" for name, share in by_class.items()))
    columns = min(per_class, 12)
    chosen = [drawn[k * per_class + column] for k in range(len(CLASSES)) for column in range(columns)]
    sample_grid(chosen, columns).save(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge the embedded model's images.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the reference segmenter is kept")
    parser.add_argument("--samples", type=Path, required=True, help="PNG file for a grid of samples")
    parser.add_argument("--per-class", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=3000, help="training of the reference")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sampling = Sampling(options.steps, options.guidance_scale, batch_size=20)
    judge(options.model, options.folder, options.samples, options.per_class, options.iterations, sampling)


if __name__ == "__main__":
    main()
