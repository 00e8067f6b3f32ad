"""The JSON schema and the tables of keys are those of the sections, and the shipped studies fit them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from seediff.adaptation.settings import Adaptation
from seediff.filtering.settings import Filter
from seediff.masks.variants import VARIANTS
from seediff.segmenter.settings import RobustTraining, SegmenterSettings
from seediff.workflow.study.documentation import PAGE, SCHEMA, attribute_docstrings, keys, schema_text, with_tables
from seediff.workflow.study.outputs import Row
from seediff.workflow.study.sections import PromptSet
from tests.conftest import ROOT

STUDIES = sorted((ROOT / "config/studies").glob("*.yaml"))
AGAIN = "run python -m seediff.workflow.study.documentation"


def schema() -> Draft202012Validator:
    content = json.loads((ROOT / SCHEMA).read_text())
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content)


def test_the_schema_is_current() -> None:
    assert (ROOT / SCHEMA).read_text() == schema_text(), AGAIN


def test_kinds_of_rows_at_the_same_place_all_have_their_table() -> None:
    page = keys()
    for key in ("`longer_than`", "`paper`", "`variant` | name | required | The variant that scores the image."):
        assert key in page.partition("### `tables.NAME.rows`")[2].partition("###")[0], key


def test_the_page_is_current() -> None:
    assert (ROOT / PAGE).read_text() == with_tables((ROOT / PAGE).read_text()), AGAIN


def test_the_page_has_every_variant() -> None:
    page = (ROOT / PAGE).read_text()
    assert [name for name in VARIANTS if f"`{name}`" not in page] == []


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_fits_the_schema_that_it_names(path: Path) -> None:
    text = path.read_text()
    named = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == (ROOT / SCHEMA).resolve()
    assert [error.message for error in schema().iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda study: study.update(repeat=2),
        lambda study: study.update(repeats=0),
        lambda study: study.update(classes=[]),
        lambda study: study.pop("tables"),
        lambda study: study["diffusion"].update(dtype="float8"),
        lambda study: study["variants"].update(odd=["cross_atention"]),
        lambda study: study["variants"].update(odd=[{"expand": {"resolutions": "1/4"}}]),
        lambda study: study["recipes"].update(odd={"benchmark": "voc", "variant": "caa"}),
        lambda study: study["augmentations"].update(odd={"splice": "often"}),
    ],
)
def test_the_schema_refuses(change: Callable[[dict[str, Any]], None]) -> None:
    study = yaml.safe_load((ROOT / "config/studies/smoke.yaml").read_text())
    study = {"variants": {}, "augmentations": {}, **study}
    assert schema().is_valid(study)
    change(study)
    assert not schema().is_valid(study)


@pytest.mark.parametrize("section", [Adaptation, Filter, PromptSet, RobustTraining, Row, SegmenterSettings])
def test_docstrings_below_attributes_are_read_of_base_classes_too(section: type) -> None:
    docstrings = attribute_docstrings(section)
    assert list(docstrings) == [name for name in fields(section) if name != "augmentation"]
    assert not any("\n" in text or "``" in text for text in docstrings.values())


def fields(section: Any) -> list[str]:
    return list(getattr(section, "model_fields", None) or section.__dataclass_fields__)


def test_every_key_has_a_meaning_in_the_page() -> None:
    rows = [line for line in keys().splitlines() if line.startswith("| `")]
    assert rows and [row for row in rows if row.endswith("|  |")] == []
