"""What the modules of ``seediff.workflow.stages`` say to the rules: the files and the spec of a stage's jobs."""


def inputs_of(stage):
    """An input function: the files of other jobs that the stage's job reads, by name.

    A manifest follows from its shard: whether it is there is a question, whether it has changed is none.
    """

    def inputs(wildcards):
        found = dict(told(STAGES[stage].inputs, STUDY, wildcards))
        return found | {"manifests": list(map(ancient, found["manifests"]))} if "manifests" in found else found

    return inputs


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


def spec_of(stage, add=lambda spec, wildcards: spec):
    """A params function: what the stage's job is told, as its command line takes it.

    ``add``: adds what the spec says of files outside of the study.
    """

    def spec(wildcards):
        content = told(STAGES[stage].spec, STUDY, wildcards).model_dump(mode="json")
        return json.dumps(add(content, wildcards), sort_keys=True)

    return spec
