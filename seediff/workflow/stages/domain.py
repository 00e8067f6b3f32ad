"""Stage: an embedded stand-in of a benchmark, drawn in the benchmark's own format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seediff.workflow import layout
from seediff.workflow.stage import Files, Work
from seediff.workflow.stage import Spec as BaseSpec
from seediff.workflow.study import Study
from seediff.workflow.study.sections import Embedded, Format
from seediff.workflow.study.values import Count, Seed

VERSION = 2
JOB, STATE, TIMED, GPUS = "{benchmark}", "", False, 0


class Spec(BaseSpec):
    format: Format
    train: Count
    val: Count
    rng_seed: Seed


def spec(study: Study, benchmark: str) -> Spec:
    section = study.benchmarks[benchmark]
    assert isinstance(section.embedded, Embedded)
    return Spec(format=section.format, rng_seed=study.rng_seed, **dict(section.embedded))


def inputs(study: Study) -> Files:
    return {}


def outputs(study: Study) -> Files:
    return {"domain": layout.DOMAIN}


def work(study: Study) -> Iterator[Work]:
    yield from (Work({"benchmark": name}) for name, section in study.benchmarks.items() if section.embedded)


def run(spec: Spec, output: Path) -> None:
    """Write an embedded stand-in in a benchmark's own format."""
    from seediff.embedded.domains import write_domain

    write_domain(folder=output, **dict(spec))
