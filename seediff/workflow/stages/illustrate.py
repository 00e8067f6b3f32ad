"""Stages: pictures of the masks, drawn from images of the run itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seediff.datasets.images import encode_picture
from seediff.diffusion.synthesis import Drawn, draw
from seediff.files.sealed import partial
from seediff.names import slug
from seediff.prompts.prompt_sets import Prompt, make_prompts
from seediff.rng import derive_seed
from seediff.workflow.plan import FIGURES
from seediff.workflow.reporting.galleries import GALLERIES, Gallery, Method, at_point, picture, write_gallery
from seediff.workflow.reporting.strips import step_strip
from seediff.workflow.stages.pipelines import open_pipeline
from seediff.workflow.stages.refine import read_refinement


def publish_strips(spec: Mapping[str, Any], output: Path) -> None:
    """Draw one image a class and show what every mask step makes of it."""
    refinement, (steps,) = read_refinement(spec["refinement"]), spec["variants"].values()
    for drawn in _drawn(spec, make_prompts(**spec["prompts"])):
        picture = encode_picture(step_strip(drawn, steps, refinement))
        with partial(output / f"{slug(drawn.prompt.class_name)}.png") as unfinished:
            unfinished.write_bytes(picture)


def publish_figures(spec: Mapping[str, Any], output: Path) -> None:
    """Write every figure of the paper as PNG and PDF."""
    basic = list(_drawn(spec, make_prompts(**spec["prompts"])))
    every = {"basic": basic, "open": list(_drawn(spec, _open_prompts(spec)))}
    for name in FIGURES:
        gallery = GALLERIES[name]
        shown = basic if name == "figure5" else [one for one in every[gallery.prompts] if one.prompt.index == 0]
        _publish(spec, gallery, shown, output / name)


def publish_figure(spec: Mapping[str, Any], name: str, point: tuple[float, float] | None, output: Path) -> None:
    """Write one figure; ``point`` (x, y) in [0, 1] is where Figure 4's self-attention looks from."""
    gallery = at_point(*point) if point else GALLERIES[name]
    prompts = _open_prompts(spec) if gallery.prompts == "open" else make_prompts(**spec["prompts"])
    shown = prompts if name == "figure5" else [one for one in prompts if one.index == 0]
    _publish(spec, gallery, list(_drawn(spec, shown)), output / name)


def _publish(spec: Mapping[str, Any], gallery: Gallery, drawn: Sequence[Drawn], stem: Path) -> None:
    method = Method(spec["alpha"], read_refinement(spec["refinement"]))
    write_gallery(picture(gallery.grid(drawn, method)), stem)


def _open_prompts(spec: Mapping[str, Any]) -> list[Prompt]:
    seeds = [derive_seed(spec["rng_seed"], "open", number) for number in range(len(spec["open"]))]
    return [
        Prompt(
            key=f"open-{number:03d}",
            class_name=one["word"],
            index=0,
            prompt=one["prompt"],
            class_word=one["word"],
            rng_seed=seed,
            word_starts=tuple(one.get("starts", ())),
        )
        for number, (one, seed) in enumerate(zip(spec["open"], seeds, strict=True))
    ]


def _drawn(spec: Mapping[str, Any], prompts: Sequence[Prompt]) -> Iterator[Drawn]:
    pipe, sampling = open_pipeline(spec)
    return draw(pipe, prompts, sampling)
