"""The specs of the shipped studies have not changed unnoticed: a changed spec runs its jobs again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from seediff.workflow.stage import told
from seediff.workflow.stages import STAGES
from seediff.workflow.study import load_study
from tests.conftest import ROOT

BACKENDS = {
    ("mask2former", "seediff"): "transformers",
    ("mask2former", "detectron2"): "detectron2",
    ("mask2former-official", "detectron2"): "mask2former",
    ("pixel", "seediff"): "pixel",
}
"""The common name of an architecture and an engine before they were two keys."""


def digest(specs: dict[str, Any]) -> str:
    """Of specs by job; a number is the same whether it is written as 1 or 1.0."""
    plain = json.loads(json.dumps(specs), parse_int=float)
    return hashlib.sha256(json.dumps(former(plain), sort_keys=True).encode()).hexdigest()[:16]


def former(content: Any) -> Any:
    """The content with its keys as they were called before."""
    if isinstance(content, dict):
        if "architecture" in content and "engine" in content:
            rest = {key: value for key, value in content.items() if key not in ("architecture", "engine")}
            content = rest | {"backend": BACKENDS[content["architecture"], content["engine"]]}
        return {key: former(value) for key, value in content.items()}
    return [*map(former, content)] if isinstance(content, list) else content


def specs(study: str, stage: str) -> dict[str, Any]:
    """The specs of all jobs of the stage, by their wildcards."""
    loaded = load_study(ROOT / f"config/studies/{study}.yaml")
    found = {}
    for work in STAGES[stage].work(loaded):
        kept = {name: text for name, text in work.wildcards.items() if name not in ("class_slug", "block", "part")}
        content = told(STAGES[stage].spec, loaded, work.wildcards).model_dump(mode="json")
        found["/".join(kept.values()).replace("-reliability", "-rated")] = content
    return found


DIGESTS = {
    ("mini", "prompts"): "a99377ec09e614de",
    ("mini", "domain"): "bc27e9223cceb163",
    ("mini", "mask_quality"): "d977c43b239dfa4b",
    ("mini", "adapter"): "a9587f7f994c721e",
    ("mini", "synthesize"): "09874b801a182c59",
    ("mini", "refine"): "04f59fad4a38ba63",
    ("mini", "filter"): "7a4adc5330e67d61",
    ("mini", "assemble"): "7aa0801fdf47e7c8",
    ("mini", "train"): "bbb7e418d0b5d191",
    ("mini", "evaluate"): "eaa6dbfeb07bb607",
    ("mini", "tabulate"): "1122eee0af45c6ae",
    ("mini", "strips"): "7d1f201c08da6e15",
    ("mini", "figures"): "e641b011c5a2072f",
    ("mini", "report"): "0b54df81c3472d5b",
    ("smoke", "prompts"): "5c69fbf4b98ff6c4",
    ("smoke", "domain"): "8a1fa291c8a150be",
    ("smoke", "mask_quality"): "7a7b10ac555f738d",
    ("smoke", "synthesize"): "ed755b54a39bf274",
    ("smoke", "replay"): "6f996e5361a5adae",
    ("smoke", "refine"): "c0ea7dcca37824ec",
    ("smoke", "filter"): "e4ee2d2abf309d97",
    ("smoke", "assemble"): "fa6761af2596b3f8",
    ("smoke", "train"): "5d3811dd6c862cc2",
    ("smoke", "evaluate"): "4e5a5bbc5283b2bc",
    ("smoke", "tabulate"): "d9192c2cbd02a56e",
    ("smoke", "strips"): "9a819450eeff7fe1",
    ("smoke", "figures"): "6e6c1a9b78eb643a",
    ("smoke", "report"): "9843efb7acf61d15",
    ("paper", "prompts"): "0c8620bb69d4c672",
    ("paper", "mask_quality"): "2d8a97a44d9f6a9d",
    ("paper", "adapter"): "f861a331962fae86",
    ("paper", "synthesize"): "64c21a2ec45cefe8",
    ("paper", "refine"): "3cc4521c73758eff",
    ("paper", "filter"): "6d3790dfa2b9953c",
    ("paper", "assemble"): "9e06aaf7830fde9e",
    ("paper", "train"): "f349d28d8f7a3d68",
    ("paper", "evaluate"): "e6620cb94d371f0b",
    ("paper", "tabulate"): "d652dbdcdf99a67e",
    ("paper", "strips"): "ed09c7275d30ff30",
    ("paper", "figures"): "81273cbb79758e72",
    ("paper", "report"): "52ba3677513c6e4e",
    ("deviations", "prompts"): "6d3b4d5ff69abf67",
    ("deviations", "domain"): "cc1384e92dd6817a",
    ("deviations", "mask_quality"): "65c6ef5aea789fb0",
    ("deviations", "synthesize"): "bb04fbb6c0a395c8",
    ("deviations", "refine"): "51740e94d8fe69ad",
    ("deviations", "assemble"): "a340224e93ca8929",
    ("deviations", "train"): "18de98fb1c0ad8b9",
    ("deviations", "evaluate"): "a14878faa6d39cc3",
    ("deviations", "tabulate"): "20cd841f4640c3f7",
    ("deviations", "strips"): "4f26a15ce0fa04cd",
    ("deviations", "report"): "b23f24ab1fa02a2f",
    ("masks", "prompts"): "26ccbccdd0974672",
    ("masks", "domain"): "2f05f0dba7bf79e2",
    ("masks", "synthesize"): "94427a755955a2da",
    ("masks", "assemble"): "dd4ab5a613ebcd7e",
    ("masks", "train"): "e88b83102962febd",
    ("masks", "evaluate"): "97705847ec185b94",
    ("masks", "judge"): "dd82ef796f9d88e6",
    ("masks", "tabulate"): "c771e57f89e95322",
    ("masks", "strips"): "7d1f201c08da6e15",
    ("masks", "report"): "ac20384b4cebf96c",
    ("smoke", "judge"): "60b4bcae1ac44253",
}


@pytest.mark.parametrize(("study", "stage"), DIGESTS)
def test_what_a_stage_is_told_is_as_before(study: str, stage: str) -> None:
    assert digest(specs(study, stage)) == DIGESTS[study, stage]


def test_every_stage_of_every_study_is_looked_at() -> None:
    studies = {path.stem for path in (ROOT / "config/studies").glob("*.yaml")}
    assert {*DIGESTS} == {(study, stage) for study in studies for stage in STAGES if specs(study, stage)}
