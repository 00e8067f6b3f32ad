"""Every table and the report of one study.

    snakemake --cores all                            the embedded study, from nothing
    snakemake --cores all --config study=NAME        config/studies/NAME.yaml
    snakemake --cores all results/mini/tables/table2.md
    snakemake --cores all --config dataset=FILE      a data set of your own words instead (rules/dataset.smk)
"""

configfile: "config/config.yaml"


# Used only with --software-deployment-method; by default jobs run in the environment that snakemake runs in.
container: "docker://condaforge/miniforge3"


include: "rules/dataset.smk" if "dataset" in config else "rules/study.smk"


rule all:
    default_target: True
    input:
        **TARGETS,
