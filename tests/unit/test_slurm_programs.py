"""The programs that the SLURM profile puts before SLURM's own; tests/slurm tries them on a real cluster."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUSY = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
HOPELESS = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
RUN = "5f3c-run"


@dataclass(frozen=True)
class LoginNode:
    """A folder to work in, and a program of SLURM that does what the test says."""

    folder: Path

    def program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, *command: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        ours = ROOT / "profiles/slurm/bin"
        environment = {**os.environ, "PATH": f"{ours}:{self.folder}/bin:{os.environ['PATH']}", **more}
        return subprocess.run(
            command, cwd=self.folder, env=environment, input=stdin, text=True, capture_output=True, timeout=60
        )

    @property
    def refusals(self) -> list[Path]:
        return list((self.folder / ".snakemake").rglob(RUN))


@pytest.fixture
def node(tmp_path: Path) -> LoginNode:
    return LoginNode(tmp_path)


def test_a_job_that_is_taken_goes_through_as_it_is(node: LoginNode) -> None:
    node.program("sbatch", 'printf "<%s>" "$@"; cat')
    arguments = ["--job-name", RUN, "--wrap=echo 'a  b' \"$HOME\"; *\n", "", "/dev/stdin"]
    taken = node.run("sbatch", *arguments, stdin="#!/bin/sh\nscript\n")
    assert taken.stdout == "".join(f"<{argument}>" for argument in arguments) + "#!/bin/sh\nscript\n"
    assert (taken.returncode, taken.stderr, node.refusals) == (0, "", [])


def test_a_job_is_offered_again(node: LoginNode) -> None:
    node.program("sbatch", f"echo x >> tries; [ $(wc -l < tries) -gt 1 ] && echo 7 || {{ echo '{BUSY}' >&2; exit 1; }}")
    taken = node.run("sbatch", "--parsable", "--job-name", RUN)
    assert (taken.returncode, taken.stdout, taken.stderr) == (0, "7\n", "")
    assert (node.folder / "tries").read_text() == "x\nx\n"
    assert node.refusals == [], "the next refusal is the first again"


def test_patience_is_one_for_all_jobs_of_a_run(node: LoginNode) -> None:
    node.program("sbatch", f"echo '{BUSY}' >&2; exit 3")
    assert node.run("sbatch", "--job-name", RUN, SEEDIFF_SBATCH_SECONDS="0").returncode == 3
    (first,) = node.refusals
    os.utime(first, (time.time() - 601,) * 2)
    begun = time.monotonic()
    refused = node.run("sbatch", "--job-name", RUN)
    assert time.monotonic() - begun < 5
    assert (refused.returncode, refused.stderr) == (3, f"{BUSY}\n")


def test_what_is_never_taken_is_said_at_once(node: LoginNode) -> None:
    node.program("sbatch", f"echo '{HOPELESS}' >&2; exit 1")
    refused = node.run("sbatch", "--job-name", RUN)
    assert (refused.returncode, refused.stderr, node.refusals) == (1, f"{HOPELESS}\n", [])


def test_the_configuration_is_what_slurm_said_last(node: LoginNode) -> None:
    node.program("scontrol", 'echo "MinJobAge = 300 sec"')
    assert node.run("scontrol", "show", "config").stdout == "MinJobAge = 300 sec\n"
    for silent in ("exit 1", "exec sleep 30"):
        node.program("scontrol", silent)
        said = node.run("scontrol", "show", "config")
        assert (said.returncode, said.stdout) == (0, "MinJobAge = 300 sec\n")
    node.program("scontrol", 'echo "$@"; exit 4')
    other = node.run("scontrol", "show", "partition")
    assert (other.returncode, other.stdout) == (4, "show partition\n")


def test_a_configuration_that_was_never_printed_is_none(node: LoginNode) -> None:
    node.program("scontrol", "echo down >&2; exit 1")
    said = node.run("scontrol", "show", "config")
    assert (said.returncode, said.stdout) == (1, "")
