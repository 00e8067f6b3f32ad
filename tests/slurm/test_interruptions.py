"""Whatever is killed, the run ends well: one job, a node with its job, and Snakemake itself."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from seediff.datasets.shards import read_shard
from tests.conftest import ROOT
from tests.slurm.cluster import wait_for
from tests.slurm.conftest import Head

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

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
    # The plugin lets every task of an array wait five seconds for what the first of them makes. So the other may fail
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
