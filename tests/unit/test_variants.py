"""Variants: complete, checked by name and value, resolved to JSON, all without torch."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import seediff
from seediff.errors import SeediffError
from seediff.masks.steps import PARAMETERS, STEPS
from seediff.masks.variants import VARIANTS, Steps, mask_steps, resolve

CA = ("cross_attention", {"resolution": "1/4"})


@pytest.mark.parametrize("variant", VARIANTS)
def test_resolved_variants_are_json_with_every_parameter(variant: str) -> None:
    resolved = resolve(VARIANTS[variant], alpha=0.25)
    assert json.loads(json.dumps(resolved)) == [list(step) for step in resolved]
    for name, params in mask_steps(resolved):
        accepted = list(inspect.signature(STEPS[name]).parameters)[2:]
        assert list(params) == accepted
        assert params.get("alpha", 0.25) == 0.25


def test_resolving_twice_changes_nothing() -> None:
    for steps in VARIANTS.values():
        assert resolve(resolve(steps, alpha=0.25), alpha=0.75) == resolve(steps, alpha=0.25)


def test_resolving_leaves_the_table_of_variants_alone() -> None:
    resolve(VARIANTS["seediff"], alpha=0.25)
    assert VARIANTS["seediff"][-1] == ("background", {"resolution": "1"})


def test_a_step_s_alpha_overrides_the_study_s() -> None:
    resolved = resolve((CA, ("expand", {"resolution": "1", "alpha": 0.7})), alpha=0.2)
    assert resolved[1] == ("expand", {"resolution": "1", "alpha": 0.7})


def test_defaults_of_the_steps_are_filled_in() -> None:
    resolved = resolve((CA, ("propagate", {}), ("background", {})))
    assert resolved[1:] == (
        ("propagate", {"resolution": "1/2", "power": 4}),
        ("background", {"resolution": "1", "alpha": 0.5}),
    )


@pytest.mark.parametrize(("written", "read"), [(1, "1"), (0.5, "1/2"), ("2/8", "1/4"), ("0.25", "1/4")])
def test_resolutions_have_one_spelling(written: object, read: str) -> None:
    assert resolve((("cross_attention", {"resolution": written}),))[0][1] == {"resolution": read}


def test_a_list_of_resolutions_stays_in_order() -> None:
    resolved = resolve((("mean_cross_attention", {"resolutions": ["1", "1/4"]}),))
    assert resolved == (("mean_cross_attention", {"resolutions": ["1", "1/4"]}),)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((CA, ("expnd", {"resolution": "1"})), ("'expnd'", "'expand'")),
        ((CA, ("expand", {"resolutoin": "1"})), ("'expand'", "'resolutoin'", "'resolution'")),
        ((CA, ("expand", {})), ("'expand'", "missing", "'resolution'")),
        ((CA, ("expand", {"resolution": "1", "score": 1})), ("'score'",)),
        ((CA, ("expand", {"resolution": "1", "alpha": 1.5})), ("alpha is 1.5", "from 0 to 1")),
        ((CA, ("expand", {"resolution": "1", "alpha": float("nan")})), ("alpha is nan",)),
        ((CA, ("expand", {"resolution": "1", "alpha": "half"})), ("'half'",)),
        ((CA, ("expand", {"resolution": "whole"})), ("'whole'", "'1/4'")),
        ((CA, ("expand", {"resolution": "1/0"})), ("'1/0'",)),
        ((CA, ("expand", {"resolution": 16})), ("16", "at most '1'")),
        ((CA, ("propagate", {"power": 0})), ("power is 0",)),
        ((CA, ("propagate", {"power": 2.5})), ("power is 2.5",)),
        ((("mean_cross_attention", {"resolutions": "1/4"}),), ("resolutions is '1/4'", "list")),
        ((("summed_cross_attention", {"layers": {}}),), ("layers is {}", "by resolution")),
        ((("summed_cross_attention", {"layers": [1]}),), ("layers is [1]",)),
        ((("summed_cross_attention", {"layers": {"1/4": 0}}),), ("layers is {'1/4': 0}",)),
        ((("summed_cross_attention", {"layers": {"1/4": 1, "2/8": 1}}),), ("'2/8'",)),
        ((("expand", {"resolution": "1"}),), ("'expand'", "number 1", "cross_attention")),
        ((CA, ("expand", {"resolution": "1"}), CA), ("'cross_attention'", "number 3")),
        ((), ("at least one",)),
    ],
)
def test_invalid_variants(steps: Steps, words: tuple[str, ...]) -> None:
    with pytest.raises(SeediffError) as caught:
        resolve(steps)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert len(message.splitlines()) <= 3


def test_the_study_s_alpha_is_checked_too() -> None:
    with pytest.raises(SeediffError, match="alpha is -1"):
        resolve(VARIANTS["ire"], alpha=-1)


def test_every_step_has_the_same_signature() -> None:
    for name, step in STEPS.items():
        score, maps, *params = inspect.signature(step).parameters.values()
        assert (score.name, maps.name) == ("score", "maps"), name
        assert all(param.kind is param.KEYWORD_ONLY and param.name in PARAMETERS for param in params), name
        assert step.__doc__, name


def test_variants_are_resolved_without_torch() -> None:
    code = (
        "import sys, seediff.masks; from seediff.masks.variants import VARIANTS, resolve\n"
        "from seediff.masks.refinement import Refinement\n"
        "[resolve(steps, alpha=0.4) for steps in VARIANTS.values()]; Refinement()\n"
        "assert seediff.masks.VARIANTS is VARIANTS and seediff.masks.Refinement is Refinement\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(seediff.__file__).parents[1])
