"""Every family's attention against an explicit softmax in float64, in tiny pipelines of the real classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seediff.attention.families import family_of
from seediff.attention.maps import resolutions
from seediff.attention.recording import denoiser_of, record_attention
from seediff.errors import SeediffError
from seediff.masks import make_mask, make_score
from seediff.masks.variants import fitted
from tests.attention_oracle import PROMPTS, SEQUENCES, Drawn, assert_exact, draw, expected, oracle
from tests.models_table import printed, row
from tests.tiny_pipelines import FAMILIES, call


@pytest.fixture(scope="module", params=FAMILIES)
def drawn(request: pytest.FixtureRequest) -> Drawn:
    return draw(request.param)


def test_maps_equal_an_explicit_softmax(drawn: Drawn) -> None:
    assert drawn.error < 1e-5


def test_the_page_of_models_says_what_is_so(drawn: Drawn) -> None:
    """Its error is that of another machine: of the same order."""
    *said, error = printed(drawn.name)
    *found, now = row(drawn)
    assert said == found
    assert float(now) / 30 < float(error) < 1e-5


def test_the_image_is_the_same_to_the_bit_during_and_after(drawn: Drawn) -> None:
    assert torch.equal(drawn.image, drawn.recorded)
    assert torch.equal(drawn.image, call(drawn.name, drawn.pipe, PROMPTS[0]))


def test_images_of_a_list_have_their_own_maps(drawn: Drawn) -> None:
    options = {"guidance_scale": 1.0} if drawn.name == "prx" else {}
    with oracle(drawn.pipe) as found, record_attention(drawn.pipe) as recording:
        call(drawn.name, drawn.pipe, PROMPTS, **options)
    for image, maps in enumerate(recording.maps):
        assert maps.prompt == PROMPTS[image]
        assert_exact(maps, expected(found, SEQUENCES[drawn.name], image, 2, maps))


@pytest.mark.parametrize("word", ["cat", "photo", "a"])
def test_a_word_is_found_in_the_pieces_of_every_tokenizer(drawn: Drawn, word: str) -> None:
    found = [drawn.maps.tokens[at].strip("\u2581\u0120").removesuffix("</w>") for at in drawn.maps.text.indices(word)]
    tokenizers = 2 if drawn.name in ("sd3", "hunyuan_dit") else 1
    assert {*found} == {word} and len(found) == tokenizers * PROMPTS[0].split().count(word)
    finest = max(drawn.maps.cross_attention)
    assert drawn.maps.for_word(word).class_map(finest).shape == finest


METHODS = ("caa", "cre", "ire", "seediff", "ca_sa", "attn2mask", "released_code")
ROUNDS = {
    "stable_diffusion": ["1/4", "1/4", "1/2", "1", "1"],
    "stable_diffusion_xl": ["1/4", "1/4", "1/2", "1/2"],
    "ssd": ["1/4", "1/4", "1/2", "1/2"],
}
"""Of seeds, expansions and background; the transformers have everything at 1."""


def test_every_method_makes_a_mask_of_what_was_recorded(drawn: Drawn) -> None:
    pixels = (drawn.image[0].movedim(0, -1).numpy() * 255).round().astype(np.uint8)
    for method in METHODS:
        score = make_score(drawn.maps, "cat", method)
        assert score.shape == drawn.maps.latent_size and score.min() >= 0 and score.max() <= 1
        assert make_mask(drawn.maps, "cat", pixels, method).shape == pixels.shape[:2]
    steps = fitted("seediff", drawn.maps)
    rounds = ROUNDS.get(drawn.name, ["1", "1", "1"])
    names = ["cross_attention", *["expand"] * (len(rounds) - 2), "background"]
    assert steps == tuple((step, {"resolution": at}) for step, at in zip(names, rounds, strict=True))
    late = ("record", {"timesteps": "late"})
    assert fitted([late, "seediff"], drawn.maps) == (late, *steps)


def test_a_sum_over_layers_counts_those_that_the_model_has(drawn: Drawn) -> None:
    kinds = family_of(denoiser_of(drawn.pipe)).layers_of(denoiser_of(drawn.pipe))
    seen = {seen.layer for seen in drawn.found.seen if kinds.get(seen.layer) in ("cross", "joint")}
    assert sum(drawn.maps.layers.values()) == len(seen) > 0
    ((_, params),) = fitted("attn2mask", drawn.maps)
    assert params["layers"] == {str(at): drawn.maps.layers[size] for at, size in resolutions(drawn.maps).items()}


def test_a_variant_named_after_a_resolution_needs_it(drawn: Drawn) -> None:
    with pytest.raises(SeediffError, match="No attention was recorded at 1/8"):
        make_score(drawn.maps, "cat", "ca_8")
