"""Stage: a segmenter, trained on the training set of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seediff.datasets.augmentation import Augmentation
from seediff.segmenter.settings import RobustTraining
from seediff.versions import VERSIONS
from seediff.workflow import layout, plan
from seediff.workflow.layout import fill
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.stages import assemble
from seediff.workflow.study import Study, SyntheticRecipe
from seediff.workflow.study.sections import Segmenter
from seediff.workflow.study.values import Names, Repeat, Seed

VERSION = VERSIONS["train"]
JOB, STATE, TIMED, GPUS = layout.MODEL, layout.STATE, True, 64


class Spec(BaseSpec):
    """``draw``: of the drawn images; None if there is only one draw."""

    classes: Names
    segmenter: Segmenter
    augmentation: Augmentation | None
    rng_seed: Seed
    repeat: Repeat
    draw: Annotated[int | None, Field(exclude_if=lambda value: value is None)] = None
    robust: Annotated[RobustTraining | None, Field(exclude_if=lambda value: value is None)] = None


def spec(study: Study, recipe: str, segmenter: str, repeat: str) -> Spec:
    section = study.recipes[recipe]
    return Spec(
        classes=study.recipe_classes(recipe),
        segmenter=study.segmenters[segmenter],
        augmentation=study.augmentations[section.augmentation] if section.augmentation else None,
        rng_seed=study.rng_seed,
        repeat=int(repeat),
        draw=plan.draw_of(study, recipe, int(repeat)),
        robust=section.robust if isinstance(section, SyntheticRecipe) else None,
    )


def inputs(study: Study, recipe: str, segmenter: str, repeat: str) -> Files:
    """``start``: the weights of the model that the training goes on from, if it does not start from its backbone's."""
    start, pretrained = plan.start_model(study, recipe, segmenter, repeat), study.segmenters[segmenter].pretrained
    return {
        **assemble.pairs(study, recipe),
        "training_set": fill(layout.TRAINING_SET, study=study.name, recipe=recipe),
        "start": [plan.model_file(study, layout.WEIGHTS_FILE, start)] if start else [],
        "backbone": plan.network_inputs(pretrained) if pretrained and not start else [],
    }


def outputs(study: Study) -> Files:
    """``segmenter`` and ``model`` are read by other stages, ``config`` and ``processor`` by transformers."""
    return {
        "model": layout.WEIGHTS_FILE,
        "segmenter": layout.SEGMENTER,
        "config": layout.CONFIG,
        "processor": layout.PROCESSOR,
        "history": layout.HISTORY,
    }


def work(study: Study) -> Iterator[Work]:
    """Those that others start from come first."""
    for model in sorted(plan.models(study), key=lambda model: len(plan.starts(study, model))):
        recipe, segmenter, repeat = model.split("/")
        wildcards = {"recipe": recipe, "segmenter": segmenter, "repeat": repeat}
        yield Work(wildcards, plan.network(study, recipe, segmenter), study.segmenters[segmenter].iterations)


def run(spec: Spec, training_set: Path, start: Path | None, checkpoints: Path, output: Path) -> None:
    """Train a segmenter on a training set.

    Goes on from a state in ``checkpoints`` where the same call was stopped earlier. ``start``: the weights of the
    trained model to begin with, if any.
    """
    from seediff.datasets.flaws import FLAWS
    from seediff.datasets.training_sets import load_training_set
    from seediff.rng import derive_seed
    from seediff.segmenter.cotraining import CoTraining
    from seediff.segmenter.train import Supervised, train

    pairs = load_training_set(training_set, spec.draw or 0)
    train(
        pairs,
        spec.segmenter,
        ["background", *spec.classes],
        output,
        checkpoints,
        rng_seed=derive_seed(spec.rng_seed, "repeat", spec.repeat),
        augmentation=spec.augmentation or Augmentation(),
        start=start,
        pairs_digest=pairs.digest,
        version=VERSION,
        about={FLAWS: pairs.flaws} if pairs.flaws else {},
        objective=CoTraining(pairs.uncertainty, spec.robust) if spec.robust else Supervised(),
    )
