"""What ``seediff plan`` prints: tables, runs, and the bill of a study or of one of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seediff.cli.terminal import NONE, aligned, duration
from seediff.names import one_line

if TYPE_CHECKING:
    from seediff.workflow.costs.bill import StageCost
    from seediff.workflow.costs.memory import Memory
    from seediff.workflow.graph import Job
    from seediff.workflow.study import Study


def plan_text(study: Study, table: str | None, cores: int, tflops: float) -> str:
    """The bill on ``cores`` cores, or at ``tflops`` 10^12 operations a second; of one ``table``, if it is named."""
    from seediff.workflow.costs.bill import jobs_of

    jobs = jobs_of(study, table)
    bill = _embedded_bill(study, jobs, cores) if study.embedded else _full_size_bill(study, jobs, tflops)
    return "\n".join([*_what(study, table, jobs), "", *bill])


def _what(study: Study, table: str | None, jobs: Sequence[Job]) -> list[str]:
    from seediff.workflow.plan import runs_of

    number = {stage: sum(job.stage == stage for job in jobs) for stage in ("evaluate", "train")}
    made = f"{number['evaluate']} runs, {number['train']} models to train"
    if table is not None:
        return [f"{one_line(study.title)}: table {table}, {made}"]
    runs = {
        name: {run for row in section.rows for run in runs_of(study, section, row)}
        for name, section in study.segmenter_tables.items()
    }
    title = f"{one_line(study.title)}: {len(runs)} tables, {made}"
    return [title, *(f"  {name}: {len(found)} runs" for name, found in runs.items())]


def _embedded_bill(study: Study, jobs: Sequence[Job], cores: int) -> list[str]:
    from seediff.workflow.costs.bill import job_costs, stage_costs, total
    from seediff.workflow.costs.cores import wall_seconds
    from seediff.workflow.costs.embedded import COMMAND, read_unit_costs

    costs, measured = stage_costs(study, jobs), read_unit_costs()
    seconds = wall_seconds(jobs, [cost.core_seconds for _, cost in job_costs(study, jobs)], cores)
    lines = [(cost.stage, f"{cost.jobs:,}", cost.work, f"{cost.core_seconds:,.0f}") for cost in (*costs, total(costs))]
    return [
        aligned([("stage", "jobs", "work", "seconds"), *lines], words=(0, 2)),
        "",
        f"About {duration(seconds)} on {cores} idle cores. Seconds are those of one core; those of a unit of work were",
        f"measured on {measured.date}, on {measured.machine}. To measure yours: {COMMAND}",
    ]


def _full_size_bill(study: Study, jobs: Sequence[Job], tflops: float) -> list[str]:
    from seediff.workflow.costs.bill import stage_costs, total
    from seediff.workflow.costs.memory import memory_of

    costs = stage_costs(study, jobs)
    heading = ("stage", "jobs", "work", "GPU hours", "core hours", "GB")
    lines = [_cost_line(cost, tflops) for cost in (*costs, total(costs))]
    return [
        aligned([heading, *lines], words=(0, 2)),
        "",
        f"GPU hours are counted operations at a sustained speed of {tflops:g} TFLOP a second. No GPU was timed: change",
        "the speed with --tflops. Drawing is counted for Stable Diffusion 2 at 512 x 512 pixels; another model or",
        "size costs more or less. Reading images is not included; it takes minutes.",
        "",
        "GPU memory, counted, not measured (weights, gradients, optimizer states, what a traced step keeps at once):",
        *(f"  {_memory_line(found)}" for found in memory_of(study, jobs)),
        "  training Mask2Former: not counted yet",
    ]


def _memory_line(memory: Memory) -> str:
    return f"{memory.what}: {memory.gib:.0f} GiB"


def _cost_line(cost: StageCost, tflops: float) -> tuple[str, ...]:
    hours = _hours(cost.gpu_tflop / tflops), _hours(cost.core_seconds)
    return cost.stage, f"{cost.jobs:,}", cost.work, *hours, f"{cost.bytes / 1e9:,.1f}" if cost.bytes else NONE


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f}" if seconds else NONE
