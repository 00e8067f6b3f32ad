"""How long jobs take on several cores: each begins as soon as the files it reads are there and a core is free."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from seediff.workflow.graph import Job


def wall_seconds(jobs: Sequence[Job], seconds: Sequence[float], cores: int) -> float:
    """The time from the first job's start to the last one's end, with one core a job.

    ``jobs``: each after those whose files it reads; ``seconds``: of each on one core. Of the jobs that can begin, the
    one that the longest chain of others waits for does.
    """
    before = _jobs_before(jobs)
    urgency = _longest_chains(before, seconds)
    after: list[list[int]] = [[] for _ in jobs]
    for job, needed in enumerate(before):
        for other in needed:
            after[other].append(job)
    waiting = [len(needed) for needed in before]
    ready = sorted((-urgency[job], job) for job in range(len(jobs)) if not waiting[job])
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < cores:
            _, job = heappop(ready)
            heappush(running, (now + seconds[job], job))
        now, ended = heappop(running)
        for job in after[ended]:
            waiting[job] -= 1
            if not waiting[job]:
                heappush(ready, (-urgency[job], job))
    return now


def _jobs_before(jobs: Sequence[Job]) -> list[set[int]]:
    """The jobs whose files each of them reads."""
    makers = {output: place for place, job in enumerate(jobs) for output in job.outputs}
    return [{makers[path] for path in job.inputs if path in makers} for job in jobs]


def _longest_chains(before: Sequence[set[int]], seconds: Sequence[float]) -> list[float]:
    """Of each job, with those that wait for it."""
    longest = [*seconds]
    for job in reversed(range(len(before))):
        for other in before[job]:
            longest[other] = max(longest[other], seconds[other] + longest[job])
    return longest
