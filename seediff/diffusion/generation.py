"""Image-mask pairs of any classes, as plain files: what ``seediff generate`` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seediff.adaptation.adapter import adapter_file
from seediff.datasets.classes import BACKGROUND, MOST_CLASSES
from seediff.datasets.flaws import Flaw, flaws_of
from seediff.datasets.images import decode_rgb, encode_png, read_file
from seediff.datasets.pair_folder import CHECKSUMS, PairFolder
from seediff.diffusion.loading import load, pipeline_class
from seediff.diffusion.model_files import identity, local_folder
from seediff.diffusion.pipelines import default_variant
from seediff.diffusion.synthesis import Sampling, completed, draw
from seediff.errors import SeediffError
from seediff.files.sealed import partial
from seediff.masks.make import make_mask
from seediff.masks.variants import calls_of, fitted, named_steps, resolve
from seediff.names import check_any_name, check_texts, folded, slug
from seediff.prompts.prompt_sets import Prompt, make_prompts
from seediff.prompts.words import PLACE
from seediff.versions import VERSIONS

SPLIT = "train"
"""Hugging Face's imagefolder takes the name of a folder for a split before that of a file, which may begin with a class
called 'train' or 'test'."""
METADATA = f"{SPLIT}/metadata.jsonl"
EARLIER = ("images", "masks")
"""Where an earlier version put them."""

STAGES = ("prompts", "synthesize", "refine")
"""The stages of the workflow that make such pairs: their versions say what a pair means."""


def generate(
    model: str,
    classes: Sequence[str],
    number: int,
    folder: Path,
    template: str = "a photo of a {word}",
    variant: str | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    batch_size: int = 4,
    dtype: str = "float32",
    rng_seed: int = 0,
    adapter: Path | None = None,
    height: int | None = None,
    width: int | None = None,
) -> int:
    """Write ``number`` images a class with masks and overlays below ``folder``; returns how many pairs there are.

    ``variant``: how masks are made; if left out, as fits the model (``pipelines.default_variant``). ``adapter``: a LoRA
    file, or its folder, that the model is adapted by. ``num_inference_steps``, ``guidance_scale``, ``height``,
    ``width``: the model's own if left out.
    Mask values: 0 background, k for the k-th class (``classes.csv``). ``train/metadata.jsonl`` names the pairs the way
    Hugging Face's imagefolder reads them. Finished images of an earlier call with the same settings (``settings.json``)
    are kept, so a killed call goes on where it was; more of them than are asked for stay and count. A folder made with
    other settings is refused, as is one of another model or adapter, by the checksums of their files, or of pairs that
    meant something else.
    """
    sampling = Sampling(num_inference_steps, guidance_scale, batch_size, height, width)
    _check_template(template)
    _check_classes(classes)
    prompts = make_prompts("generate", classes, number, template, rng_seed=rng_seed)
    variant = variant or default_variant(pipeline_class(model))
    calls = calls_of(resolve(named_steps(variant)))  # an unknown variant is an error before anything is drawn
    settings = {
        "classes": list(classes), "template": template, "variant": variant, "dtype": dtype,
        "num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale, "rng_seed": rng_seed,
        "height": height, "width": width, "versions": {stage: VERSIONS[stage] for stage in STAGES},
    }  # fmt: skip
    pairs = PairFolder(folder, SPLIT)
    pairs.check_settings(settings)
    _check_earlier(folder)
    unfinished = _unfinished_batches(pairs, prompts, batch_size)
    if unfinished or local_folder(model) is None:
        pipe = load(model, dtype, adapter=adapter)
    checksums = identity(model, adapter_file(adapter) if adapter else None)
    pairs.check_model(checksums)
    if unfinished:
        for drawn in draw(pipe, unfinished, sampling, [calls]):
            if pairs.is_finished(_file_name(drawn.prompt)):
                continue
            mask = make_mask(
                drawn.recorded[calls],
                drawn.prompt.class_word,
                drawn.image,
                variant=variant,
                label=classes.index(drawn.prompt.class_name) + 1,
                starts=drawn.prompt.word_starts,
            )
            steps = resolve(fitted(variant, drawn.recorded[calls]))
            made_by = {"sampling": asdict(completed(sampling, pipe)), "steps": steps, CHECKSUMS: checksums}
            pairs.begin({"model": model, **settings, **made_by})
            pairs.write(_file_name(drawn.prompt), encode_png(drawn.image), drawn.image, mask)
    pairs.write_classes(classes)
    return _write_metadata(folder, prompts, classes)


def flaws_in(folder: Path) -> dict[str, Flaw]:
    """File name -> flaw of those images below ``folder``, as ``generate`` writes them, that are black, of one colour or
    clipped, whenever they were drawn."""
    paths = sorted(PairFolder(folder, SPLIT).images.glob("*.png"))
    return flaws_of((path.name, decode_rgb(read_file(path), str(path))) for path in paths)


def _check_template(template: str) -> None:
    if PLACE not in template:
        raise SeediffError(f"The template {template!r} has no '{PLACE}', the place of the class.")


def _check_classes(classes: Sequence[str]) -> None:
    """Raise ``SeediffError`` unless each can be drawn, has a label, and has files of its own on every file system."""
    check_texts("The classes", classes)
    for name in classes:
        check_any_name("Class", name)
    if not classes:
        raise SeediffError("There is no class to draw. Name one at least.")
    if named := [name for name in classes if name.casefold() == BACKGROUND]:
        raise SeediffError(f"{named[0]!r} is the name of the background, and cannot be drawn.\nLeave it out.")
    if len(classes) > MOST_CLASSES:
        raise SeediffError(f"There are {len(classes)} classes, but masks have room for {MOST_CLASSES}.")
    if len({folded(slug(name)) for name in classes}) < len(classes):
        raise SeediffError("A class is named twice (spaces count as dashes, and capital as small letters).")


def _check_earlier(folder: Path) -> None:
    if any((folder / kind).exists() for kind in EARLIER):
        raise SeediffError(
            f"{folder} holds images and masks where an earlier version put them.\n"
            f"Move the folders {' and '.join(EARLIER)} into {folder / SPLIT}, or choose another folder."
        )


def _unfinished_batches(pairs: PairFolder, prompts: Sequence[Prompt], size: int) -> list[Prompt]:
    """Every prompt of the batches that lack an image: in another batch, the last digits of an image can differ."""
    batches = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    unfinished = [batch for batch in batches if not all(pairs.is_finished(_file_name(prompt)) for prompt in batch)]
    return [prompt for batch in unfinished for prompt in batch]


def _file_name(prompt: Prompt) -> str:
    return f"{prompt.key}.png"


def _write_metadata(folder: Path, prompts: Sequence[Prompt], classes: Sequence[str]) -> int:
    """A line for each pair that is there, those of an earlier call for more images too; returns their number."""
    of_class = {_class_part(prompt.key): prompt for prompt in prompts}
    pairs = PairFolder(folder, SPLIT)
    there = [path.name for path in sorted(pairs.images.glob("*.png")) if (pairs.masks / path.name).exists()]
    with partial(folder / METADATA) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        rows = [(name, of_class[_class_part(name)]) for name in there if _class_part(name) in of_class]
        file.writelines(json.dumps(_metadata(*row, classes), ensure_ascii=False) + "\n" for row in rows)
    return len(rows)


def _metadata(name: str, prompt: Prompt, classes: Sequence[str]) -> dict[str, Any]:
    """The columns of a pair; paths are relative to the metadata's folder."""
    return {
        "file_name": f"images/{name}",
        "mask_file_name": f"masks/{name}",
        "class": prompt.class_name,
        "label": classes.index(prompt.class_name) + 1,
        "text": prompt.prompt,
    }


def _class_part(key: str) -> str:
    return key.rpartition("-")[0]
