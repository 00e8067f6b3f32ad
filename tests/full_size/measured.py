"""Time and memory of one step, in a separate process."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def measured(label: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of ``function``; prints its seconds and the process's peak resident memory (shown with ``-s``).

    The child is a new process, but its parent's memory counts: do everything large in children.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        result, seconds, cpu_seconds, peak = pool.submit(_run, function, *arguments).result()
    print(f"\n{label}: {seconds:.1f} s, {cpu_seconds:.1f} CPU seconds, peak {peak:.2f} GiB", flush=True)
    return result


def _run(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float, float, float]:
    clock, cpu = time.perf_counter(), time.process_time()
    result = function(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return result, time.perf_counter() - clock, time.process_time() - cpu, peak
