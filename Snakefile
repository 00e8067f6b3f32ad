"""Every table and the report of one study.

    snakemake --cores all                            the embedded study, from nothing
    snakemake --cores all --config study=NAME        config/studies/NAME.yaml
    snakemake --cores all results/mini/tables/table2.md
"""

configfile: "config/config.yaml"


# Used only with --software-deployment-method; by default jobs run in the environment that snakemake runs in.
container: "docker://condaforge/miniforge3"


include: "rules/common.smk"
include: "rules/stages.smk"
include: "rules/outside.smk"
include: "rules/failures.smk"
include: "rules/scheduling.smk"
include: "rules/data.smk"
include: "rules/adapter.smk"
include: "rules/synthesize.smk"
include: "rules/segment.smk"
include: "rules/judge.smk"
include: "rules/report.smk"


# Seconds of reading and writing: not worth a place in a cluster's queue.
localrules:
    prompts,
    assemble,
    tabulate,
    report,


rule all:
    default_target: True
    input:
        REPORTED["tables"],
        **outputs_of("report"),


rule models:
    input:
        REPORTED["histories"],  # for the weights may have been left out, where nothing asks for them
