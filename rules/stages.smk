"""What the modules of ``seediff.workflow.stages`` say to the rules: the files and the spec of a stage's jobs.

Which jobs are done is told by their records (``seediff.workflow.records``), not by Snakemake's notes or the times of files.
So a job that has to run reads a mark that is newer than all files. The inputs of any other count as old, and those that
are not there are not missed.
"""

from functools import cache

from seediff.workflow import records
from seediff.workflow.stage import Work

MARK = Path(".snakemake/outdated")


def mark():
    MARK.parent.mkdir(exist_ok=True)
    MARK.write_text(f"{time.time_ns()}\n")


if not MARK.exists():
    mark()


@cache
def jobs():
    return graph.every_job(STUDY)


@cache
def digests():
    return records.digests(jobs(), SOURCES)


@cache
def is_waiting():
    """Whether a job, by its title, has to run for what Snakemake is asked for."""
    asked = workflow.dag_settings
    if not workflow.is_main_process or asked.forceall or asked.forcetargets or asked.forcerun:
        return lambda title: True
    files = wanted(asked.targets)
    every = [*jobs(), *graph.more_jobs(STUDY, jobs(), files)]
    made = records.made(every, records.digests(every, SOURCES))
    waiting = {job.title for job in graph.needed(every, files, made.__contains__)}
    if waiting:
        mark()
    return waiting.__contains__


def wanted(targets):
    """The files that Snakemake is asked for: by themselves, by a rule's name, or by nothing, which is all."""
    named = {"all": graph.targets(STUDY), "models": REPORTED["histories"]}
    named |= {name: [path for job in jobs() if job.stage == name for path in job.outputs] for name in STAGES}
    return [path for target in targets or ["all"] for path in named.get(target, [target])]


def inputs_of(stage):
    """An input function: the files that the stage's job reads, by name."""

    def inputs(wildcards):
        found = {**told(STAGES[stage].inputs, STUDY, wildcards), "mark": str(MARK)}
        if is_waiting()(job_of(stage, wildcards)):
            return found
        return {name: ancient(there(paths)) for name, paths in found.items()}

    return inputs


def there(paths):
    """Those that exist."""
    return [path for path in ([paths] if isinstance(paths, str) else paths) if Path(path).exists()]


def job_of(stage, wildcards):
    """The title of the stage's job."""
    return layout.fill(f"{stage} {STAGES[stage].JOB}".rstrip(), **wildcards)


def outputs_of(stage):
    """The templates of the files that the stage's jobs make, by name."""
    filled = {
        name: layout.fill(files, study=STUDY.name) if isinstance(files, str) else files
        for name, files in STAGES[stage].outputs(STUDY).items()
    }
    return filled


def log_of(stage):
    return layout.fill(graph.log_file(stage, STAGES[stage]), study=STUDY.name)


def times_of(stage):
    return layout.fill(graph.times_file(stage, STAGES[stage]), study=STUDY.name)


def checkpoints_of(stage):
    """The folder of the state that a job resumes from."""
    return os.path.dirname(layout.fill(STAGES[stage].STATE, study=STUDY.name))


def spec_of(stage):
    """A params function: what the stage's job is told, as its command line takes it."""
    return lambda wildcards: graph.spec_text(STUDY, STAGES[stage], wildcards)


def digest_of(stage):
    """A params function: what the job is recorded by."""

    def digest(wildcards):
        if (title := job_of(stage, wildcards)) in digests():
            return digests()[title]
        job = graph.make_job(STUDY, stage, Work(dict(wildcards)))
        every = [*jobs(), *graph.more_jobs(STUDY, jobs(), job.inputs), job]
        return records.digests(every, SOURCES)[title]

    return digest
