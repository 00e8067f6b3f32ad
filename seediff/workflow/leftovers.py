"""Files among a study's results that no longer belong to it, such as those of a table or a recipe that was removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from seediff.workflow.graph import study_jobs
from seediff.workflow.layout import OF_NO_JOB, SNAPSHOT, SOURCES, fill
from seediff.workflow.progress import Results
from seediff.workflow.study import Study


def leftovers(study: Study, folder: Path) -> list[Path]:
    """Files in the study's results ``folder`` that no job of the study makes, in order; without hidden ones."""
    results = Results(study.name, folder)
    own = {os.fspath(results.path(output)) for job in study_jobs(study) for output in job.outputs}
    own |= {os.fspath(results.path(fill(note, study=study.name))) for note in (SOURCES, SNAPSHOT)}
    return sorted(Path(file) for file in _files(folder) if file.removesuffix(".partial") not in own)


def _files(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in OF_NO_JOB]
        yield from (os.path.join(place, name) for name in names if not name.startswith("."))
