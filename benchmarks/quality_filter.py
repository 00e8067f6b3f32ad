"""Do a pair's measures know how good its mask is? (See docs/methods/quality-filter.md.)

    python -m benchmarks.quality_filter              five minutes on one idle core

Masks of 200 annotated scenes of the embedded world, recorded as a judge of scenes does, beside the exact ones:
Spearman's rank correlation of each measure with the IoU, and the mean IoU of what a filter keeps of each class.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from seediff.attention.calls import ALL
from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.classes import IGNORE_LABEL
from seediff.diffusion.loading import load
from seediff.diffusion.scenes import annotated_scenes, record_scenes
from seediff.embedded.domains import write_domain
from seediff.embedded.vocabulary import CLASSES
from seediff.filtering.measures import Mask, agreement, area, connectedness, contrast
from seediff.filtering.selection import Measured, select
from seediff.filtering.settings import Filter
from seediff.masks.refinement import PamrSettings, Refinement, refine, to_mask
from seediff.masks.steps import resize
from seediff.masks.variants import VARIANTS, apply, resolve

SCENES, BATCH, SIDE = 200, 8, 64
TIMESTEPS = range(50, 1000, 100)
PAMR = PamrSettings(dilations=(1, 2, 3))
STEPS = {name: resolve(VARIANTS[name]) for name in ("caa", "cre", "ire", "seediff", "ca_sa")}
STEPS["attn2mask"] = resolve([("summed_cross_attention", {"layers": {"1": 2, "1/2": 3, "1/4": 4}})])
THRESHOLDS = {**dict.fromkeys(STEPS, 0.3), "attn2mask": 0.4}
COMPARED: dict[str, list[tuple[str, ...]]] = {
    "seediff": [("caa", "cre"), ("cre", "ire"), ("ca_sa",), ("caa", "cre", "ire", "ca_sa")],
    "attn2mask": [("seediff", "ca_sa")],
    "caa": [("cre", "seediff")],
}
"""Variant -> the sets of other variants that its masks are compared with."""
RANKINGS = [("agreement",), ("contrast",), ("connectedness",), ("agreement", "contrast", "connectedness")]
BEST = {"seediff": ("ca_sa",), "attn2mask": ("seediff", "ca_sa"), "caa": ("cre", "seediff")}


@dataclass(frozen=True)
class Found:
    """One object: its class, and of each variant the score at image size, the mask and the IoU with the exact one."""

    class_name: str
    scores: Mapping[str, NDArray[np.float32]]
    masks: Mapping[str, Mask]
    ious: Mapping[str, float]

    def measures(self, variant: str, others: Sequence[str]) -> dict[str, float]:
        mask = self.masks[variant]
        return {
            "agreement": agreement(mask, [self.masks[name] for name in others]),
            "area": area(mask),
            "connectedness": connectedness(mask),
            "contrast": contrast(mask, self.scores[variant]),
        }


def objects() -> Iterator[Found]:
    """Every object of the scenes, with the masks of all variants."""
    pipe, words = load("assets/pictograms"), {name: name for name in CLASSES}
    with tempfile.TemporaryDirectory() as folder:
        write_domain("voc", Path(folder), train=1, val=SCENES, rng_seed=0)
        benchmark = open_benchmark("voc", Path(folder), "val", CLASSES)
        scenes = [*islice(annotated_scenes(benchmark, words, SIDE), SCENES)]
    for start in range(0, len(scenes), BATCH):
        batch = scenes[start : start + BATCH]
        recorded = record_scenes(pipe, batch, TIMESTEPS, [ALL], 0)
        for scene, maps in zip(batch, recorded, strict=True):
            for name in scene.classes:
                truth, known = scene.labels == CLASSES.index(name) + 1, scene.labels != IGNORE_LABEL
                scores = {variant: apply(steps, maps[ALL].for_word(name)) for variant, steps in STEPS.items()}
                masks = {
                    variant: to_mask(refine(score, scene.image, Refinement(PAMR)), 1, THRESHOLDS[variant])
                    for variant, score in scores.items()
                }
                ious = {variant: _iou(mask[known] == 1, truth[known]) for variant, mask in masks.items()}
                large = {variant: resize(score, (SIDE, SIDE)).numpy() for variant, score in scores.items()}
                yield Found(name, large, masks, ious)


def _iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))


def correlations(found: Sequence[Found]) -> Iterator[str]:
    yield "| masks | mean IoU | agreement with | | area | connectedness | contrast |\n|---|---|---|---|---|---|---|"
    for variant, sets in COMPARED.items():
        ious = [shown.ious[variant] for shown in found]
        for others in sets:
            measures = [shown.measures(variant, others) for shown in found]
            rho = {name: spearmanr([values[name] for values in measures], ious).statistic for name in measures[0]}
            numbers = " | ".join(f"{value:.2f}" for value in rho.values())
            agreed, _, rest = numbers.partition(" | ")
            yield f"| `{variant}` | {100 * np.mean(ious):.1f} | {', '.join(others)} | {agreed} | {rest} |"


def selections(found: Sequence[Found]) -> Iterator[str]:
    yield "| masks | `rank_by` | `keep: 0.8` | | `keep: 0.5` | |\n|---|---|---|---|---|---|"
    for variant, others in [("seediff", ("caa", "cre")), *BEST.items()]:
        for rank_by in RANKINGS:
            cells = [cell for keep in (0.8, 0.5) for cell in kept(found, variant, others, rank_by, keep)]
            yield f"| `{variant}` | {', '.join(rank_by)} ({', '.join(others)}) | {' | '.join(cells)} |"


def kept(
    found: Sequence[Found], variant: str, others: Sequence[str], rank_by: tuple[str, ...], keep: float
) -> tuple[str, str]:
    """Mean IoU of the pairs that are kept, and the share of the worst tenth of all that is among them."""
    pairs = [Measured(f"{k:03d}", shown.class_name, shown.measures(variant, others)) for k, shown in enumerate(found)]
    reasons = select(pairs, Filter(keep=keep, rank_by=rank_by, agreement_with=tuple(others)))
    ious = np.array([shown.ious[variant] for shown in found])
    left = np.array([not reasons[pair.key] for pair in pairs])
    worst = ious <= np.quantile(ious, 0.1)
    return f"{100 * ious[left].mean():.1f}", f"{100 * left[worst].mean():.0f} %"


def main() -> None:
    found = [*objects()]
    print(f"{len(found)} objects")
    print("\n".join([*correlations(found), "", *selections(found)]))


if __name__ == "__main__":
    main()
