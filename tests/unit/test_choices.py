"""What is recorded by choice: some layers, heads and timesteps by themselves, tokens that are no words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import seediff
from seediff.attention.apart import Apart
from seediff.attention.recording import record_attention
from seediff.errors import SeediffError
from tests.attention_oracle import PROMPTS, SEQUENCES, assert_exact, expected, oracle
from tests.tiny_pipelines import FAMILIES, call

CHOICES = {
    "stable_diffusion": "up_blocks.*",
    "sd3": "transformer_blocks.1.*",
    "flux": "single_*",
    "sana": "transformer_blocks.0.*",
}


@pytest.fixture(scope="module", params=CHOICES)
def family(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, FAMILIES[request.param]()


def test_layers_are_chosen_by_their_names(family: tuple[str, Any]) -> None:
    name, pipe = family
    pattern = CHOICES[name]
    with oracle(pipe) as found, record_attention(pipe, layers=[pattern]) as recording:
        call(name, pipe, PROMPTS[0])
    found.seen = [seen for seen in found.seen if seen.layer.startswith(pattern.removesuffix("*"))]
    (maps,) = recording.maps
    assert_exact(maps, expected(found, SEQUENCES[name], 0, 1, maps))


@pytest.mark.parametrize("options", [{"layers": ["nothing.*"]}, {"layers": ["*1*"], "apart": Apart(("*attn9",))}])
def test_layers_that_are_not_there_are_named(family: tuple[str, Any], options: dict[str, Any]) -> None:
    with pytest.raises(SeediffError, match=r"No attention layer .*'(nothing\.\*|\*attn9)'\.\nThere are \d+, from .*"):
        record_attention(family[1], **options).__enter__()


def test_layers_apart_are_probabilities_of_each_head_and_call(family: tuple[str, Any]) -> None:
    name, pipe = family
    with oracle(pipe) as found, record_attention(pipe, apart=Apart((CHOICES[name],), heads=True)) as recording:
        call(name, pipe, PROMPTS[0])
    with record_attention(pipe, apart=Apart((CHOICES[name],))) as means:
        call(name, pipe, PROMPTS[0])
    layers = [seen.layer for seen in found.seen if seen.layer.startswith(CHOICES[name].removesuffix("*"))]
    assert [(kept.layer, kept.call) for kept in recording.apart] == [(kept.layer, kept.call) for kept in means.apart]
    assert {kept.layer for kept in recording.apart} == {*layers} and {kept.call for kept in recording.apart} == {0, 1}
    for kept, mean in zip(recording.apart, means.apart, strict=True):
        for heads, whole in ((kept.cross_attention, mean.cross_attention), (kept.self_attention, mean.self_attention)):
            assert (heads is None) == (whole is None)
            if heads is not None and whole is not None:
                assert len(whole) == 1
                torch.testing.assert_close(heads.mean(0), whole[0])
    assert max(len(kept.cross_attention) for kept in recording.apart if kept.cross_attention is not None) > 1
    maps = recording.maps[0]
    finest = max(maps.self_attention)
    parts = [kept.self_attention for kept in means.apart if kept.size == finest and kept.self_attention is not None]
    with record_attention(pipe, layers=[CHOICES[name]]) as chosen:
        call(name, pipe, PROMPTS[0])
    expected_mean = torch.stack([part[0] / part.max() for part in parts]).mean(0)
    torch.testing.assert_close(chosen.maps[0].self_attention[finest], expected_mean, atol=1e-5, rtol=0)


def test_layers_apart_begin_afresh_with_each_call(family: tuple[str, Any]) -> None:
    name, pipe = family
    with record_attention(pipe, apart=Apart((CHOICES[name],))) as recording:
        call(name, pipe, PROMPTS[0])
        first = len(recording.apart)
        call(name, pipe, PROMPTS[0])
    assert first == len(recording.apart) > 0


def test_layers_apart_have_a_bound() -> None:
    pipe = FAMILIES["stable_diffusion"]()
    apart = Apart(("*attn1",), heads=True, mebibytes=1)
    with record_attention(pipe, apart=apart), pytest.raises(SeediffError, match="take more than 1 MiB"):
        call("stable_diffusion", pipe, PROMPTS[0], height=64, width=64)
    with pytest.raises(SeediffError, match="mebibytes"):
        seediff.Apart(("*",), mebibytes=0)


def test_tokens_that_are_no_words_have_maps_too(family: tuple[str, Any]) -> None:
    name, pipe = family
    with record_attention(pipe) as recording:
        call(name, pipe, PROMPTS[0])
    (maps,) = recording.maps
    others = maps.text.without_words
    assert {*others}.isdisjoint(maps.text.indices("cat")) and len(others) > 1
    size = max(maps.cross_attention)
    seen = maps.for_tokens(others[:1]).cross_attention[size]
    assert torch.equal(seen.flatten(), maps.cross_attention[size][:, others[0]])
    for wrong in ([], [len(maps.tokens)], [-1]):
        with pytest.raises(SeediffError, match="The prompt has tokens 0 to"):
            maps.for_tokens(wrong)


def test_calls_are_counted_from_the_begin_of_the_run(family: tuple[str, Any]) -> None:
    name, pipe = family
    with record_attention(pipe, "late", apart=Apart((CHOICES[name],))) as recording:
        call(name, pipe, PROMPTS[0], num_inference_steps=4)
    assert {kept.call for kept in recording.apart} == {2, 3}


def test_cross_attention_alone_is_enough_where_nothing_else_is_used() -> None:
    pipe = FAMILIES["stable_diffusion"]()
    with record_attention(pipe, layers=["*.attn2"]) as recording:
        call("stable_diffusion", pipe, PROMPTS[0])
    (maps,) = recording.maps
    for variant in ("caa", "ca_16", "attn2mask"):
        assert seediff.make_score(maps, "cat", variant).max() > 0
    with pytest.raises(SeediffError, match="No self-attention was recorded at"):
        seediff.make_score(maps, "cat", "ca_sa")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": "*.attn2"}, "layers must be a list of texts"),
        ({"layers": None}, "layers must be a list of texts"),
        ({"apart": ["*.attn2"]}, "apart must be a seediff.Apart"),
    ],
)
def test_choices_of_another_kind_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SeediffError, match=words):
        record_attention(FAMILIES["stable_diffusion"](), **options)
