"""Measure what units of work cost in embedded studies: python -m benchmarks.units

Writes seediff/workflow/costs/unit_costs.json, from which `seediff plan` bills embedded studies. A small study is run
job by job in a temporary folder. The seconds of units are those, none below 0, that explain the seconds of its jobs
best. They are seconds of one core's work, not of the clock, so that other programs matter less; measure on an idle
machine all the same. Five minutes.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.optimize import nnls

from benchmarks.dag import ROOT
from seediff.workflow.costs.embedded import FILE, UnitCosts
from seediff.workflow.costs.work import STORED, work_of
from seediff.workflow.graph import Job, study_jobs
from seediff.workflow.study import load_study

STUDY = """\
name: units
title: Jobs of different sizes
embedded: true
classes: [car, bus]
diffusion: {model: assets/pictograms, num_inference_steps: 10, guidance_scale: 2.0, batch_size: 10}
prompt_sets:
  few: {per_class: 2, classes: [car]}
  many: {per_class: 20, classes: [car]}
adaptations:
  short: {benchmark: large, prompts: [a photo], rank: 8, iterations: 20}
image_sets:
  few: {prompt_set: few, variants: [caa], shard_size: 20}
  many: {prompt_set: many, variants: [caa, cre, ire, seediff, ca_sa], shard_size: 20}
  adapted: {prompt_set: few, adaptation: short, variants: [caa], shard_size: 20}
passes:
  later: {image_set: many, variants: [look]}
refinements:
  raw: {pamr: null}
  pamr: {pamr: {iterations: 10, dilations: [1, 2, 3]}}
filters:
  good: {keep: 0.7, agreement_with: [ire], area: [0, 1]}
recipes:
  few: {image_set: few, variant: caa, refinement: raw}
  adapted: {image_set: adapted, variant: caa, refinement: raw}
  many: {image_set: many, variant: seediff, refinement: pamr}
  looked: {image_set: many, variant: look, refinement: raw}
  good: {image_set: many, variant: caa, refinement: raw, filter: good}
segmenters:
  mask2former_short: {backbone: resnet-mini, iterations: 4}
  mask2former: {backbone: resnet-mini, iterations: 60}
  mask2former_small: {backbone: resnet-mini, iterations: 60, batch_size: 2}
  frozen: &frozen {backbone: resnet-mini, pretrained: assets/backbones/resnet-mini, freeze_at: 5, iterations: 60}
  frozen_large: {<<: *frozen, batch_size: 16, points: 256}
  swin: {backbone: swin-mini, iterations: 60}
  swin_small: {backbone: swin-mini, iterations: 60, batch_size: 2}
  pixel: {backbone: resnet-mini, architecture: pixel, iterations: 200}
  pixel_small: {backbone: resnet-mini, architecture: pixel, iterations: 200, batch_size: 2}
benchmarks:
  small: {title: VOC stand-in, format: voc, embedded: {train: 2, val: 30}}
  large: {title: ADE20K stand-in, format: ade20k, embedded: {train: 20, val: 300}}
figures: {image_set: few, classes: [car], candidates: 2, open: [{prompt: a photo of an auto, word: auto}]}
judges:
  scenes: {benchmark: small, images: [10], timesteps: [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]}
tables:
  masks:
    {title: Masks, caption: Scenes., judge: scenes, rows: [{label: SeeDiff, variant: seediff, refinement: pamr}]}
  segmenters:
    title: Segmenters
    caption: Hardly taught.
    rows:
      - {label: "1", recipe: many, segmenter: mask2former_short, benchmark: small}
      - {label: "2", recipe: few, segmenter: mask2former, benchmark: large}
      - {label: "3", recipe: looked, segmenter: mask2former_small, benchmark: small}
      - {label: "4", recipe: many, segmenter: swin, benchmark: large}
      - {label: "5", recipe: good, segmenter: swin_small, benchmark: small}
      - {label: "6", recipe: many, segmenter: pixel, benchmark: large}
      - {label: "7", recipe: adapted, segmenter: pixel_small, benchmark: small}
      - {label: "8", recipe: many, segmenter: frozen, benchmark: small}
      - {label: "9", recipe: few, segmenter: frozen_large, benchmark: large}
"""
COMMAND = re.compile(r"^Shell command: (seediff (.*) > (\S+) 2>&1)$", re.MULTILINE)


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_workflow(folder)
        jobs = {job.log: job for job in study_jobs(load_study(folder / "config/studies/units.yaml"))}
        seconds = {log: run(command, folder) for log, command in commands(folder).items()}
        print("\n".join(f"{jobs[log].title:50} {value:6.1f}" for log, value in seconds.items()), flush=True)
        units = [measured_units(folder, jobs[log]) for log in seconds]
    found, error = explain(units, [*seconds.values()])
    costs = UnitCosts(machine(), date.today().isoformat(), round(error, 3), found)
    FILE.write_text(json.dumps(asdict(costs), indent=1) + "\n")
    print(f"{FILE}: half of the jobs are within {error:.0%} of their bill")


def write_workflow(folder: Path) -> None:
    for part in ("rules", "profiles", "config"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "assets").symlink_to(ROOT / "assets")
    (folder / "config" / "studies" / "units.yaml").write_text(STUDY)


def commands(folder: Path) -> dict[str, str]:
    """The commands of the study's jobs in an order in which they can run, by their log files."""
    plan = ["snakemake", "--cores", "1", "--dry-run", "--printshellcmds", "--quiet", "host", "--config", "study=units"]
    said = subprocess.run(plan, cwd=folder, capture_output=True, text=True, check=True)
    found = {shlex.split(match[3])[0]: match[1] for match in COMMAND.finditer(said.stdout + said.stderr)}
    order = [job.log for job in study_jobs(load_study(folder / "config/studies/units.yaml"))]
    return {log: found[log] for log in order}


def run(command: str, folder: Path) -> float:
    """Seconds that the command keeps a core busy."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = command.replace("seediff", f"{shlex.quote(sys.executable)} -m seediff.cli", 1).rpartition(" > ")[0]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(program, shell=True, cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured_units(folder: Path, job: Job) -> dict[str, float]:
    """The job's units of work that take time."""
    study = load_study(folder / "config/studies/units.yaml")
    return {unit: times for unit, times in work_of(study, job).units.items() if not unit.startswith(STORED)}


def explain(units: Sequence[Mapping[str, float]], seconds: Sequence[float]) -> tuple[dict[str, float], float]:
    """Seconds of each unit, by least squares of the jobs' relative errors; the median of those errors."""
    names = list(dict.fromkeys(name for of_job in units for name in of_job))
    shares = np.array([[of_job.get(name, 0.0) for name in names] for of_job in units]) / np.array(seconds)[:, None]
    found, _ = nnls(shares, np.ones(len(seconds)))
    error = statistics.median(abs(shares @ found - 1))
    return {name: float(f"{value:.3g}") for name, value in zip(names, found, strict=True)}, float(error)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


if __name__ == "__main__":
    main()
