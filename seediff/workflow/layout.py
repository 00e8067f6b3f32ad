"""Where everything of a study lies: every path that the workflow reads or writes, as a template of its wildcards.

Paths are text, relative to the repository. The rules, `seediff status`, the reports and the catalogs take theirs from
here. Log and benchmark files are named after the job, which the templates in the first part name.
"""

from __future__ import annotations

from seediff.adaptation.settings import WEIGHTS

SHARD = "{image_set}/{class_slug}/{block}"
REPLAYED_SHARD = "{pass_name}/{class_slug}/{block}"
MASK_SET = "{image_set}/{variant}-{refinement}{reliability}"
MASK_PART = f"{MASK_SET}/{{part}}"
FILTERED = "{image_set}/{variant}-{refinement}/{filter}"
MODEL = "{recipe}/{segmenter}/{repeat}"
RUN = f"{MODEL}/{{benchmark}}"

RESULTS = "results/{study}"
BENCHMARK = "data/{study}/{benchmark}"

DOMAIN = f"{BENCHMARK}/domain.json"
PROMPTS = f"{RESULTS}/prompts/{{prompt_set}}.csv"
ADAPTER = f"{RESULTS}/adapters/{{adaptation}}"
ADAPTER_WEIGHTS = f"{ADAPTER}/{WEIGHTS}"
ADAPTER_HISTORY = f"{ADAPTER}/history.csv"
IMAGES = f"{RESULTS}/images/{SHARD}.tar"
SCORES = f"{RESULTS}/scores/{SHARD}.tar"
REPLAYED_SCORES = f"{RESULTS}/replays/{REPLAYED_SHARD}.tar"
MASKS = f"{RESULTS}/masks/{MASK_PART}.tar"
FILTER = f"{RESULTS}/filters/{FILTERED}.csv"
TRAINING_SET = f"{RESULTS}/training_sets/{{recipe}}.json"
WEIGHTS_FILE = f"{RESULTS}/models/{MODEL}/model.safetensors"
CONFIG = f"{RESULTS}/models/{MODEL}/config.json"
HISTORY = f"{RESULTS}/models/{MODEL}/history.csv"
METRICS = f"{RESULTS}/metrics/{RUN}.json"
MASK_QUALITY = f"{RESULTS}/mask_quality/{{benchmark}}.json"
TABLE = f"{RESULTS}/tables/{{table}}.{{suffix}}"
STRIP = f"{RESULTS}/strips/{{class_slug}}.png"
FIGURE = f"{RESULTS}/figures/{{figure}}.{{suffix}}"
REPORT = f"{RESULTS}/report.html"

TABLE_SUFFIXES = ("csv", "md", "tex", "html", "json")
FIGURE_SUFFIXES = ("png", "pdf")

ADAPTER_STATE = f"{RESULTS}/checkpoints/adapters/{{adaptation}}/state.safetensors"
STATE = f"{RESULTS}/checkpoints/{MODEL}/state.safetensors"
"""Training states are no outputs of jobs: Snakemake deletes those of a job that failed."""

SOURCES = f"{RESULTS}/sources.json"
SNAPSHOT = f"{RESULTS}/study.json"
"""The study as the run under way was planned: its jobs read this, so that an edit cannot come in between."""
LOG = f"{RESULTS}/logs/{{job}}.log"
TIMES = f"{RESULTS}/benchmarks/{{job}}.tsv"
OF_NO_JOB = ("logs", "benchmarks", "checkpoints")
"""Folders of the results that hold no outputs of jobs."""


def fill(template: str, **wildcards: object) -> str:
    """The template with these wildcards filled in; the others stay."""
    for name, value in wildcards.items():
        template = template.replace(f"{{{name}}}", str(value))
    return template


def manifest(shard: str) -> str:
    """The manifest of a shard, without which it is not read."""
    return shard.removesuffix(".tar") + ".json"
