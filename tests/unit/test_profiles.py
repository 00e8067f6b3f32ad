"""What the profiles say about the rules, read as files; tests/slurm runs the workflow with them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import yaml
from snakemake.scheduling.job_scheduler import JobScheduler

from seediff.workflow.stages import STAGES
from tests.conftest import ROOT


def profile(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


def on_gpu(name: str) -> set[str]:
    return {rule for rule, resources in profile(name)["set-resources"].items() if resources.get("gpu")}


def test_both_profiles_give_a_gpu_to_the_jobs_that_claim_one() -> None:
    claiming = {name for name, stage in STAGES.items() if stage.GPUS}
    assert on_gpu("slurm") == on_gpu("gpus") == claiming | {"draw_dataset"}


def test_the_profiles_name_rules_that_exist() -> None:
    rules = {name for file in (ROOT / "rules").glob("*.smk") for name in re.findall(r"rule (\w+):", file.read_text())}
    arrays = set(re.split(r"[,\s]+", profile("slurm")["slurm-array-jobs"]))
    assert {*profile("slurm")["set-resources"], *profile("gpus")["set-resources"], *arrays} <= rules


def test_nothing_is_held_back_where_there_are_arrays() -> None:
    """The plugin never submits jobs of an array that Snakemake holds back, so the run would wait forever."""
    slurm = profile("slurm")
    assert slurm["jobs"] >= 1_000_000 and slurm["max-jobs-per-timespan"] == "1000000/1s"
    assert "resources" not in slurm


def test_the_scheduler_has_the_limit_that_local_runs_take_away() -> None:
    """rules/scheduling.smk: a release of Snakemake that has another name for it would ask all the time again."""
    (name,) = re.findall(r"workflow\.scheduler\.(\w+) = None", (ROOT / "rules" / "scheduling.smk").read_text())
    source = inspect.getsource(JobScheduler)
    assert f"if self.{name} is not None:" in source and f"if self.{name} is None:" in source
