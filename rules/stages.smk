"""What the modules of ``seediff.workflow.stages`` say to the rules: the files and the spec of a stage's jobs.

Which jobs are done is told by their records (``seediff.workflow.records``), not by the times of files: the inputs of a
job that is done count as old. Those of any other do not, and among them is a mark that is newer than all its files.
"""

from functools import cache

from seediff.workflow import records


@cache
def digests():
    return records.digests(graph.every_job(STUDY), SOURCES)


MARK = Path(".snakemake/outdated")
OUTDATED = records.outdated(graph.every_job(STUDY), digests()) if workflow.is_main_process else set()
if OUTDATED or not MARK.exists():
    MARK.parent.mkdir(exist_ok=True)
    MARK.write_text(f"{time.time_ns()}\n")


def inputs_of(stage):
    """An input function: the files that the stage's job reads, by name."""

    def inputs(wildcards):
        found = {**told(STAGES[stage].inputs, STUDY, wildcards), "mark": str(MARK)}
        done = job_of(stage, wildcards) not in OUTDATED
        return {name: ancient(paths) for name, paths in found.items()} if done else found

    return inputs


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
    return lambda wildcards: digests()[job_of(stage, wildcards)]
