"""A GPU for each job, on a machine that has several and no scheduler to hand them out.

Jobs are separate processes that know nothing of each other; what they share is one lock file for each device. A lock
belongs to its process, so the kernel frees the device of a job that was killed.

Who has chosen already is obeyed: SLURM shows each job its own devices and no others, in CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from seediff.errors import SeediffError

VARIABLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 1.0


@contextmanager
def claimed(number: int = 1) -> Iterator[tuple[str, ...]]:
    """Keep ``number`` devices from the other jobs of this machine, and show this process, and those it starts, no more.

    Waits where too few are free. Nothing is claimed where there is no choice: no more than ``number`` visible devices.
    To be entered before CUDA is first used. Raises ``SeediffError`` where the machine can never give so many.
    """
    devices = visible_devices()
    if len(devices) <= number:
        if devices and len(devices) < number:
            raise SeediffError(f"{number} GPUs are wanted, but this job sees {len(devices)}: {', '.join(devices)}.")
        print(f"GPU: {', '.join(devices) or 'none'}", flush=True)
        yield devices
        return
    before = os.environ.get(VARIABLE)
    with ExitStack() as locks:
        chosen = _wait_for(devices, number, locks)
        os.environ[VARIABLE] = ",".join(chosen)
        print(f"GPU: {', '.join(chosen)} of {len(devices)}", flush=True)
        try:
            yield chosen
        finally:
            _restore(before)


def visible_devices() -> tuple[str, ...]:
    """The devices this process may use, by index or UUID: those of CUDA_VISIBLE_DEVICES or, if unset, all there are."""
    shown = os.environ.get(VARIABLE)
    if shown is None:
        return _all_devices()
    return tuple(name.strip() for name in shown.split(",") if name.strip() not in ("", "-1", "NoDevFiles"))


def _all_devices() -> tuple[str, ...]:
    """UUIDs, because CUDA and the driver may count in different orders."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = subprocess.run([program, "--query-gpu=uuid", "--format=csv,noheader"], text=True, capture_output=True)
    return tuple(query.stdout.split()) if query.returncode == 0 else ()


def _wait_for(devices: Sequence[str], number: int, locks: ExitStack) -> tuple[str, ...]:
    """The first ``number`` devices that are free at one time, locked until ``locks`` is closed."""
    waited = False
    while len(chosen := _lock_free(devices, number, locks)) < number:
        locks.close()  # holding some while waiting for more, two jobs could wait for each other
        if not waited:
            print(f"Waiting for {number} of {len(devices)} GPUs: the others are taken.", flush=True)
        waited = True
        time.sleep(POLL_SECONDS)
    return chosen


def _lock_free(devices: Sequence[str], number: int, locks: ExitStack) -> tuple[str, ...]:
    chosen: list[str] = []
    for device in devices:
        if len(chosen) < number and (lock := _try_lock(device)):
            locks.enter_context(lock)
            chosen.append(device)
    return tuple(chosen)


def _try_lock(device: str) -> IO[str] | None:
    """The device's lock file, locked; nothing where another process holds it."""
    folder = Path(tempfile.gettempdir()) / f"seediff-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = (folder / device.replace("/", "_")).open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _restore(before: str | None) -> None:
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before
