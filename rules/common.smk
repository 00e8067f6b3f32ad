"""What all rules share: the study, where its results live, and one input function for each kind of file."""

import json
import re
import sys
from pathlib import Path

from seediff import plan
from seediff.errors import SeediffError
from seediff.names import slug
from seediff.study import STUDIES, RealRecipe, load_study

try:
    STUDY = load_study(STUDIES / f"{config['study']}.yaml")
except SeediffError as error:
    sys.exit(f"error: {error}")

RESULTS = f"results/{STUDY.name}"
CLASSES = {slug(name): name for name in STUDY.classes}
TABLE_NAMES = plan.table_names(STUDY)
TABLES = [f"{RESULTS}/tables/{name}.{suffix}" for name in TABLE_NAMES for suffix in ("csv", "md", "tex", "html")]


def one_of(names):
    """A wildcard pattern that matches exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    image_set=one_of(STUDY.image_sets),
    pass_name=one_of(STUDY.passes),
    class_slug=one_of(CLASSES),
    block=r"\d{4}",
    part=r"\d{4}",
    variant=one_of(plan.variant_names(STUDY)),
    refinement=one_of(STUDY.refinements),
    recipe=one_of(STUDY.recipes),
    segmenter=one_of(STUDY.segmenters),
    repeat=r"\d+",
    benchmark=one_of(STUDY.benchmarks),
    table=one_of(TABLE_NAMES),


def spec_of(make, *names):
    """A params function: what ``make`` says of the study and these wildcards, as the command line takes it."""
    return lambda wildcards: json.dumps(make(STUDY, *(wildcards[name] for name in names)), sort_keys=True)


def results_folder(wildcards):
    return RESULTS


def output_folder(wildcards, output):
    return str(Path(output[0]).parent)


def output_stem(wildcards, output):
    return str(Path(output[0]).with_suffix(""))


def model_folder(wildcards, input):
    return str(Path(input.model).parent)


def model_files():
    """The weights of a local diffusion model, so that another model reruns what it drew."""
    folder = Path(STUDY.diffusion.model)
    return sorted(map(str, folder.glob("**/*.safetensors"))) if folder.is_dir() else []


def shard_of(wildcards, image_set):
    """The planned shard that an output's class and block stand for."""
    name = f"{wildcards.class_slug}/{wildcards.block}"
    return next(shard for shard in plan.shards(STUDY, image_set) if shard.name == name)


def shard_files(kind, shards):
    return [f"{RESULTS}/{kind}/{shard.name}.tar" for shard in shards]


def part_shards(wildcards):
    return plan.parts(STUDY, wildcards.image_set)[int(wildcards.part)]


def part_images(wildcards):
    return shard_files(f"images/{wildcards.image_set}", part_shards(wildcards))


def part_scores(wildcards):
    return shard_files(plan.scores_folder(STUDY, wildcards.image_set, wildcards.variant), part_shards(wildcards))


def recipe_images(wildcards):
    recipe = STUDY.recipes[wildcards.recipe]
    if isinstance(recipe, RealRecipe):
        return benchmark_ready(recipe.benchmark)
    return shard_files(f"images/{recipe.image_set}", plan.shards(STUDY, recipe.image_set))


def recipe_masks(wildcards):
    recipe = STUDY.recipes[wildcards.recipe]
    if isinstance(recipe, RealRecipe):
        return []
    parts = range(len(plan.parts(STUDY, recipe.image_set)))
    return [f"{RESULTS}/masks/{recipe.image_set}/{plan.mask_set(recipe)}/{part:04d}.tar" for part in parts]


def benchmark_ready(name):
    """The file that says an embedded benchmark is drawn; nothing for a benchmark that is there already."""
    return [f"{plan.benchmark_folder(STUDY, name)}/domain.json"] if STUDY.benchmarks[name].embedded else []


def table_metrics(wildcards):
    """The metrics files a table is made from."""
    if wildcards.table == plan.MASK_QUALITY:
        return f"{RESULTS}/mask_quality/{STUDY.mask_quality.benchmark}.json"
    rows = STUDY.tables[wildcards.table].rows
    return [f"{RESULTS}/{plan.metrics_file(run)}" for row in rows for run in plan.runs_of(STUDY, row)]
