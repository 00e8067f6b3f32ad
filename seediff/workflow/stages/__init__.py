"""The stages of the workflow, in the order in which they run; ``seediff.workflow.stage`` defines their interface."""

from __future__ import annotations

from seediff.workflow.stage import Stage
from seediff.workflow.stages import (
    adapter,
    assemble,
    domain,
    evaluate,
    figures,
    filter,
    judge,
    predictions,
    prompts,
    refine,
    replay,
    report,
    strips,
    synthesize,
    tabulate,
    train,
)

STAGES: dict[str, Stage] = {
    "prompts": prompts,
    "domain": domain,
    "adapter": adapter,
    "synthesize": synthesize,
    "replay": replay,
    "refine": refine,
    "filter": filter,
    "assemble": assemble,
    "train": train,
    "evaluate": evaluate,
    "judge": judge,
    "tabulate": tabulate,
    "predictions": predictions,
    "strips": strips,
    "figures": figures,
    "report": report,
}
