"""Every job of a study with the files that it reads and makes, for code that looks at files without Snakemake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from seediff.workflow import layout
from seediff.workflow.layout import fill
from seediff.workflow.stage import Files, Stage, Work, told, wildcards_of
from seediff.workflow.stages import STAGES, report
from seediff.workflow.study import Study


@dataclass(frozen=True)
class Job:
    """One job of ``stage``; ``name`` identifies it among the stage's jobs (empty if there is only one).

    ``inputs`` are files of other jobs, and files that no job makes. ``spec`` is JSON. ``wildcards``, ``kind`` and
    ``amount`` of work are those of ``Work``. ``state``: the training state that it resumes from, if it has one;
    ``benchmark``: the file with the time that it took, if it is timed.
    """

    stage: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    log: str
    version: int
    spec: str
    benchmark: str = ""
    state: str = ""
    kind: str = ""
    amount: int = 1
    wildcards: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.stage} {self.name}".rstrip()


def study_jobs(study: Study) -> list[Job]:
    """Every job that the tables and the report need, each after the jobs whose files it reads."""
    return needed(every_job(study), targets(study), lambda path: False)


def every_job(study: Study) -> list[Job]:
    """Every job that the study's sections name, used by a table or not, each after the jobs whose files it reads."""
    specs: dict[tuple[str, ...], str] = {}
    return [make_job(study, name, work, specs) for name, stage in STAGES.items() for work in stage.work(study)]


def more_jobs(study: Study, jobs: Sequence[Job], files: Iterable[str]) -> list[Job]:
    """The jobs that make the files and are not in ``jobs``, in order: a study can name models that no table shows."""
    known = {output for job in jobs for output in job.outputs}
    found: list[Job] = []
    for file in files:
        if file not in known and (job := _maker(study, file)):
            job_and_before = [*more_jobs(study, [*jobs, *found], job.inputs), job]
            found += job_and_before
            known.update(output for more in job_and_before for output in more.outputs)
    return found


def _maker(study: Study, file: str) -> Job | None:
    """The job that makes the file, found by the file's name; None for a file that no stage makes."""
    for name, stage in STAGES.items():
        for template in _paths(stage.outputs(study)):
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(fill(template, study=study.name)))
            if "(?P" in pattern and (match := re.fullmatch(pattern, file)):
                return make_job(study, name, Work(match.groupdict()))
    return None


def needed(jobs: Sequence[Job], targets: Iterable[str], there: Callable[[str], bool]) -> list[Job]:
    """The jobs that have to run to make the targets, in order; ``there`` says which files exist.

    A file that does not exist is ignored if no job that still has to run reads it.
    """
    wanted, found = {*targets}, []
    for job in reversed(jobs):
        if any(output in wanted and not there(output) for output in job.outputs):
            wanted.update(job.inputs)
            found.append(job)
    return found[::-1]


def targets(study: Study) -> list[str]:
    """What the workflow is asked for: every table, and the report."""
    return [*report.inputs(study)["tables"], fill(layout.REPORT, study=study.name)]


def log_file(name: str, stage: Stage) -> str:
    """The template of the logs of a stage's jobs."""
    return fill(layout.LOG, job=f"{name}/{stage.JOB}".rstrip("/"))


def times_file(name: str, stage: Stage) -> str:
    """The template of the files that say how long a stage's jobs took."""
    return fill(layout.TIMES, job=f"{name}/{stage.JOB}".rstrip("/"))


def make_job(study: Study, name: str, work: Work, specs: dict[tuple[str, ...], str] | None = None) -> Job:
    """A job of the stage; ``specs`` caches the study's specs, which many jobs share, by stage and wildcards."""
    stage, specs = STAGES[name], {} if specs is None else specs
    key = (name, *(work.wildcards[wildcard] for wildcard in wildcards_of(stage.spec)))
    if key not in specs:
        specs[key] = spec_text(study, stage, work.wildcards)

    def filled(template: str) -> str:
        return fill(template, study=study.name, **work.wildcards)

    return Job(
        stage=name,
        name=filled(stage.JOB),
        inputs=(*_paths(told(stage.inputs, study, work.wildcards)),),
        outputs=(*map(filled, _paths(stage.outputs(study))),),
        log=filled(log_file(name, stage)),
        version=stage.VERSION,
        spec=specs[key],
        benchmark=filled(times_file(name, stage)) if stage.TIMED else "",
        state=filled(stage.STATE),
        kind=work.kind,
        amount=work.amount,
        wildcards=work.wildcards,
    )


def spec_text(study: Study, stage: Stage, wildcards: Mapping[str, str]) -> str:
    """A job's spec as JSON, as its command line takes it."""
    return json.dumps(told(stage.spec, study, wildcards).model_dump(mode="json"), sort_keys=True)


def _paths(files: Files) -> Iterator[str]:
    return chain.from_iterable([paths] if isinstance(paths, str) else paths for paths in files.values())
