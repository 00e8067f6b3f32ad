"""A data set of one's own words, drawn in parts (docs/data-set-of-your-own.md).

    snakemake --cores all --config dataset=dataset.yaml                    into results/dataset/
    snakemake --cores all --config dataset=dataset.yaml output=FOLDER

Images are no outputs of these rules, which Snakemake would delete before it runs a job again: a part that was stopped
goes on where it was. What is done is marked by empty files below ``.parts``.
"""

import sys
from math import ceil
from pathlib import Path

from seediff.errors import SeediffError
from seediff.generation.settings import read_data_set

IMAGES_PER_JOB = 100

for key in config.keys() - {"study", "dataset", "output"}:
    sys.exit(f"error: A data set has no setting {key!r}.\nThose it has are 'dataset' and 'output'.")

CONFIG = Path(str(config["dataset"]))
OUTPUT = str(config.get("output", f"results/{CONFIG.stem}"))
try:
    DATA_SET = read_data_set(CONFIG)
except SeediffError as error:
    sys.exit(f"error: {error}")
PARTS = ceil(len(DATA_SET.classes) * DATA_SET.images / IMAGES_PER_JOB)


localrules:
    all,
    begin_dataset,
    finish_dataset,


TARGETS = {"finished": f"{OUTPUT}/.parts/finished"}


rule finish_dataset:
    input:
        expand(f"{OUTPUT}/.parts/{{part}}-of-{PARTS}", part=range(1, PARTS + 1)),
    output:
        touch(TARGETS["finished"]),
    params:
        config=str(CONFIG),
        output=OUTPUT,
    shell:
        "seediff dataset finish --config {params.config:q} --output {params.output:q}"


rule begin_dataset:
    input:
        CONFIG,
    output:
        touch(f"{OUTPUT}/.parts/begun"),
    params:
        output=OUTPUT,
    shell:
        "seediff dataset begin --config {input:q} --output {params.output:q}"


rule draw_dataset:
    input:
        rules.begin_dataset.output,
    output:
        touch(f"{OUTPUT}/.parts/{{part}}-of-{PARTS}"),
    log:
        f"{OUTPUT}/.parts/{{part}}-of-{PARTS}.log",
    wildcard_constraints:
        part=r"\d+",
    params:
        config=str(CONFIG),
        output=OUTPUT,
        parts=PARTS,
    shell:
        "seediff dataset draw --config {params.config:q} --output {params.output:q}"
        " --part {wildcards.part}/{params.parts} > {log:q} 2>&1"
