"""Measure every pair of a mask set, reading its shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from seediff.datasets.images import check_same_size, decode_mask, decode_rgb
from seediff.datasets.shards import ShardIndex, check_same_keys, check_same_model, class_of, prompt_of, shards_by_key
from seediff.errors import SeediffError
from seediff.filtering.clip import load_clip
from seediff.filtering.measures import Mask, agreement, area, connectedness, contrast
from seediff.filtering.selection import Measured
from seediff.filtering.settings import Filter
from seediff.finite import naming
from seediff.masks.shards import SCORES, read_score
from seediff.masks.steps import resize

CLIP_BATCH = 32
Shards = Mapping[str, ShardIndex]


@dataclass(frozen=True)
class Sources:
    """The shards that hold each key's image, scores, mask, and masks of other variants."""

    images: Shards
    scores: Shards
    masks: Shards
    others: Sequence[Shards]


def measure_pairs(
    images: Sequence[Path],
    scores: Sequence[Path],
    masks: Sequence[Path],
    others: Sequence[Path],
    variants: Mapping[str, str],
    settings: Filter,
) -> list[Measured]:
    """All pairs, sorted by key, with their measures, including CLIP's if there is a ``clip_model``.

    ``others``: the mask shards of the variants in ``agreement_with``, variant after variant. ``variants``: class ->
    the variant whose score its masks were made from. ``SeediffError`` for shards that do not belong together.
    """
    sources = _open(images, scores, masks, _by_variant(others, len(settings.agreement_with)))
    measured = [*_measured(sources, variants)]
    if settings.clip_model is None:
        return measured
    return [*_with_clip(measured, sources.images, settings.clip_model)]


def _by_variant(shards: Sequence[Path], variants: int) -> list[Sequence[Path]]:
    size = len(shards) // max(variants, 1)
    if size * variants != len(shards):
        raise SeediffError(f"There are {len(shards)} shards of other masks, but {variants} variants to agree with.")
    return [shards[k * size : (k + 1) * size] for k in range(variants)]


def _open(
    images: Sequence[Path], scores: Sequence[Path], masks: Sequence[Path], others: Sequence[Sequence[Path]]
) -> Sources:
    sources = Sources(
        images=shards_by_key(images),
        scores=shards_by_key(scores),
        masks=shards_by_key(masks),
        others=[shards_by_key(shards) for shards in others],
    )
    drawn = (*sources.images.values(), *sources.scores.values())
    check_same_model((shard.path, shard.model) for shard in drawn)
    check_same_keys(sources.images, sources.scores, "image", "scores")
    for masked in (sources.masks, *sources.others):
        check_same_keys(sources.images, masked, "image", "mask")
    if not sources.images:
        raise SeediffError("There are no images to filter.")
    return sources


def _measured(sources: Sources, variants: Mapping[str, str]) -> Iterator[Measured]:
    """Every pair, sorted by key, with all measures except CLIP's, rounded as in the table."""
    for key in tqdm(sorted(sources.images), unit="image", mininterval=5):
        name = class_of(sources.images[key], key)
        if name not in variants:
            raise SeediffError(f"{key}.json in {sources.images[key].path} names no class of this study.")
        measures = _measures(key, sources, variants[name])
        yield Measured(key, name, {measure: round(value, 6) for measure, value in measures.items()})


def _measures(key: str, sources: Sources, variant: str) -> dict[str, float]:
    mask, others = _mask(sources.masks, key), [_mask(made, key) for made in sources.others]
    for made, other in zip(sources.others, others, strict=True):
        check_same_size(mask, other, *(f"{key}.png in {shards[key].path}" for shards in (sources.masks, made)))
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
        pixels = [decode_rgb(images[pair.key].read(pair.key, "png"), f"{pair.key}.png") for pair in batch]
        prompts = [prompt_of(images[pair.key], pair.key) for pair in batch]
        with naming([pair.key for pair in batch]):
            similarities = clip.similarities(pixels, prompts)
        for pair, similarity in zip(batch, similarities, strict=True):
            yield Measured(pair.key, pair.class_name, {**pair.measures, "clip": round(similarity, 6)})
