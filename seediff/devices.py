"""A GPU for each job, on a machine with several GPUs and no scheduler.

Jobs are separate processes, perhaps of different users, and know nothing of each other. A job that uses a device holds
the device's name as an abstract socket address of Linux. The kernel gives each such name to one process, and frees it
when that process ends for any reason. So there is no lock file, whose owner, folder and age would matter.

A choice made elsewhere is respected: SLURM shows each job only its own devices, in CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from seediff.errors import SeediffError

VARIABLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 1.0


@contextmanager
def claimed(number: int = 1) -> Iterator[tuple[str, ...]]:
    """Reserve ``number`` devices on this machine, and show only these to this process and those that it starts.

    Waits while too few are free. Claims nothing if no more than ``number`` devices are visible.
    Enter this before CUDA is first used. Raises ``SeediffError`` if the machine has fewer devices.
    """
    devices = visible_devices()
    if len(devices) <= number:
        if devices and len(devices) < number:
            raise SeediffError(f"This job needs {number} GPUs, but sees {len(devices)}: {', '.join(devices)}.")
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
    """The devices this process may use, by index or UUID: those in CUDA_VISIBLE_DEVICES or, if it is unset, all."""
    shown = os.environ.get(VARIABLE)
    if shown is None:
        return _all_devices()
    return tuple(name.strip() for name in shown.split(",") if name.strip() not in ("", "-1", "NoDevFiles"))


def _all_devices() -> tuple[str, ...]:
    """UUIDs in the driver's order, which may not be the order in which CUDA counts."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = subprocess.run([program, "--query-gpu=uuid", "--format=csv,noheader"], text=True, capture_output=True)
    return tuple(query.stdout.split()) if query.returncode == 0 else ()


def _wait_for(devices: Sequence[str], number: int, locks: ExitStack) -> tuple[str, ...]:
    """The first ``number`` devices that are free at the same time, locked until ``locks`` is closed."""
    waited = False
    uuids = _all_devices()
    names = {device: _uuid_of(device, uuids) for device in devices}
    while len(chosen := _lock_free(names, number, locks)) < number:
        locks.close()  # two jobs that hold some and wait for more could wait for each other
        if not waited:
            print(f"Waiting for {number} of {len(devices)} GPUs: too few are free.", flush=True)
        waited = True
        time.sleep(POLL_SECONDS)
    return chosen


def _uuid_of(device: str, uuids: Sequence[str]) -> str:
    """The name that all jobs use for the device; CUDA_VISIBLE_DEVICES has an index, or a UUID that may be shortened.

    The index is the driver's. CUDA counts in the same order if all devices are alike or CUDA_DEVICE_ORDER says so.
    """
    by_index = {str(index): uuid for index, uuid in enumerate(uuids)}
    return next((uuid for uuid in uuids if uuid.startswith(device)), by_index.get(device, device))


def _lock_free(names: Mapping[str, str], number: int, locks: ExitStack) -> tuple[str, ...]:
    chosen: list[str] = []
    for device, name in names.items():
        if len(chosen) < number and (lock := _try_lock(name)):
            locks.enter_context(lock)
            chosen.append(device)
    return tuple(chosen)


def _try_lock(name: str) -> socket.socket | None:
    """The lock on the device, held until it is closed; ``None`` if another process has it."""
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0seediff {name}")
    except OSError as error:
        lock.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise SeediffError(f"GPU {name} of {VARIABLE} cannot be locked: {error}.") from error
    return lock


def _restore(before: str | None) -> None:
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before
