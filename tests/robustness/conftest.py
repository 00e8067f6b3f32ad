"""The smoke study with trainings of some length and with every stage, run once without interruption."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Workspace
from tests.robustness.jobs import Job, finish, planned_jobs, results
from tests.workflow.test_adaptation import SMOKE, adapted

ITERATIONS, CHECKPOINT_EVERY = 24, 3


def robustness_workspace(folder: Path) -> Workspace:
    """Before any run; with rows for a filtered and a robust recipe, and for images of an adapted model."""
    workspace = adapted(folder)
    workspace.edit(
        SMOKE, "\nrecipes:\n", "\nrecipes:\n  robust: {image_set: basic, variant: caa, refinement: raw, robust: {}}\n"
    )
    exact = "      - {label: exact masks, recipe: exact, segmenter: resnet, benchmark: voc}\n"
    rows = [exact.replace("exact masks", name).replace("exact", name) for name in ("filtered", "robust")]
    workspace.edit(SMOKE, exact, exact + "".join(rows))
    for name in ("swin", "resnet"):
        settings = f"{name}: {{backbone: {name}-mini, iterations: "
        longer = f"{ITERATIONS}, batch_size: 2, checkpoint_every: {CHECKPOINT_EVERY}}}"
        workspace.edit(SMOKE, f"{settings}4, batch_size: 2, checkpoint_every: 2}}", settings + longer)
    return workspace


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run: its ``files``, and the ``seconds`` of each job."""

    folder: Path
    jobs: list[Job]
    seconds: list[float]
    files: dict[str, bytes]


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Not to be changed."""
    workspace = robustness_workspace(tmp_path_factory.mktemp("reference"))
    jobs, said = planned_jobs(workspace), workspace.folder / "said"
    seconds = [finish(job, workspace.folder, said) for job in jobs]
    return Reference(workspace.folder, jobs, seconds, results(workspace.folder))
