"""Fixtures of the tests that draw."""

from __future__ import annotations

from typing import Any

import pytest

import seediff
from seediff.prompts.prompt_sets import Prompt, make_prompts
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def pipe() -> Any:
    """The embedded pipeline, one for each test module."""
    return seediff.load(ROOT / "assets/pictograms")


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    """Two prompts of each of two classes."""
    return make_prompts("basic", ["cat", "train"], 2)
