"""Image-mask pairs of any classes, as plain files: what ``seediff generate`` does."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seediff.adaptation.adapter import adapter_file
from seediff.datasets.classes import BACKGROUND, MOST_CLASSES
from seediff.datasets.flaws import Flaw, flaws_of
from seediff.datasets.images import Array, decode_rgb, encode_mask, encode_picture, encode_png, read_file
from seediff.datasets.origins import METADATA, SETTINGS
from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.diffusion.loading import load, pipeline_class
from seediff.diffusion.model_files import differences, identity, local_folder
from seediff.diffusion.pipelines import default_variant
from seediff.diffusion.synthesis import Drawn, Sampling, draw
from seediff.errors import SeediffError
from seediff.files.sealed import partial, read_json, write_json
from seediff.masks.make import make_mask
from seediff.masks.variants import calls_of, fitted, named_steps, resolve
from seediff.names import check_any_name, check_texts, folded, slug
from seediff.prompts.prompt_sets import Prompt, make_prompts
from seediff.prompts.words import PLACE
from seediff.versions import VERSIONS

IMAGES, MASKS, OVERLAYS = FOLDERS = ("train/images", "train/masks", "overlays")
"""'train' is their split: Hugging Face's imagefolder takes the name of a folder for one before that of a file, which
may begin with a class called 'train' or 'test'."""
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
    num_inference_steps: int = 50,
    guidance_scale: float = 7.5,
    batch_size: int = 4,
    dtype: str = "float32",
    rng_seed: int = 0,
    adapter: Path | None = None,
    height: int | None = None,
    width: int | None = None,
) -> int:
    """Write ``number`` images a class with masks and overlays below ``folder``; returns how many pairs there are.

    ``variant``: how masks are made; if left out, as fits the model (``pipelines.default_variant``). ``adapter``: a LoRA
    file, or its folder, that the model is adapted by. ``height``, ``width``: of an image, the model's own if left out.
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
    _check_folder(folder, settings)
    unfinished = _unfinished_batches(folder, prompts, batch_size)
    if unfinished or local_folder(model) is None:
        pipe = load(model, dtype, adapter=adapter)
    checksums = identity(model, adapter_file(adapter) if adapter else None)
    _check_model(folder, checksums)
    if unfinished:
        for drawn in draw(pipe, unfinished, sampling, [calls]):
            if _is_finished(folder, drawn.prompt):
                continue
            mask = make_mask(
                drawn.recorded[calls],
                drawn.prompt.class_word,
                drawn.image,
                variant=variant,
                label=classes.index(drawn.prompt.class_name) + 1,
                starts=drawn.prompt.word_starts,
            )
            if not (folder / SETTINGS).exists():
                steps = resolve(fitted(variant, drawn.recorded[calls]))
                write_json(folder / SETTINGS, {"model": model, **settings, "steps": steps, "checksums": checksums})
            _write_pair(folder, drawn, mask)
    _write_classes(folder, classes)
    return _write_metadata(folder, prompts, classes)


def flaws_in(folder: Path) -> dict[str, Flaw]:
    """File name -> flaw of those images below ``folder``, as ``generate`` writes them, that are black, of one colour or
    clipped, whenever they were drawn."""
    paths = sorted((folder / IMAGES).glob("*.png"))
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


def _unfinished_batches(folder: Path, prompts: Sequence[Prompt], size: int) -> list[Prompt]:
    """Every prompt of the batches that lack an image: in another batch, the last digits of an image can differ."""
    batches = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    unfinished = [batch for batch in batches if not all(_is_finished(folder, prompt) for prompt in batch)]
    return [prompt for batch in unfinished for prompt in batch]


def _is_finished(folder: Path, prompt: Prompt) -> bool:
    return all(_file(folder, kind, prompt).exists() for kind in FOLDERS)


def _check_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise ``SeediffError`` if the folder holds images that were made with other settings."""
    if not (folder / SETTINGS).exists():
        if any((folder / kind).exists() for kind in (*FOLDERS, *EARLIER)):
            raise SeediffError(f"{folder} holds images, but no {SETTINGS}, so their settings are unknown.\nDelete it.")
        return
    if any((folder / kind).exists() for kind in EARLIER):
        raise SeediffError(
            f"{folder} holds images and masks where an earlier version put them.\n"
            f"Move the folders {' and '.join(EARLIER)} into {folder / 'train'}, or choose another folder."
        )
    before = _settings(folder)
    for key, value in settings.items():
        if before.get(key) != value:
            raise SeediffError(
                f"{folder} holds images of other settings: {key} was {before.get(key)!r}, is {value!r}.\n"
                "Choose another folder, or delete this one."
            )


def _check_model(folder: Path, checksums: Mapping[str, str]) -> None:
    """Raise ``SeediffError`` if the folder holds images of another model, by the content of the models' files."""
    if not (folder / SETTINGS).exists():
        return
    before = _settings(folder).get("checksums")
    if not isinstance(before, dict):
        raise SeediffError(
            f"{folder} holds images of a model that was not noted.\nChoose another folder, or delete it."
        )
    if changed := differences(before, checksums):
        raise SeediffError(
            f"{folder} holds images of another model: other {' and '.join(changed)}, by their checksums.\n"
            "Choose another folder, or delete this one."
        )


def _settings(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / SETTINGS, "The file of settings")
    except SeediffError as error:
        problem = str(error).partition("\n")[0]
        raise SeediffError(f"{problem}\nChoose another folder, or delete {folder} with its images.") from None


def _file(folder: Path, kind: str, prompt: Prompt) -> Path:
    return folder / kind / f"{prompt.key}.png"


def _write_pair(folder: Path, drawn: Drawn, mask: Array) -> None:
    contents = (encode_png(drawn.image), encode_mask(mask), encode_picture(overlay(drawn.image, mask, VOC_COLOURS)))
    for kind, content in zip(FOLDERS, contents, strict=True):
        with partial(_file(folder, kind, drawn.prompt)) as unfinished:
            unfinished.write_bytes(content)


def _write_classes(folder: Path, classes: Sequence[str]) -> None:
    with partial(folder / "classes.csv") as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "class"), (0, "background"), *enumerate(classes, start=1)])


def _write_metadata(folder: Path, prompts: Sequence[Prompt], classes: Sequence[str]) -> int:
    """A line for each pair that is there, those of an earlier call for more images too; returns their number."""
    of_class = {_class_part(prompt.key): prompt for prompt in prompts}
    there = [path.name for path in sorted((folder / IMAGES).glob("*.png")) if (folder / MASKS / path.name).exists()]
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
