"""Every table and the report of one study.

    snakemake --cores all                            the embedded study, from nothing
    snakemake --cores all --config study=NAME        config/studies/NAME.yaml
    snakemake --cores all results/mini/tables/table2.md
"""

configfile: "config/config.yaml"


# Used only with --software-deployment-method; by default jobs run in the environment that snakemake runs in.
container: "docker://condaforge/miniforge3"


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/outside.smk"
include: "rules/data.smk"
include: "rules/adapt.smk"
include: "rules/synthesize.smk"
include: "rules/segment.smk"
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
        TABLES,
        f"{RESULTS}/report.html",


# Where a run was asked for some files alone, the rest may not be there.
onsuccess:
    if tables := [table for table in TABLES if table.endswith(".md") and Path(table).exists()]:
        shell("seediff show {tables:q}", tables=tables)
    if Path(f"{RESULTS}/report.html").exists():
        print(f"Report: {RESULTS}/report.html")


# What went wrong stands in the job's own log; Snakemake itself shows only the command.
onerror:
    shell("seediff status --study {study:q} || true", study=str(config["study"]))
