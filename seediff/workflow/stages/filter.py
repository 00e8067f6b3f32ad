"""Stage: the measures of every pair of a mask set, and which pairs are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seediff.datasets.images import check_same_size, decode_mask, decode_rgb
from seediff.datasets.prompt_rows import class_of, prompt_of
from seediff.datasets.shards import ShardIndex, check_same_keys, check_same_model, shards_by_key
from seediff.errors import SeediffError
from seediff.filtering.clip import load_clip
from seediff.filtering.measures import Mask, agreement, area, connectedness, contrast
from seediff.filtering.selection import Measured, select
from seediff.filtering.settings import Filter
from seediff.filtering.table import write_selection
from seediff.finite import naming
from seediff.masks.scores import resize
from seediff.workflow.devices import claimed
from seediff.workflow.stages.refine import read_score
from seediff.workflow.stages.synthesize import SCORES

CLIP_BATCH = 32
Shards = Mapping[str, ShardIndex]


@dataclass(frozen=True)
class Sources:
    """Where each key's image, scores, mask, and masks of other variants are."""

    images: Shards
    scores: Shards
    masks: Shards
    others: Sequence[Shards]


def filter_pairs(
    spec: Mapping[str, Any],
    images: Sequence[Path],
    scores: Sequence[Path],
    masks: Sequence[Path],
    others: Sequence[Path],
    output: Path,
) -> None:
    """Write the table of all pairs; ``others``: the mask shards of the variants to agree with, one after the other."""
    asked = _read_filter(spec["filter"])
    sources = _open(images, scores, masks, _by_variant(others, len(asked.agreement_with)))
    measured = [*_measured(sources, spec["variants"])]
    if asked.clip_model is not None:
        with claimed():
            measured = [*_with_clip(measured, sources.images, asked.clip_model)]
    write_selection(output, measured, select(measured, asked))


def _read_filter(values: Mapping[str, Any]) -> Filter:
    """A ``Filter`` from its JSON form."""
    settings: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
    return Filter(**settings)


def _by_variant(shards: Sequence[Path], variants: int) -> list[Sequence[Path]]:
    size = len(shards) // max(variants, 1)
    if size * variants != len(shards):
        raise SeediffError(f"There are {len(shards)} shards of other masks, but {variants} variants to agree with.")
    return [shards[k * size : (k + 1) * size] for k in range(variants)]


def _open(
    images: Sequence[Path], scores: Sequence[Path], masks: Sequence[Path], others: Sequence[Sequence[Path]]
) -> Sources:
    drawn, scored, made = shards_by_key(images), shards_by_key(scores), shards_by_key(masks)
    sources = Sources(drawn, scored, made, [*map(shards_by_key, others)])
    check_same_model((shard.path, shard.model) for shard in (*drawn.values(), *scored.values()))
    check_same_keys(sources.images, sources.scores, "image", "scores")
    for one in (sources.masks, *sources.others):
        check_same_keys(sources.images, one, "image", "mask")
    if not sources.images:
        raise SeediffError("There are no images to filter.")
    return sources


def _measured(sources: Sources, variants: Mapping[str, str]) -> Iterator[Measured]:
    """Every pair in the order of keys with all measures but CLIP's, rounded as they are written."""
    for key in tqdm(sorted(sources.images), unit="image", mininterval=5):
        name = class_of(sources.images[key], key)
        if name not in variants:
            raise SeediffError(f"{key}.json in {sources.images[key].path} names no class of this study.")
        measures = _measures(key, sources, variants[name])
        yield Measured(key, name, {measure: round(value, 6) for measure, value in measures.items()})


def _measures(key: str, sources: Sources, variant: str) -> dict[str, float]:
    mask, others = _mask(sources.masks, key), [_mask(made, key) for made in sources.others]
    for made, other in zip(sources.others, others, strict=True):
        check_same_size(mask, other, *(f"{key}.png in {one[key].path}" for one in (sources.masks, made)))
    shard = sources.scores[key]
    score = read_score(shard.read(key, SCORES), f"{key}.{SCORES} in {shard.path}", variant)
    return {
        **({"agreement": agreement(mask, others)} if others else {}),
        "area": area(mask),
        "connectedness": connectedness(mask),
        "contrast": contrast(mask, resize(score, (mask.shape[0], mask.shape[1])).numpy()),
    }


def _mask(shards: Shards, key: str) -> Mask:
    return decode_mask(shards[key].read(key, "png"), f"{key}.png in {shards[key].path}")


def _with_clip(measured: Sequence[Measured], images: Shards, model: str) -> Iterator[Measured]:
    clip = load_clip(model)
    for start in tqdm(range(0, len(measured), CLIP_BATCH), unit="batch", mininterval=5):
        batch = measured[start : start + CLIP_BATCH]
        pixels = [decode_rgb(images[one.key].read(one.key, "png"), f"{one.key}.png") for one in batch]
        prompts = [prompt_of(images[one.key], one.key) for one in batch]
        with naming([one.key for one in batch]):
            similarities = clip.similarities(pixels, prompts)
        for one, similarity in zip(batch, similarities, strict=True):
            yield Measured(one.key, one.class_name, {**one.measures, "clip": round(similarity, 6)})
