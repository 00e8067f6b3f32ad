"""The smoke study through the profile, on an undisturbed cluster; and the resources of its jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import make_workspace
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Head

pytestmark = pytest.mark.slurm

ON_GPU = {"synthesize", "replay", "train", "evaluate", "judge", "predictions", "strips", "figures"}
ON_CPU = {"domain", "refine"}
ON_LOGIN_NODE = {"prompts", "assemble", "tabulate", "report"}


@pytest.fixture(scope="module")
def study(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """The finished smoke study."""
    head = Head(make_workspace(tmp_path_factory.mktemp("study")).folder, cluster)
    try:
        head.run(seconds=500)
        yield head
    finally:
        head.kill()


def test_the_study_is_complete(study: Head) -> None:
    tables = {path.name for path in (study.folder / "results/smoke/tables").glob("*.csv")}
    assert tables == {"table2.csv", "domains.csv", "scenes.csv", "drawn.csv"}
    assert (study.folder / "results/smoke/report.html").is_file()


def test_every_rule_but_the_smallest_ran_on_the_cluster(study: Head) -> None:
    jobs = study.jobs()
    assert {job.rule for job in jobs} == ON_GPU | ON_CPU
    assert {job.state for job in jobs} == {"COMPLETED"}


def test_shards_went_out_as_arrays(study: Head) -> None:
    numbers = [job.number for job in study.jobs() if job.rule in ("synthesize", "replay")]
    assert len(numbers) == 8
    assert all(re.fullmatch(r"\d+_\d+", number) for number in numbers)


def test_a_gpu_job_sees_one_device_and_the_others_none(study: Head) -> None:
    logs = study.folder / "results/smoke/logs"
    for log in [path for path in logs.rglob("*.log") if _rule(path, logs) in ON_GPU]:
        assert re.findall(r"^GPU: (.+)$", log.read_text(), re.MULTILINE) in (["0"], ["1"]), log
    for log in [path for path in logs.rglob("*.log") if _rule(path, logs) in ON_CPU]:
        assert "GPU:" not in log.read_text(), log


def _rule(log: Path, logs: Path) -> str:
    return log.relative_to(logs).parts[0].removesuffix(".log")


def test_jobs_at_one_time_have_devices_of_their_own(head: Head) -> None:
    probe = Path(__file__).with_name("probe.smk")
    head.run("--snakefile", str(probe))
    seen = [(head.folder / f"seen/synthesize/{shard}").read_text().split() for shard in range(4)]
    assert sorted(seen) == [["node1", "0"], ["node1", "1"], ["node2", "0"], ["node2", "1"]]
    assert len((head.folder / "seen/refine").read_text().split()) == 1, "a job that asked for no GPU sees one"
