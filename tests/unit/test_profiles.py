"""What the profiles say of the rules, read as files; tests/slurm runs the workflow with them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.conftest import ROOT


def profile(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


def on_gpu(name: str) -> set[str]:
    return {rule for rule, resources in profile(name)["set-resources"].items() if resources.get("gpu")}


def commands_on_gpu() -> set[str]:
    """The commands of the command line that claim a GPU; each has the name of its rule."""
    return set(re.findall(r"^@on_gpu\ndef (\w+)", (ROOT / "seediff/cli/stages.py").read_text(), re.MULTILINE))


def test_both_profiles_give_a_gpu_to_the_jobs_that_claim_one() -> None:
    assert on_gpu("slurm") == on_gpu("gpus") == commands_on_gpu()
    assert len(commands_on_gpu()) == 8


def test_the_profiles_name_rules_that_exist() -> None:
    rules = {name for file in (ROOT / "rules").glob("*.smk") for name in re.findall(r"rule (\w+):", file.read_text())}
    arrays = set(re.split(r"[,\s]+", profile("slurm")["slurm-array-jobs"]))
    assert {*profile("slurm")["set-resources"], *profile("gpus")["set-resources"], *arrays} <= rules


def test_nothing_is_held_back_where_there_are_arrays() -> None:
    """The plugin never submits what Snakemake holds back of an array, and the run would wait for ever."""
    slurm = profile("slurm")
    assert slurm["jobs"] >= 1_000_000 and slurm["max-jobs-per-timespan"] == "1000000/1s"
    assert "resources" not in slurm
