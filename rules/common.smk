"""What all rules share: the study, its wildcards, and params that follow from a rule's files."""

import json
import os
import re
import sys
import time
from pathlib import Path

from seediff.errors import SeediffError
from seediff.names import slug
from seediff.workflow import graph, layout, plan
from seediff.workflow.sources import check_named, find_sources, pinned, read_sources, real_data
from seediff.workflow.stage import told
from seediff.workflow.stages import STAGES
from seediff.workflow.study import find_study, load_study, read_snapshot
from seediff.workflow.study.mask_sets import WITH_RELIABILITY

for key in config.keys() - {"study", "paths"}:
    sys.exit(f"error: The workflow has no setting {key!r}.\nThose it has are 'study' and 'paths': --config study=paper")
if config.get("paths", "unchecked") != "unchecked":
    sys.exit("error: The setting 'paths' can only be 'unchecked'; leave it out to check the paths.")

try:
    FILE = find_study(str(config["study"] or ""))
    RESULTS = layout.fill(layout.RESULTS, study=FILE.stem)
    SOURCES = read_sources(Path(RESULTS))
    if workflow.is_main_process:
        WRITTEN = load_study(FILE)
        DATA = real_data(WRITTEN)
        if "paths" not in config:  # a job says by itself what it does not find
            check_named(WRITTEN, DATA, f"--config study={config['study']} paths=unchecked")
        SOURCES = find_sources(WRITTEN, SOURCES, DATA)
    else:
        WRITTEN = read_snapshot(Path(layout.fill(layout.SNAPSHOT, study=FILE.stem)))
    STUDY = pinned(WRITTEN, SOURCES)
except SeediffError as error:
    sys.exit(f"error: {error}")

# Under SLURM, programs of the profile ask its commands again when it does not answer (docs/cluster.md).
os.environ.update(PATH=os.pathsep.join([f"{workflow.basedir}/profiles/slurm/bin", *os.get_exec_path()]))

REPORTED = told(STAGES["report"].inputs, STUDY, {})
CLASSES = {slug(name): name for name in STUDY.every_class()}


def any_of(names):
    """A wildcard pattern that matches exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    adaptation=any_of(STUDY.adaptations),
    image_set=any_of(STUDY.image_sets),
    pass_name=any_of(STUDY.passes),
    class_slug=any_of(CLASSES),
    block=r"\d{4}\d*",
    part=r"\d{4}\d*",
    variant=any_of(plan.variant_names(STUDY)),
    refinement=any_of(STUDY.refinements),
    reliability=f"({WITH_RELIABILITY})?",  # masks with a reliability beside them
    filter=any_of(STUDY.filters),
    recipe=any_of(STUDY.recipes),
    segmenter=any_of(STUDY.segmenters),
    repeat=r"\d+",
    benchmark=any_of(STUDY.benchmarks),
    table=any_of(STUDY.tables),


def ranges_of(key):
    """A params function: the input files of that name as ranges, so that a command can name any number of them."""
    return lambda wildcards, input: layout.as_ranges(input.get(key))


def results_folder(wildcards):
    return RESULTS


def output_folder(wildcards, output):
    return str(Path(output[0]).parent)


def output_stem(wildcards, output):
    return str(Path(output[0]).with_suffix(""))


def model_folder(wildcards):
    return os.path.dirname(layout.fill(layout.SEGMENTER, study=STUDY.name, **wildcards))


def shard_of(wildcards, image_set):
    """The planned shard that an output's class and block stand for."""
    return plan.shard(STUDY, image_set, CLASSES[wildcards.class_slug], int(wildcards.block))


def train_inputs(wildcards):
    found = inputs_of("train")(wildcards)
    if found["start"] and "train" in workflow.dag_settings.until:
        sys.exit(
            "error: With --until train Snakemake never begins a training that starts from the weights of another.\n"
            "Ask for the models themselves: snakemake --cores all models"
        )
    return found
