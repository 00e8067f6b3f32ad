"""Pairs of a data set, drawn part by part, masked and measured, and filtered at the end (``records``: their folder).

A part is a share of the batches. Several processes may draw parts into the same folder, one for each GPU, or the jobs
of a cluster. What is finished stays, so a call that was killed goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from seediff.adaptation.adapter import adapter_file
from seediff.datasets.flaws import Flaw, flaws_of
from seediff.datasets.images import decode_rgb, encode_labels, encode_png, read_file
from seediff.datasets.origins import METADATA
from seediff.datasets.pair_folder import CHECKSUMS
from seediff.diffusion.loading import fetch, load, pipeline_class
from seediff.diffusion.model_files import identity
from seediff.diffusion.pipelines import PIPELINES, check_negatable, default_variant
from seediff.diffusion.releases import diffusers_class
from seediff.diffusion.synthesis import Drawn, Sampling, check_words, completed, draw
from seediff.errors import SeediffError
from seediff.files.sealed import partial, write_text
from seediff.filtering.clip import load_clip
from seediff.filtering.measures import area, connectedness, contrast
from seediff.filtering.selection import Measured, select
from seediff.finite import naming
from seediff.generation.prompts import Wanted, wanted_images
from seediff.generation.records import DataSetFolder, Finished, Record
from seediff.generation.settings import DataSet, as_json
from seediff.masks.make import soft_scores
from seediff.masks.refinement import to_labels
from seediff.masks.variants import calls_of, fitted, named_steps, resolve
from seediff.versions import VERSIONS

EARLIER = ("images", "masks")
"""Where an earlier version put them."""
STAGES = ("prompts", "synthesize", "refine")
"""The stages of the workflow that make such pairs: their versions say what a pair means."""
FREE = ("model", "adapter", "prompts", "images", "classes", "filter")
"""Settings that another call may change: of models, their files count; of classes, those of earlier calls."""


@dataclass(frozen=True)
class Part:
    """Batches ``number``, ``number + of``, ``number + 2 of``, ... of a data set."""

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            raise SeediffError(f"Part {self.number + 1} of {self.of} does not exist.")


WHOLE = Part()


# --- what is to be drawn


def plan_images(data_set: DataSet, folder: Path) -> list[Wanted]:
    """Every image of the data set, those that are finished as they were made.

    ``SeediffError`` if the folder holds pairs of other settings: classes may only be added at the end.
    """
    kind = PIPELINES[pipeline_class(data_set.model)]  # what it cannot do is an error before anything is written
    if data_set.drawing.negative_prompt is not None:
        check_negatable(kind, data_set.drawing.guidance_scale)
    pairs = DataSetFolder(folder).pairs
    pairs.check_settings(_fixed(data_set))
    _check_earlier(folder)
    if pairs.holds_images:
        _check_classes(pairs.noted().get("classes", {}), data_set)
    known = {key: record.wanted for key, record in DataSetFolder(folder).records().items()}
    return wanted_images(data_set, known)


def plan_begun(data_set: DataSet, folder: Path) -> list[Wanted]:
    """``plan_images`` of a data set that was begun.

    ``SeediffError`` also if other settings or another model were noted then, though there is no pair of them yet:
    several parts may be drawn at once.
    """
    pairs = DataSetFolder(folder).pairs
    if pairs.is_noted:
        pairs.check_noted_settings(_fixed(data_set))
        pairs.check_noted_model(_checksums(data_set))
        _check_classes(pairs.noted().get("classes", {}), data_set)
    return plan_images(data_set, folder)


def _fixed(data_set: DataSet) -> dict[str, Any]:
    """The settings that every call has to have in common."""
    return {key: value for key, value in _noted(data_set).items() if key not in FREE}


def _noted(data_set: DataSet) -> dict[str, Any]:
    settings = as_json(data_set)
    settings["masks"]["variant"] = _variant(data_set)
    del settings["drawing"]["batch_size"]  # changes speed and, at most, last digits
    return {**settings, "versions": {stage: VERSIONS[stage] for stage in STAGES}}


def _variant(data_set: DataSet) -> Any:
    """How masks are made, as fits the model if nobody says how."""
    return data_set.masks.variant or default_variant(pipeline_class(data_set.model))


def _check_earlier(folder: Path) -> None:
    if any((folder / kind).exists() for kind in EARLIER):
        raise SeediffError(
            f"{folder} holds images and masks where an earlier version put them.\nChoose another folder, or delete it."
        )


def _check_classes(before: Mapping[str, Sequence[str]], data_set: DataSet) -> None:
    now = {of_class.name: list(of_class.words) for of_class in data_set.classes}
    if [*now.items()][: len(before)] != [*before.items()]:
        raise SeediffError(
            f"The folder is one of the classes {', '.join(before)}, whose labels and words must stay.\n"
            "Add classes after these, or choose another folder."
        )


def note_settings(data_set: DataSet, folder: Path) -> None:
    """Note what is asked for, before anything is drawn; ``SeediffError`` if the folder holds pairs of another model."""
    pairs, checksums = DataSetFolder(folder).pairs, _checksums(data_set)
    pairs.check_model(checksums)
    pairs.note({**_noted(data_set), CHECKSUMS: checksums})


def _checksums(data_set: DataSet) -> dict[str, str]:
    """Those of the model's files, which are downloaded before."""
    fetch(data_set.model)
    return identity(data_set.model, adapter_file(Path(data_set.adapter)) if data_set.adapter else None)


# --- drawing


def draw_part(
    data_set: DataSet, folder: Path, images: Sequence[Wanted], part: Part = WHOLE, pipe: Any = None
) -> Iterator[str]:
    """Draw what the part lacks, and give the key of each image when it is written.

    All images of a batch that lacks one are drawn again: in another batch, the last digits of an image can differ.
    ``pipe``: the model, where it is open already.
    """
    place = DataSetFolder(folder)
    unfinished = unfinished_images(place, images, data_set.drawing.batch_size, part)
    if not unfinished:
        return
    pipe = open_model(data_set) if pipe is None else pipe
    variant = _variant(data_set)
    calls = calls_of(resolve(named_steps(variant), alpha=data_set.masks.alpha))
    for wanted in unfinished:
        check_words(pipe, wanted.as_prompts)
    drawn = draw(pipe, [wanted.as_prompts[0] for wanted in unfinished], _sampling(data_set), [calls])
    for wanted, image in zip(unfinished, drawn, strict=True):
        if not place.is_finished(wanted.key):
            _write(place, data_set, wanted, image, variant, completed(_sampling(data_set), pipe))
        yield wanted.key


def unfinished_images(place: DataSetFolder, images: Sequence[Wanted], size: int, part: Part) -> list[Wanted]:
    """Every image of the part's batches that lack one."""
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    own = batches[part.number :: part.of]
    lacking = [batch for batch in own if not all(place.is_finished(wanted.key) for wanted in batch)]
    return [wanted for batch in lacking for wanted in batch]


def open_model(data_set: DataSet) -> Any:
    """The data set's model, with its scheduler."""
    adapter = Path(data_set.adapter) if data_set.adapter else None
    pipe = load(data_set.model, data_set.drawing.dtype, adapter=adapter)
    if data_set.drawing.scheduler is not None:
        pipe.scheduler = _scheduler(data_set.drawing.scheduler).from_config(pipe.scheduler.config)
    return pipe


def _scheduler(name: str) -> Any:
    from diffusers import SchedulerMixin

    kind = diffusers_class(name) if name.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        raise SeediffError(
            f"diffusers has no scheduler {name!r}.\nName its class, such as DPMSolverMultistepScheduler."
        )
    return kind


def _sampling(data_set: DataSet) -> Sampling:
    drawing = data_set.drawing
    return Sampling(
        num_inference_steps=drawing.steps,
        guidance_scale=drawing.guidance_scale,
        batch_size=drawing.batch_size,
        height=drawing.height,
        width=drawing.width,
        negative_prompt=drawing.negative_prompt,
    )


def _write(
    place: DataSetFolder, data_set: DataSet, wanted: Wanted, drawn: Drawn, variant: Any, sampling: Sampling
) -> None:
    """Write a pair, its record, and its scores."""
    (maps,) = drawn.recorded.values()
    settings, words = data_set.masks, [shown.word for shown in wanted.objects]
    starts = [shown.starts for shown in wanted.objects]
    with naming([f"{wanted.key} ({wanted.prompt!r})"]):
        scores = soft_scores(maps, words, drawn.image, variant, settings.alpha, settings.refinement, starts)
        labels = [data_set.class_names.index(shown.class_name) + 1 for shown in wanted.objects]
        refinement = settings.refinement
        mask = to_labels(scores, labels, refinement.final_threshold, refinement.uncertain_from)
    if not place.pairs.is_noted:  # so late that what cannot be drawn leaves nothing behind
        note_settings(data_set, place.path)
    soft = scores.cpu().numpy()
    measures = {"area": area(mask), "connectedness": connectedness(mask), "contrast": contrast(mask, soft.max(0))}
    record = Record(wanted, resolve(fitted(variant, maps), alpha=settings.alpha), asdict(sampling), measures)
    if data_set.keep_scores:
        for number, score in enumerate(soft, start=1):
            with partial(place.score_file(wanted.key, number)) as unfinished:
                unfinished.write_bytes(encode_labels((score * 255).round().astype(np.uint8)))
    place.write_record(record)
    place.pairs.write(f"{wanted.key}.png", encode_png(drawn.image), drawn.image, mask)


# --- what is kept


def finish(data_set: DataSet, folder: Path, images: Sequence[Wanted]) -> Finished:
    """Filter the pairs, and write the lists of them; ``SeediffError`` if one is not drawn yet."""
    place = DataSetFolder(folder)
    if missing := [wanted.key for wanted in images if not place.is_finished(wanted.key)]:
        raise SeediffError(f"{len(missing)} images of {folder} are not drawn yet: {missing[0]}.\nDraw them first.")
    records = place.records()
    reasons = _reasons(data_set, place, records)
    for key, reason in reasons.items():
        _move(place, key, reason)
    kept = {key: record for key, record in records.items() if not reasons[key]}
    place.pairs.write_classes(data_set.class_names)
    lines = [json.dumps(_metadata(record, data_set), ensure_ascii=False) + "\n" for record in kept.values()]
    write_text(folder / METADATA, "".join(lines))
    return Finished(len(kept), len(records) - len(kept))


def _reasons(data_set: DataSet, place: DataSetFolder, records: Mapping[str, Record]) -> dict[str, str]:
    """Key -> why a filter leaves the pair out; empty for pairs that are kept."""
    if data_set.filter is None:
        return dict.fromkeys(records, "")
    clip = _similarities(data_set.filter.clip_model, place, records) if data_set.filter.clip_model else {}
    pairs = [
        Measured(key, record.wanted.objects[0].class_name, {**record.measures, **clip.get(key, {})})
        for key, record in records.items()
    ]
    return select(pairs, data_set.filter)


def _similarities(model: str, place: DataSetFolder, records: Mapping[str, Record]) -> dict[str, dict[str, float]]:
    """Key -> the cosine of CLIP between an image and its prompt."""
    clip, found = load_clip(model), dict[str, dict[str, float]]()
    for key, record in tqdm(records.items(), "CLIP", unit="image", mininterval=5):
        path = next(path for pairs in (place.pairs, place.rejected) if (path := pairs.images / f"{key}.png").exists())
        (similarity,) = clip.similarities([decode_rgb(read_file(path), str(path))], [record.wanted.prompt])
        found[key] = {"clip": float(similarity)}
    return found


def _move(place: DataSetFolder, key: str, reason: str) -> None:
    """Put a pair where it belongs."""
    source, target = (place.pairs, place.rejected) if reason else (place.rejected, place.pairs)
    for before, after in zip(source.files(f"{key}.png"), target.files(f"{key}.png"), strict=True):
        if before.exists():
            after.parent.mkdir(parents=True, exist_ok=True)
            before.replace(after)


def _metadata(record: Record, data_set: DataSet) -> dict[str, Any]:
    """The columns of a pair; paths are relative to the metadata's folder."""
    wanted, first = record.wanted, record.wanted.objects[0]
    return {
        "file_name": f"images/{wanted.key}.png",
        "mask_file_name": f"masks/{wanted.key}.png",
        "class": first.class_name,
        "label": data_set.class_names.index(first.class_name) + 1,
        "classes": [shown.class_name for shown in wanted.objects],
        "text": wanted.prompt,
        "rng_seed": wanted.rng_seed,
    }


def flaws_in(folder: Path) -> dict[str, Flaw]:
    """File name -> flaw of those images that are black, of one colour or clipped, whenever they were drawn."""
    paths = sorted(DataSetFolder(folder).pairs.images.glob("*.png"))
    return flaws_of((path.name, decode_rgb(read_file(path), str(path))) for path in paths)


# --- all of it


def make_data_set(data_set: DataSet, folder: Path) -> Finished:
    """Make a data set, or go on with it.

    ``SeediffError`` for a folder of other settings or of another model, and for what cannot be drawn.
    """
    images = plan_images(data_set, folder)
    unfinished = unfinished_images(DataSetFolder(folder), images, data_set.drawing.batch_size, WHOLE)
    pipe = open_model(data_set) if unfinished else None
    if DataSetFolder(folder).pairs.is_noted:
        note_settings(data_set, folder)
    drawn = draw_part(data_set, folder, images, pipe=pipe)
    for _ in tqdm(drawn, total=len(unfinished), unit="image", mininterval=5, disable=not unfinished):
        pass
    return finish(data_set, folder, images)
