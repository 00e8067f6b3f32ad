"""Image-mask pairs of anyone's classes, as plain files: what ``seediff generate`` does."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from seediff.datasets.images import VOC_COLOURS, encode_mask, encode_png
from seediff.errors import SeediffError
from seediff.files import partial
from seediff.masks.make import make_mask
from seediff.masks.variants import named_steps
from seediff.prompts import Prompt, make_prompts
from seediff.reporting.figures import overlay, png_bytes
from seediff.synthesis import Drawn, Sampling, draw, load

FOLDERS = ("images", "masks", "overlays")


def generate(
    model: str,
    classes: Sequence[str],
    number: int,
    folder: Path,
    template: str = "a photo of a {word}",
    variant: str = "seediff",
    num_inference_steps: int = 50,
    guidance_scale: float = 7.5,
    batch_size: int = 4,
    dtype: str = "float32",
    rng_seed: int = 0,
) -> int:
    """Write ``number`` images a class with masks and overlays below ``folder``; returns how many there are.

    Mask values: 0 background, k for the k-th class (``classes.csv``). Finished images of an earlier call with
    the same settings are kept, so a killed call goes on where it was.
    """
    if "{word}" not in template:
        raise SeediffError(f"The template {template!r} has no '{{word}}', the place of the class.")
    if len(set(classes)) < len(classes):
        raise SeediffError("A class is named twice.")
    named_steps(variant)  # a misspelt variant is said before anything is drawn
    prompts = make_prompts("generate", classes, number, template, rng_seed=rng_seed)
    missing = [prompt for prompt in prompts if not all(_file(folder, kind, prompt).exists() for kind in FOLDERS)]
    if missing:
        pipe = load(model, dtype)
        _write_classes(folder, classes)
        sampling = Sampling(num_inference_steps, guidance_scale, batch_size)
        for drawn in draw(pipe, missing, sampling):
            _write_pair(folder, drawn, variant, label=classes.index(drawn.prompt.class_name) + 1)
    return len(prompts)


def _file(folder: Path, kind: str, prompt: Prompt) -> Path:
    return folder / kind / f"{prompt.key}.png"


def _write_pair(folder: Path, drawn: Drawn, variant: str, label: int) -> None:
    mask = make_mask(drawn.maps, drawn.prompt.class_word, drawn.image, variant=variant, label=label)
    contents = (encode_png(drawn.image), encode_mask(mask), png_bytes(overlay(drawn.image, mask, VOC_COLOURS)))
    for kind, content in zip(FOLDERS, contents, strict=True):
        with partial(_file(folder, kind, drawn.prompt)) as unfinished:
            unfinished.write_bytes(content)


def _write_classes(folder: Path, classes: Sequence[str]) -> None:
    with partial(folder / "classes.csv") as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "class"), (0, "background"), *enumerate(classes, start=1)])
