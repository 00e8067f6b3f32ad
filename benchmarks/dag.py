"""Time and memory of the job graph: python benchmarks/dag.py [shards ...]

For each number of shards, the workflow is copied to a temporary folder with a study of ten classes and that many
shards, and ``snakemake --dry-run`` builds and lists all of its jobs. Nothing is drawn.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
CLASSES = 10
STUDY = """\
name: dag
title: As many shards as wanted
embedded: true
classes: [{classes}]
diffusion: {{model: assets/pictograms}}
prompt_sets:
  basic: {{per_class: {per_class}}}
image_sets:
  basic: {{prompt_set: basic, variants: [seediff], shard_size: 1, shards_per_part: {shards_per_part}}}
refinements:
  raw: {{pamr: null}}
recipes:
  all: {{image_set: basic, variant: seediff, refinement: raw}}
segmenters:
  swin: {{backbone: swin-mini}}
benchmarks:
  voc: {{title: VOC stand-in, format: voc, embedded: {{train: 1, val: 1}}}}
tables:
  one: {{title: One row, caption: Of all images., rows: [{{label: all, recipe: all, segmenter: swin, benchmark: voc}}]}}
"""
NAMES = ("bus", "car", "cat", "chair", "motorbike", "person", "pottedplant", "sheep", "train", "tvmonitor")


@dataclass(frozen=True)
class Cost:
    """Of a dry run: ``jobs`` it lists, wall-clock ``seconds``, and peak resident memory in ``mib``."""

    jobs: int
    seconds: float
    cpu_seconds: float
    mib: float


def dry_run(shards: int, shards_per_part: int) -> Cost:
    """The cost of planning a study of so many shards."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_workflow(folder, shards, shards_per_part)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = ["snakemake", "--cores", "1", "--dry-run", "--quiet", "rules", "--config", "study=dag"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = next(line.split()[1] for line in (run.stdout + run.stderr).splitlines() if line.startswith("total"))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(int(jobs), seconds, cpu, after.ru_maxrss / 1024)


def write_workflow(folder: Path, shards: int, shards_per_part: int) -> None:
    for part in ("rules", "profiles"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "assets").symlink_to(ROOT / "assets")
    text = STUDY.format(classes=", ".join(NAMES), per_class=-(-shards // CLASSES), shards_per_part=shards_per_part)
    (folder / "config" / "studies" / "dag.yaml").write_text(text)


if __name__ == "__main__":
    print(f"{'shards':>8} {'a part':>7} {'jobs':>8} {'s':>8} {'CPU s':>8} {'ms a job':>9} {'MiB':>7}")
    for shards in [int(argument) for argument in sys.argv[1:]] or [100, 1000, 10_000]:
        for shards_per_part in (1, 30):
            cost = dry_run(shards, shards_per_part)
            each = 1000 * cost.cpu_seconds / cost.jobs
            print(
                f"{shards:8,} {shards_per_part:7} {cost.jobs:8,} {cost.seconds:8.1f} {cost.cpu_seconds:8.1f} "
                f"{each:9.2f} {cost.mib:7.0f}",
                flush=True,
            )
