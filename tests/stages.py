"""Stages called by tests as their command line calls them, their specs as plain JSON content."""

from __future__ import annotations

import json
from typing import Any

from seediff.cli import stages
from seediff.workflow.stages import STAGES
from seediff.workflow.study import Study


def spec_of(stage: str, study: Study, *wildcards: str) -> dict[str, Any]:
    """What the study tells a job of the stage."""
    content: dict[str, Any] = STAGES[stage].spec(study, *wildcards).model_dump(mode="json")
    return content


def typed(stage: str, spec: Any) -> Any:
    """The spec as the stage reads it."""
    return stages.read_spec(STAGES[stage], json.dumps(spec))


def read_spec(stage: str, text: str) -> dict[str, Any]:
    """The content of a spec after it was read."""
    content: dict[str, Any] = typed(stage, json.loads(text)).model_dump(mode="json")
    return content


def run_stage(stage: str, spec: Any, *files: Any) -> None:
    STAGES[stage].run(typed(stage, spec), *files)
