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
    """The content with its keys as they were before."""
    if isinstance(content, dict):
        if "image_sets" in content:  # a study, which could once have a section of this name
            content = content | {"mask_quality": None}
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
    ("mini", "prompts"): "e18aaee1e618a5b6",
    ("mini", "domain"): "e82865b2c48365be",
    ("mini", "adapter"): "a9587f7f994c721e",
    ("mini", "synthesize"): "da097eafe8e753f8",
    ("mini", "refine"): "618d20df5305d25f",
    ("mini", "filter"): "531bbc7e96273198",
    ("mini", "assemble"): "cceafb47c64225f1",
    ("mini", "train"): "fe5013008b0d0c0d",
    ("mini", "evaluate"): "a9a9b03647e9b7bf",
    ("mini", "judge"): "7dee81d587a34dd8",
    ("mini", "tabulate"): "e5f618d3b6155d61",
    ("mini", "predictions"): "c06f81e45926ed9b",
    ("mini", "strips"): "5d6e9b16aaf65732",
    ("mini", "figures"): "5432c7b21333427d",
    ("mini", "report"): "b717e0079d4cfbcd",
    ("quick", "prompts"): "9f59cfa1efa38168",
    ("quick", "domain"): "3615eb52663b57fd",
    ("quick", "synthesize"): "fd3563ea0a8137d2",
    ("quick", "refine"): "758ebcc4cdd24579",
    ("quick", "assemble"): "29e4173fb5caf03d",
    ("quick", "train"): "c934991466bb526d",
    ("quick", "evaluate"): "d0079afccccb55ea",
    ("quick", "judge"): "ab623b013e9fd236",
    ("quick", "tabulate"): "2d2f101d064d5cdc",
    ("quick", "predictions"): "89313598efd907e6",
    ("quick", "strips"): "7ae93d02337b7002",
    ("quick", "report"): "98b5822a556cb157",
    ("paper", "prompts"): "0c8620bb69d4c672",
    ("paper", "adapter"): "f861a331962fae86",
    ("paper", "synthesize"): "64c21a2ec45cefe8",
    ("paper", "refine"): "3cc4521c73758eff",
    ("paper", "filter"): "6d3790dfa2b9953c",
    ("paper", "assemble"): "9e06aaf7830fde9e",
    ("paper", "train"): "853aa23e227e7c5d",
    ("paper", "evaluate"): "e6620cb94d371f0b",
    ("paper", "judge"): "ce0163144e4baa93",
    ("paper", "tabulate"): "f2799cc8caf5ef98",
    ("paper", "strips"): "95d40d62d93d8ee9",
    ("paper", "figures"): "81273cbb79758e72",
    ("paper", "report"): "a1760eb5cb777b5b",
    ("smoke", "prompts"): "5c69fbf4b98ff6c4",
    ("smoke", "domain"): "8a1fa291c8a150be",
    ("smoke", "synthesize"): "ed755b54a39bf274",
    ("smoke", "replay"): "6f996e5361a5adae",
    ("smoke", "refine"): "c0ea7dcca37824ec",
    ("smoke", "filter"): "e4ee2d2abf309d97",
    ("smoke", "assemble"): "fa6761af2596b3f8",
    ("smoke", "train"): "b10982170779d083",
    ("smoke", "evaluate"): "4e5a5bbc5283b2bc",
    ("smoke", "judge"): "e7d98d1d58cdeedb",
    ("smoke", "tabulate"): "4e82a852f0a8b833",
    ("smoke", "predictions"): "c39d22f005c1c648",
    ("smoke", "strips"): "4e5b7c14dd229d2b",
    ("smoke", "figures"): "6e6c1a9b78eb643a",
    ("smoke", "report"): "96870fbfde924d7a",
    ("one-gpu", "prompts"): "5a5f166da6b35a89",
    ("one-gpu", "synthesize"): "8155af2110efc7c4",
    ("one-gpu", "refine"): "3d826059330d2a3c",
    ("one-gpu", "assemble"): "df06c1d4d76da46d",
    ("one-gpu", "train"): "7cd490aa867ea338",
    ("one-gpu", "evaluate"): "8b9838991f872916",
    ("one-gpu", "judge"): "fc146159fbc0d52f",
    ("one-gpu", "tabulate"): "e4b208866efe8820",
    ("one-gpu", "strips"): "e2f6ad84e9e85aa3",
    ("one-gpu", "figures"): "b6ee5da3dfd42758",
    ("one-gpu", "report"): "2b901356f6f5c37a",
    ("deviations", "prompts"): "3bdcdef11220dbc2",
    ("deviations", "domain"): "3615eb52663b57fd",
    ("deviations", "synthesize"): "bb04fbb6c0a395c8",
    ("deviations", "refine"): "51740e94d8fe69ad",
    ("deviations", "assemble"): "b2431a990e97a680",
    ("deviations", "train"): "c976c58fe38039df",
    ("deviations", "evaluate"): "a14878faa6d39cc3",
    ("deviations", "judge"): "4070950f98871bc0",
    ("deviations", "tabulate"): "e2f19c4e58aecdad",
    ("deviations", "strips"): "cad07b63b58ad610",
    ("deviations", "report"): "817e5461e8e46436",
    ("masks", "prompts"): "26ccbccdd0974672",
    ("masks", "domain"): "2f05f0dba7bf79e2",
    ("masks", "synthesize"): "94427a755955a2da",
    ("masks", "assemble"): "dd4ab5a613ebcd7e",
    ("masks", "train"): "1bf9d07da6d5b0b8",
    ("masks", "evaluate"): "97705847ec185b94",
    ("masks", "judge"): "278184052d6353bb",
    ("masks", "tabulate"): "52d29a1147c2d0de",
    ("masks", "strips"): "85947521a3b8d8d2",
    ("masks", "report"): "2102d1f9e62ce427",
}


@pytest.mark.parametrize(("study", "stage"), DIGESTS)
def test_what_a_stage_is_told_is_as_before(study: str, stage: str) -> None:
    assert digest(specs(study, stage)) == DIGESTS[study, stage]


def test_every_stage_of_every_study_is_looked_at() -> None:
    studies = {path.stem for path in (ROOT / "config/studies").glob("*.yaml")}
    assert {*DIGESTS} == {(study, stage) for study in studies for stage in STAGES if specs(study, stage)}
