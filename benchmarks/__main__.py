"""Measure everything and write it down.

python -m benchmarks                                  all of them, twenty minutes on two cores
python -m benchmarks --only masks refinement
python -m benchmarks --output docs/performance        writes docs/performance.json and docs/performance-table.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.timing import Row

PARTS = ("masks", "refinement", "training", "sampling", "recording", "families", "curves")


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used, torch {torch.__version__}"


def markdown(title: str, rows: list[Row]) -> str:
    lines = [f"## {title}", "", "| | seconds | ratio | MiB more | |", "|---|---|---|---|---|"]
    for row in rows:
        memory = "" if row.mebibytes is None else f"{row.mebibytes:.0f}"
        lines.append(f"| {row.what} | {row.seconds:.3g} | {row.ratio:.2f} | {memory} | {row.note} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and memory.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--output", type=Path, help="stem of the files to write")
    options = parser.parse_args()
    print(machine(), flush=True)
    texts, measured = [], {}
    for part in options.only:
        module = import_module(f"benchmarks.{part}")
        rows = module.rows()
        measured[part] = [asdict(row) for row in rows]
        texts.append(markdown(module.TITLE, rows))
        print(texts[-1], flush=True)
    if options.output:
        content = {"machine": machine(), "parts": measured}
        options.output.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
        table = f"# Performance table\n\nMeasured on: {machine()}.\n\n" + "\n".join(texts)
        options.output.with_name(options.output.name + "-table.md").write_text(table)


if __name__ == "__main__":
    main()
