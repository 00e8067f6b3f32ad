"""Whatever is killed or does not answer, the run succeeds: one job, a node with its job, Snakemake itself, SLURM."""

from __future__ import annotations

import os
import re
import subprocess
import time

import pytest

from seediff.datasets.shards import read_shard
from tests.conftest import ROOT, Workspace
from tests.slurm.cluster import wait_for
from tests.slurm.conftest import Head

pytestmark = pytest.mark.slurm

SHARD = "results/smoke/images/basic/cat/0000.tar"


def assert_whole(head: Head) -> None:
    assert len(list(read_shard(head.folder / SHARD))) == 2
    assert not list(head.folder.glob("results/**/*.partial"))


def test_a_cancelled_task_of_an_array_is_submitted_again(head: Head) -> None:
    run = head.start(SHARD, SHARD.replace("cat", "car"))
    cancelled = head.running("synthesize")
    head.cluster.run("scancel", cancelled.number)
    head.finish(run)
    assert "_" in cancelled.number
    # The plugin lets every task of an array wait five seconds for what the first task makes. So the other may fail
    # on a busy machine, and is then submitted again as well.
    states = [job.state for job in head.jobs() if job.state != "FAILED"]
    assert sorted(states) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    assert_whole(head)


def test_a_job_outlives_its_node(head: Head) -> None:
    run = head.start(SHARD)
    node = head.running("synthesize").node
    head.cluster.kill_node(node)
    try:
        head.finish(run)
    finally:
        head.cluster.start_node(node)
    assert {job.node for job in head.jobs("COMPLETED")} == {"node1", "node2"} - {node}
    assert_whole(head)


def test_the_controller_may_be_away(head: Head) -> None:
    """For twice as long as the plugin alone tolerates, while the job that it watches ends."""
    run = head.start(SHARD)
    head.running("synthesize")
    head.cluster.stop_controller()
    try:
        time.sleep(40)
    finally:
        head.cluster.start_controller()
    head.finish(run)
    assert [(job.rule, job.state) for job in head.jobs()] == [("synthesize", "COMPLETED")], "none was submitted twice"
    assert_whole(head)


def test_jobs_that_slurm_does_not_take_are_offered_again(head: Head) -> None:
    with head.cluster.refusing("Socket timed out on send/recv operation"):
        run = head.start(SHARD)
        time.sleep(30)
        assert run.poll() is None, head.log
    head.finish(run)
    assert "failed:" not in head.log
    assert_whole(head)


def test_a_run_ends_where_slurm_goes_on_to_take_nothing(head: Head) -> None:
    with head.cluster.refusing("Socket timed out on send/recv operation"):
        run = head.start(SHARD, SEEDIFF_SBATCH_SECONDS="10")
        assert run.wait(timeout=120) == 1
    failed = head.log[head.log.index("failed: synthesize (results/smoke/logs/synthesize/basic/cat/0000.log)") :]
    assert "  SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed: Socket" in failed


def test_a_job_that_slurm_can_never_take_is_not_offered_again(head: Head) -> None:
    Workspace(head.folder).edit("profiles/slurm/config.yaml", "&gpus gpu ", "&gpus x ")
    begun = time.monotonic()
    assert head.start(SHARD).wait(timeout=120) == 1
    assert time.monotonic() - begun < 60
    assert "invalid partition specified: x" in head.log


def test_the_next_call_goes_on_where_snakemake_was_killed(head: Head) -> None:
    run = head.start(SHARD, "data/smoke/voc/domain.json")
    orphan = head.running("synthesize")
    head.cluster.freeze(orphan)
    run.kill()
    run.wait()
    assert head.start(SHARD).wait() == 1
    assert "--unlock" in head.log
    for command in commands_after_a_kill():
        subprocess.run(command, shell=True, cwd=head.folder, env=os.environ | head.cluster.environment, check=True)
    wait_for(lambda: not head.jobs("PENDING,RUNNING,COMPLETING"), "the orphans to end")
    head.run(SHARD, "data/smoke/voc/domain.json")
    synthesize = [job for job in head.jobs() if job.rule == "synthesize"]
    assert sorted(job.state for job in synthesize) == ["CANCELLED", "COMPLETED"]
    assert_whole(head)


def commands_after_a_kill() -> list[str]:
    """What docs/cluster.md tells people to type; its last line starts the run again."""
    page = (ROOT / "docs/cluster.md").read_text()
    section = page.partition("## When Snakemake itself was killed")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    *commands, again = block[1].strip().splitlines()
    assert again == "snakemake --profile profiles/slurm --config study=paper"
    return [command.replace("study=paper", "study=smoke") for command in commands]
