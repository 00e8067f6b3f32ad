"""A real SLURM on this machine: munged, slurmctld and one slurmd for each of two nodes, in its own folder.

Every daemon runs in the foreground as a child of the tests, with its own configuration, key and ports; it needs no
systemd, no cgroups and no root, and leaves nothing behind. A fake GPU is a character device: SLURM counts it, gives it
to one job at a time and names it in CUDA_VISIBLE_DEVICES, and nobody opens it. A node claims more cores and memory
than this machine has, so that the resources of the project's profile fit; SLURM believes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

NODES = ("node1", "node2")
GPU_FILES = "/dev/null,/dev/zero"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
_SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_Found = TypeVar("_Found")

_CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
SlurmctldPort={controller_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
MinJobAge=600
KillWait=2
SlurmdTimeout=10
ReturnToService=2
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=_SYSTEM_PATH) is None]


@dataclass(frozen=True)
class Job:
    """One line of squeue; ``number`` is ``12``, or ``12_3`` for a task of an array."""

    number: str
    state: str
    node: str
    comment: str
    folder: str

    @property
    def rule(self) -> str:
        """The comment is ``rule_NAME`` or ``rule_NAME_wildcards_VALUES``."""
        return self.comment.removeprefix("rule_").partition("_wildcards_")[0]


@dataclass
class Cluster:
    """``folder`` is the cluster's own; ``start`` and ``stop`` it."""

    folder: Path
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in order to find the cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{self.folder}/bin:{_SYSTEM_PATH}"}

    def start(self) -> None:
        self._configure()
        socket_file, key = self.folder / "munge.socket", self.folder / "munge.key"
        state = [f"--{name}-file={self.folder}/munge.{name}" for name in ("pid", "seed", "log")]
        self._spawn("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_file}", *state)
        wait_for(socket_file.exists, "munge's socket")
        self.start_controller()
        for node in NODES:
            self.start_node(node)

    def start_node(self, node: str) -> None:
        self._spawn("slurmd", "-D", "-N", node, name=node)
        wait_for(lambda: self._is_up(node), f"{node} to come up")

    def stop_controller(self) -> None:
        daemon = self._daemons.pop("slurmctld")
        daemon.terminate()
        daemon.wait(timeout=30)

    def start_controller(self) -> None:
        self._spawn("slurmctld", "-D")

    @contextmanager
    def refusing(self, message: str) -> Iterator[None]:
        """sbatch takes no job inside the with-block."""
        program = self.folder / "bin" / "sbatch"
        program.write_text(f"#!/bin/sh\necho 'sbatch: error: Batch job submission failed: {message}' >&2\nexit 1\n")
        program.chmod(0o755)
        try:
            yield
        finally:
            program.unlink()

    def kill_node(self, node: str) -> None:
        """SIGKILL, all at once, to the node's slurmd and to everything that runs on it."""
        here = [process for process in self._processes() if _environment(process).get("SLURMD_NODENAME") == node]
        shepherds = [parent for process in here for parent in process.parents() if "slurmstepd" in parent.name()]
        for process in (psutil.Process(self._daemons[node].pid), *shepherds, *here):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._daemons.pop(node).wait()

    def freeze(self, job: Job) -> None:
        """Make a job last: its processes are stopped until it is cancelled."""
        for process in self._processes():
            if _environment(process).get("SLURM_JOB_ID") == job.number:
                process.suspend()

    def stop(self) -> None:
        """Cancel what still runs, then end the daemons, whatever the state of the cluster."""
        try:
            self.run("scancel", f"--user={_user()}")
            wait_for(lambda: not self.jobs("PENDING,RUNNING,COMPLETING"), "jobs to end")
        finally:
            for process in reversed(self._daemons.values()):
                process.terminate()
            for process in self._daemons.values():
                process.wait(timeout=30)

    def run(self, *command: str) -> str:
        """The output of one of SLURM's programs."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def jobs(self, states: str = "all") -> list[Job]:
        """Jobs in these states, an array task each; finished ones are remembered for ten minutes."""
        lines = self.run("squeue", "--noheader", "--array", f"--states={states}", "--format=%i|%T|%N|%k|%Z")
        return [Job(*line.split("|")) for line in lines.splitlines()]

    def _is_up(self, node: str) -> bool:
        return any(state in self.run("scontrol", "show", "node", node) for state in ("State=IDLE ", "State=MIXED "))

    def _processes(self) -> list[psutil.Process]:
        """The processes of this cluster's jobs."""
        own = self.environment["SLURM_CONF"]
        return [process for process in psutil.process_iter() if _environment(process).get("SLURM_CONF") == own]

    def _spawn(self, program: str, *arguments: str, name: str = "") -> None:
        path = shutil.which(program, path=_SYSTEM_PATH)
        assert path is not None
        with (self.folder / f"{name or program}.log").open("ab") as log:
            self._daemons[name or program] = subprocess.Popen(
                [path, *arguments], env={**os.environ, **self.environment}, stdout=log, stderr=log, cwd=self.folder
            )

    def _configure(self) -> None:
        for name in ("state", "bin", *(f"spool.{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        host, (controller_port, *ports) = socket.gethostname().partition(".")[0], _free_ports(1 + len(NODES))
        address = f"NodeHostname={host} NodeAddr=127.0.0.1"
        nodes = [
            f"NodeName={node} {address} Port={port} CPUs=16 RealMemory=128000 Gres=gpu:2 State=UNKNOWN"
            for node, port in zip(NODES, ports, strict=True)
        ]
        settings = {"host": host, "user": _user(), "folder": self.folder, "controller_port": controller_port}
        (self.folder / "slurm.conf").write_text(_CONFIGURATION.format(nodes="\n".join(nodes), **settings))
        gpus = [f"NodeName={node} Name=gpu File={GPU_FILES}\n" for node in NODES]
        (self.folder / "gres.conf").write_text("".join(gpus))
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nConstrainCores=no\nConstrainRAMSpace=no\n")
        self._wrap_srun()

    def _wrap_srun(self) -> None:
        """The plugin drops SLURM_CONF before it calls srun, which then looks in /etc/slurm."""
        wrapper = self.folder / "bin" / "srun"
        srun = shutil.which("srun", path=_SYSTEM_PATH)
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.environment["SLURM_CONF"]} exec {srun} "$@"\n')
        wrapper.chmod(0o755)


def wait_for(found: Callable[[], _Found | None], what: str, seconds: float = 60) -> _Found:
    """The first true value that ``found`` returns; fails after ``seconds`` without one."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.1)
    return value


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _user() -> str:
    return psutil.Process().username()


def _free_ports(number: int) -> list[int]:
    """Ports nobody listens on, all open at once so that they differ."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()
