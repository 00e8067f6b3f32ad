"""Every table and the report of a study."""


include: "common.smk"
include: "stages.smk"
include: "outside.smk"
include: "failures.smk"
include: "scheduling.smk"
include: "data.smk"
include: "adapter.smk"
include: "synthesize.smk"
include: "segment.smk"
include: "judge.smk"
include: "report.smk"


# Seconds of reading and writing: not worth a place in a cluster's queue.
localrules:
    prompts,
    assemble,
    tabulate,
    report,


TARGETS = {"tables": REPORTED["tables"], **outputs_of("report")}


rule models:
    input:
        REPORTED["histories"],  # for the weights may have been left out, where nothing asks for them
