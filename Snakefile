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
include: "rules/data.smk"
include: "rules/synthesize.smk"
include: "rules/segment.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        TABLES,
        f"{RESULTS}/report.html",


onsuccess:
    # A run for some targets alone leaves others that are not there.
    if tables := [table for table in TABLES if table.endswith(".md") and Path(table).is_file()]:
        shell("seediff show {tables:q}", tables=tables)
    if Path(f"{RESULTS}/report.html").is_file():
        print(f"Report: {RESULTS}/report.html")
