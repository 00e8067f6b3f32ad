"""Where every file of a study is: each path that the workflow reads or writes, as a template of its wildcards.

Paths are text, relative to the repository. The rules, `seediff status`, the reports and the catalogs take theirs from
here. Log and benchmark files are named after the job, which the templates in the first part name. Command lines name
many shards in a few words, as ranges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seediff.adaptation.settings import WEIGHTS
from seediff.errors import SeediffError

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
SEGMENTER = f"{RESULTS}/models/{MODEL}/segmenter.json"
CONFIG = f"{RESULTS}/models/{MODEL}/config.json"
PROCESSOR = f"{RESULTS}/models/{MODEL}/preprocessor_config.json"
HISTORY = f"{RESULTS}/models/{MODEL}/history.csv"
METRICS = f"{RESULTS}/metrics/{RUN}.json"
IMAGE_METRICS = f"{RESULTS}/metrics/{RUN}.npz"
JUDGED = f"{RESULTS}/judged/{{judge}}.json"
PREDICTIONS = f"{RESULTS}/predictions/{{table}}.png"
JUDGED_PICTURE = f"{RESULTS}/judged/{{judge}}.png"
TABLE = f"{RESULTS}/tables/{{table}}.{{suffix}}"
STRIP = f"{RESULTS}/strips/{{class_slug}}.png"
FIGURE = f"{RESULTS}/figures/{{figure}}.{{suffix}}"
REPORT = f"{RESULTS}/report.html"

TABLE_SUFFIXES = ("csv", "md", "tex", "html", "json", "verdicts.json", "grid.json")
FIGURE_SUFFIXES = ("png", "pdf")

ADAPTER_STATE = f"{RESULTS}/checkpoints/adapters/{{adaptation}}/state.safetensors"
STATE = f"{RESULTS}/checkpoints/{MODEL}/state.safetensors"
"""Training states are no outputs of jobs: Snakemake deletes those of a job that failed."""

SOURCES = f"{RESULTS}/sources.json"
SNAPSHOT = f"{RESULTS}/study.json"
"""The study as the run under way was planned: its jobs read this, so that an edit cannot come in between."""
LOG = f"{RESULTS}/logs/{{job}}.log"
TIMES = f"{RESULTS}/benchmarks/{{job}}.tsv"
OF_NO_JOB = ("logs", "benchmarks", "checkpoints", "published")
"""Folders of the results that hold no outputs of jobs."""


def fill(template: str, **wildcards: object) -> str:
    """The template with these wildcards filled in; the others stay."""
    for name, value in wildcards.items():
        template = template.replace(f"{{{name}}}", str(value))
    return template


def manifest(shard: str) -> str:
    """The manifest of a shard, without which it is not read."""
    return shard.removesuffix(".tar") + ".json"


def below(results: Path, template: str, **wildcards: object) -> Path:
    """The file of the template in a study's results folder, with these wildcards filled in."""
    return results / fill(template.removeprefix(f"{RESULTS}/"), **wildcards)


def results_folder(study: str) -> Path:
    """Where the results of the study with that name are, unless somebody has moved them."""
    return Path(fill(RESULTS, study=study))


@dataclass(frozen=True)
class Results:
    """The results of a study in ``folder``, its ``results/<study>`` or a copy of that; ``data/`` is two levels up."""

    study: str
    folder: Path

    def path(self, file: str) -> Path:
        """Where the file is whose path, by the templates, is ``file``."""
        below = f"{fill(RESULTS, study=self.study)}/"
        return self.folder / file.removeprefix(below) if file.startswith(below) else self.folder.parent.parent / file


MOST_FILES = 1_000_000
_NUMBERED = re.compile(r"(.*?)(\d{4,})(\.\w+)", re.DOTALL)
_RANGE = re.compile(r"(.*)\{(\d{4,9})\.\.(\d{4,9})\}(\.\w+)", re.DOTALL)


def as_ranges(paths: Iterable[str]) -> list[str]:
    """The paths in their order, those whose numbers count up by one as one range: ``cat/{0000..0199}.tar``.

    Linux takes 128 KiB in one argument of a shell, which is what a rule's whole command is: 2,500 shards by name.
    """
    found: list[tuple[str, int, int, str]] = []
    for path in paths:
        head, number, tail = _parts(path)
        if found and number >= 0 and (head, number - 1, tail) == (found[-1][0], *found[-1][2:]):
            found[-1] = (head, found[-1][1], number, tail)
        else:
            found.append((head, number, number, tail))
    return [_written(*run) for run in found]


def _parts(path: str) -> tuple[str, int, str]:
    """What comes before the number, the number, and what follows it; -1 where the path has no number of a shard."""
    match = _NUMBERED.fullmatch(path)
    if match is None or match[2] != f"{int(match[2]):04d}":
        return path, -1, ""
    return match[1], int(match[2]), match[3]


def _written(head: str, first: int, last: int, tail: str) -> str:
    if first < 0:
        return head
    return f"{head}{first:04d}{tail}" if first == last else f"{head}{{{first:04d}..{last:04d}}}{tail}"


def range_files(text: str) -> list[Path]:
    """The files of a range, or of a path; ``SeediffError`` for a range that ends before it begins or is too long."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return [Path(text)]
    head, first, last, tail = match[1], int(match[2]), int(match[3]), match[4]
    if not 0 <= last - first < MOST_FILES:
        raise SeediffError(f"{text!r} names no files.\nGive the lower number first, and {MOST_FILES:,} files at most.")
    return [Path(f"{head}{number:04d}{tail}") for number in range(first, last + 1)]
