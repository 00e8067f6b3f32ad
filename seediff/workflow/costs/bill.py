"""The bill of a study, or of one of its tables, by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.workflow.costs import full_size
from seediff.workflow.costs.embedded import COMMAND, read_unit_costs
from seediff.workflow.costs.prices import Cost
from seediff.workflow.costs.work import Work, learnt_name, network_name, work_of
from seediff.workflow.graph import Job, every_job, needed, study_jobs
from seediff.workflow.stages import tabulate
from seediff.workflow.study import Study


@dataclass(frozen=True)
class StageCost:
    """``work``: what is done, in words; ``gpu_tflop``, ``core_seconds`` and ``bytes`` as in ``Cost``, in total."""

    stage: str
    jobs: int
    work: str
    gpu_tflop: float = 0.0
    core_seconds: float = 0.0
    bytes: float = 0.0


def jobs_of(study: Study, table: str | None = None) -> list[Job]:
    """The jobs of the study, or those alone that make one of its tables."""
    if table is None:
        return study_jobs(study)
    if table not in study.tables:
        raise SeediffError(f"Study {study.name!r} has no table {table!r}.\n{nearest(table, study.tables)}")
    return needed(every_job(study), tabulate.files(study, table), lambda path: False)


def job_costs(study: Study, jobs: Sequence[Job]) -> list[tuple[Work, Cost]]:
    """The work of each job and its cost; ``SeediffError`` for a study whose unit costs are not known."""
    prices = _prices(study)
    works = [work_of(study, job) for job in jobs]
    return [(work, _cost(work, prices)) for work in works]


def _cost(work: Work, prices: Mapping[str, Cost]) -> Cost:
    return sum((prices[unit] * times for unit, times in work.units.items() if unit in prices), Cost())


def _prices(study: Study) -> dict[str, Cost]:
    used = {f"crop seen by {network_name(segmenter)}" for segmenter in study.segmenters.values()}
    used |= {f"crop learnt by {learnt_name(segmenter)}" for segmenter in study.segmenters.values()}
    prices = read_unit_costs().prices if study.embedded else full_size.PRICES
    if unknown := sorted(used - prices.keys()):
        where = f"of {COMMAND} (seediff/workflow/costs/unit_costs.json)" if study.embedded else "of full size"
        raise SeediffError(
            f"The costs of study {study.name!r} are not known: {unknown[0]!r} is not among those {where}."
        )
    return prices


def stage_costs(study: Study, jobs: Sequence[Job]) -> list[StageCost]:
    """The stages of these jobs that cost something, in their order."""
    found: dict[tuple[str, str], tuple[int, float, Cost]] = {}
    for job, (work, cost) in zip(jobs, job_costs(study, jobs), strict=True):
        number, things, total = found.get((job.stage, work.things), (0, 0.0, Cost()))
        found[job.stage, work.things] = number + 1, things + work.number, total + cost
    return [
        StageCost(stage, number, f"{round(things):,} {name}" if name else "", **vars(cost))
        for (stage, name), (number, things, cost) in found.items()
        if cost != Cost()
    ]


def total(costs: Sequence[StageCost]) -> StageCost:
    return StageCost(
        "all",
        sum(cost.jobs for cost in costs),
        "",
        sum(cost.gpu_tflop for cost in costs),
        sum(cost.core_seconds for cost in costs),
        sum(cost.bytes for cost in costs),
    )
