"""Stage: the paper's qualitative figures, of images of the run itself and of open prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seediff.masks.refinement import Refinement
from seediff.settings import Share
from seediff.workflow import layout, plan
from seediff.workflow.layout import FIGURE_SUFFIXES, fill
from seediff.workflow.stage import Files, Work
from seediff.workflow.stages import prompts
from seediff.workflow.stages.synthesize import Denoising
from seediff.workflow.study import Study
from seediff.workflow.study.outputs import Figures, OpenPrompt
from seediff.workflow.study.values import Seed

if TYPE_CHECKING:
    from seediff.diffusion.synthesis import Drawn
    from seediff.prompts.prompt_sets import Prompt
    from seediff.workflow.reporting.galleries import Gallery

VERSION = 1
JOB, STATE, TIMED, GPUS = "", "", True, 1


class Spec(Denoising):
    prompts: prompts.Spec
    open: tuple[OpenPrompt, ...]
    rng_seed: Seed
    alpha: Share
    refinement: Refinement


def spec(study: Study) -> Spec:
    section = study.figures
    assert isinstance(section, Figures)
    shown = prompts.spec(study, study.image_sets[section.image_set].prompt_set)
    return Spec(
        diffusion=study.diffusion,
        adapter=next(iter(plan.adapter_files(study, section.image_set)), None),
        prompts=shown.model_copy(update={"classes": section.classes, "per_class": section.candidates}),
        open=section.open,
        rng_seed=study.rng_seed,
        alpha=study.thresholds.alpha,
        refinement=study.refinement(next(iter(study.refinements))),
    )


def inputs(study: Study) -> Files:
    adapter = plan.adapter_files(study, study.figures.image_set) if study.figures else []
    return {"adapter": adapter, "diffusion": plan.diffusion_files(study)}


def files(study: Study, suffixes: Sequence[str]) -> list[str]:
    names = plan.FIGURES if study.figures else ()
    where = [{"study": study.name, "figure": name, "suffix": suffix} for name in names for suffix in suffixes]
    return [fill(layout.FIGURE, **wildcards) for wildcards in where]


def outputs(study: Study) -> Files:
    return {"figures": files(study, FIGURE_SUFFIXES)}


def work(study: Study) -> Iterator[Work]:
    if study.figures:
        yield Work()


def run(spec: Spec, output: Path) -> None:
    """Draw every qualitative figure of the paper."""
    from seediff.prompts.prompt_sets import make_prompts
    from seediff.workflow.reporting.galleries import GALLERIES

    basic = _drawn(spec, make_prompts(**spec.prompts.model_dump(mode="json")))
    every = {"basic": basic, "open": _drawn(spec, _open_prompts(spec))}
    for name in plan.FIGURES:
        shown = [drawn for drawn in every[GALLERIES[name].prompts] if _is_shown(name, drawn.prompt)]
        _write(spec, GALLERIES[name], shown, output / name)


def draw_figure(spec: Spec, name: str, point: tuple[float, float] | None, output: Path) -> None:
    """Write one figure; ``point`` (x, y) in [0, 1] is where Figure 4's self-attention looks from."""
    from seediff.prompts.prompt_sets import make_prompts
    from seediff.workflow.reporting.galleries import GALLERIES, at_point

    gallery = at_point(*point) if point else GALLERIES[name]
    asked = spec.prompts.model_dump(mode="json")
    prompts = _open_prompts(spec) if gallery.prompts == "open" else make_prompts(**asked)
    drawn = _drawn(spec, [prompt for prompt in prompts if _is_shown(name, prompt)])
    _write(spec, gallery, drawn, output / name)


def _is_shown(figure: str, prompt: Prompt) -> bool:
    """Figure 5 chooses among all images of a class; the others show the first."""
    return figure == "figure5" or prompt.index == 0


def _write(spec: Spec, gallery: Gallery, drawn: Sequence[Drawn], stem: Path) -> None:
    from seediff.workflow.reporting.galleries import Method
    from seediff.workflow.reporting.grids import picture, write_gallery

    write_gallery(picture(gallery.grid(drawn, Method(spec.alpha, spec.refinement))), stem)


def _open_prompts(spec: Spec) -> list[Prompt]:
    from seediff.prompts.prompt_sets import Prompt
    from seediff.rng import derive_seed

    return [
        Prompt(
            key=f"open-{number:03d}",
            class_name=written.word,
            index=0,
            prompt=written.prompt,
            class_word=written.word,
            rng_seed=derive_seed(spec.rng_seed, "open", number),
            word_starts=written.starts,
        )
        for number, written in enumerate(spec.open)
    ]


def _drawn(spec: Spec, prompts: Sequence[Prompt]) -> list[Drawn]:
    from seediff.diffusion.synthesis import draw

    pipe, sampling = spec.pipeline()
    return list(draw(pipe, prompts, sampling))
