"""Stage: mask quality against a benchmark's exact annotation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seediff.datasets.benchmarks import open_benchmark
from seediff.diffusion.mask_quality import measure
from seediff.diffusion.synthesis import load
from seediff.files.sealed import write_json
from seediff.workflow.provenance import provenance
from seediff.workflow.stages.refine import read_refinement


def measure_masks(spec: Mapping[str, Any], output: Path) -> None:
    """Write the comparison of every variant under every refinement as JSON."""
    classes = spec["classes"]
    benchmark = open_benchmark(spec["format"], Path(spec["folder"]), spec["split"], classes, spec["lacks"])
    result = measure(
        load(spec["model"]),
        benchmark,
        {name: spec["words"].get(name, name) for name in classes},
        spec["variants"],
        {name: read_refinement(values) for name, values in spec["refinements"].items()},
        images=spec["images"],
        timesteps=spec["timesteps"],
        rng_seed=spec["rng_seed"],
    )
    about = {"benchmark": spec["benchmark"], "timesteps": spec["timesteps"]}
    about |= {"data": spec["data"]} if spec.get("data") else {}
    write_json(output, {**about, **result, "provenance": provenance(spec["model"])})
