"""From a score to a mask: upsampling, refinement, threshold; and the two public calls."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

import seediff
from seediff.attention.maps import AttentionMaps
from seediff.attention.tokens import TokenizedPrompt
from seediff.errors import SeediffError
from seediff.masks import PamrSettings, Refinement, make_mask, make_score
from seediff.masks.pamr import pamr
from seediff.masks.refinement import refine, to_mask
from seediff.masks.variants import VARIANTS, apply, calls_of, resolve

NONE = Refinement(pamr=None, threshold=0.3)
SOFT = Refinement(PamrSettings(3, (1, 2)), threshold=0.3)
BINARY = replace(SOFT, input="binary", pamr_threshold=0.6)


def random_image(seed: int, height: int = 12, width: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def random_score(seed: int, side: int = 4) -> torch.Tensor:
    return torch.rand(side, side, generator=torch.Generator().manual_seed(seed))


def attention_maps(seed: int = 0) -> AttentionMaps:
    """A prompt of four words, latents of side 16, maps at 2, 4, 8 and 16."""
    tokens = ("<|startoftext|>", "a</w>", "photo</w>", "of</w>", "cat</w>", "<|endoftext|>")
    generator = torch.Generator().manual_seed(seed)
    cross = {(r, r): torch.rand(r * r, len(tokens), generator=generator) for r in (2, 4, 8, 16)}
    rows = {(r, r): torch.randn(r * r, r * r, generator=generator).softmax(1) for r in (2, 4, 8, 16)}
    prompt = TokenizedPrompt("a photo of cat", tokens, ((0, 0), (0, 1), (2, 7), (8, 10), (11, 14), (0, 0)))
    return AttentionMaps(prompt, cross, rows, (16, 16))


def test_without_pamr_the_score_is_only_upsampled() -> None:
    """Half-pixel centres: doubling [0, 1] gives 0, 1/4, 3/4, 1."""
    score = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert refine(score, random_image(0, 2, 4), NONE).tolist() == [[0, 0.25, 0.75, 1]] * 2


def test_the_mask_has_the_label_where_the_score_reaches_beta() -> None:
    mask = to_mask(torch.tensor([[0.2, 0.3], [0.31, 1.0]]), 7, 0.3)
    assert mask.dtype == np.uint8 and mask.tolist() == [[0, 7], [7, 7]]


def test_scores_in_the_uncertain_band_are_ignored() -> None:
    score = torch.tensor([[0.49, 0.5], [0.59, 0.6]])
    assert to_mask(score, 7, 0.6, uncertain_from=0.5).tolist() == [[0, 255], [255, 7]]
    assert to_mask(score, 7, 0.6).tolist() == [[0, 0], [0, 7]]


def test_soft_refinement_is_pamr_of_the_upsampled_score() -> None:
    image, score = random_image(1), random_score(1)
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255
    soft = refine(score, image, NONE)
    expected = pamr(pixels, soft[None, None], iterations=3, dilations=(1, 2), sigma_factor=0.1)[0, 0]
    torch.testing.assert_close(refine(score, image, SOFT), expected)
    assert (expected - soft).abs().max() > 0.01


def test_binary_refinement_is_pamr_of_the_mask() -> None:
    image, score = random_image(2), random_score(2)
    mask = (refine(score, image, NONE) >= 0.3).float()
    torch.testing.assert_close(refine(score, image, BINARY), refine_whole(mask, image))
    assert (BINARY.final_threshold, SOFT.final_threshold, NONE.final_threshold) == (0.6, 0.3, 0.3)
    assert replace(BINARY, pamr=None).final_threshold == 0.3


def refine_whole(score: torch.Tensor, image: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255
    return pamr(pixels, score[None, None], iterations=3, dilations=(1, 2))[0, 0]


@pytest.mark.parametrize("refinement", [NONE, SOFT, BINARY])
def test_refined_scores_fit_the_image_and_leave_the_inputs(refinement: Refinement) -> None:
    image, score = random_image(3, 9, 13), random_score(3)
    before = image.copy(), score.clone()
    soft = refine(score.half(), image, refinement)
    assert soft.shape == (9, 13) and soft.dtype == torch.float32
    assert soft.isfinite().all() and soft.min() >= 0 and soft.max() <= 1
    refine(score, image, refinement).fill_(0)
    assert np.array_equal(image, before[0]) and torch.equal(score, before[1])


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_other_images_are_refused(image: np.ndarray) -> None:
    with pytest.raises(SeediffError, match="uint8"):
        refine(random_score(0), image, NONE)


@pytest.mark.parametrize("label", [0, 255, -1, 1.5, "1"])
def test_other_labels_are_refused(label: int) -> None:
    with pytest.raises(SeediffError, match="Label"):
        to_mask(random_score(0), label, 0.3)


# Settings


@pytest.mark.parametrize(
    "make",
    [
        lambda: Refinement(threshold=0.0),
        lambda: Refinement(pamr_threshold=1.5),
        lambda: Refinement(input="hard"),  # type: ignore[arg-type]
        lambda: PamrSettings(iterations=0),
        lambda: PamrSettings(dilations=()),
        lambda: PamrSettings(dilations=(1, 0)),
        lambda: PamrSettings(sigma_factor=0.0),
    ],
)
def test_impossible_settings_are_refused(make: Any) -> None:
    with pytest.raises(SeediffError):
        make()


def test_a_threshold_of_its_own_is_kept() -> None:
    assert Refinement().with_default_threshold(0.4).final_threshold == 0.4
    assert Refinement(threshold=0.2).with_default_threshold(0.4).final_threshold == 0.2
    with pytest.raises(SeediffError, match="threshold"):
        _ = Refinement().final_threshold


class Section(BaseModel):
    """As a study writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    refinement: Refinement


def test_a_study_can_hold_a_refinement() -> None:
    written = {"pamr": {"iterations": 5000, "dilations": [1], "sigma_factor": 0.2}, "input": "binary"}
    read = Section.model_validate({"refinement": written}).refinement
    assert read == Refinement(PamrSettings(5000, (1,), 0.2), "binary")
    assert TypeAdapter(Refinement).validate_python(json.loads(json.dumps(asdict(read)))) == read
    assert Section.model_validate({"refinement": {"pamr": None}}).refinement == Refinement(None)
    with pytest.raises(ValidationError, match="pamer"):
        Section.model_validate({"refinement": {"pamer": None}})


# The public calls


@pytest.mark.parametrize("variant", VARIANTS)
def test_make_score_runs_the_variant(variant: str) -> None:
    steps = resolve(VARIANTS[variant], alpha=0.3)
    maps = replace(attention_maps(), calls=calls_of(steps))
    score = make_score(maps, "cat", variant, alpha=0.3)
    assert score.dtype == np.float32 and score.shape == (16, 16)
    expected = apply(steps, maps.for_word("cat"))
    assert np.array_equal(score, expected.numpy())


def test_words_compete_where_others_are_named() -> None:
    maps, steps = attention_maps(), ["ca_64", {"compete": {"resolution": "1"}}]
    alone, beside = (make_score(maps, "cat", steps, others=others) for others in ([], ["photo"]))
    own, other = (maps.for_word(word).class_map((16, 16)).numpy() for word in ("cat", "photo"))
    assert np.array_equal(alone, own)
    assert np.array_equal(beside, np.where(own >= other, own, 0)) and not np.array_equal(alone, beside)
    with pytest.raises(SeediffError, match="dog"):
        make_score(maps, "cat", steps, others=["dog"])


def test_make_score_takes_steps_of_one_s_own() -> None:
    steps = (("cross_attention", {"resolution": "1"}),)
    score = make_score(attention_maps(), "cat", steps)
    assert np.array_equal(score, attention_maps().for_word("cat").class_map((16, 16)).numpy())


def test_make_mask_is_the_whole_chain() -> None:
    maps, image = attention_maps(), random_image(4, 20, 20)
    score = torch.from_numpy(make_score(maps, "cat", "ire"))
    expected = to_mask(refine(score, image, Refinement(threshold=0.4)), 3, 0.4)
    mask = make_mask(maps, "cat", image, "ire", beta=0.4, label=3)
    assert mask.dtype == np.uint8 and np.array_equal(mask, expected) and set(np.unique(mask)) == {0, 3}
    assert np.array_equal(seediff.make_mask(maps, "cat", Image.fromarray(image), "ire", beta=0.4, label=3), mask)


def test_a_repeated_word_counts_at_every_place_or_at_one() -> None:
    maps = attention_maps()
    prompt = TokenizedPrompt("cat on on cat", maps.tokens, ((0, 0), (0, 3), (4, 6), (7, 9), (10, 13), (0, 0)))
    maps, image, steps = replace(maps, text=prompt), random_image(4, 16, 16), [{"cross_attention": {"resolution": "1"}}]
    both = maps.cross_attention[16, 16][:, [1, 4]].mean(1).view(16, 16)
    assert np.allclose(make_score(maps, "cat", steps), ((both - both.min()) / (both.max() - both.min())).numpy())
    for start, column in ((0, 1), (10, 4)):
        attention = maps.cross_attention[16, 16][:, column].view(16, 16)
        score = make_score(maps, "cat", steps, starts=[start])
        assert np.allclose(score, ((attention - attention.min()) / (attention.max() - attention.min())).numpy())
        assert np.array_equal(make_mask(maps, "cat", image, steps, refinement=None, starts=[start]), score >= 0.3)


def test_make_mask_keeps_the_refinement_s_threshold() -> None:
    maps, image = attention_maps(), random_image(5, 24, 24)
    own = make_mask(maps, "cat", image, beta=0.9, refinement=NONE)
    assert np.array_equal(own, make_mask(maps, "cat", image, beta=0.3, refinement=Refinement(pamr=None)))


def test_an_unknown_variant_names_the_nearest() -> None:
    with pytest.raises(SeediffError, match="Did you mean 'seediff'"):
        make_score(attention_maps(), "cat", "seedif")


def test_make_mask_wants_the_image_that_was_drawn() -> None:
    with pytest.raises(SeediffError, match="image is 16 pixels wide and 20 high, but the maps are of one 16 : 16"):
        make_mask(attention_maps(), "cat", random_image(5, 20, 16))


def test_make_mask_wants_an_image_whose_pixels_are_as_they_look() -> None:
    with pytest.raises(SeediffError, match="transparent places"):
        make_mask(
            attention_maps(), "cat", Image.fromarray(random_image(5, 16, 16)).convert("LA").point(lambda v: v // 2)
        )


@pytest.mark.parametrize("image", ["image.png", None])
def test_masks_want_an_image_and_not_its_name(image: Any) -> None:
    with pytest.raises(SeediffError, match=f"must be a PIL image or an array .* not {image!r}"):
        make_mask(attention_maps(), "cat", image)
    with pytest.raises(SeediffError, match=f"must be a PIL image or an array .* not {image!r}"):
        seediff.make_labels(attention_maps(), ["cat"], image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"starts": [[]]}, "starts has entries for 1 words, but there are 2"),
        ({"starts": [[], [], []]}, "starts has entries for 3 words, but there are 2"),
        ({"size": (0, 10)}, r"size is \(0, 10\), but must be the height and width"),
        ({"size": (10,)}, r"size is \(10,\), but must be the height and width"),
    ],
)
def test_label_maps_want_a_start_for_each_word_and_a_size(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SeediffError, match=words):
        seediff.make_labels(attention_maps(), ["cat", "photo"], random_image(5, 16, 16), **options)


@pytest.mark.parametrize("others", ["photo", ["photo", 3]])
def test_words_that_compete_are_a_list_of_texts(others: Any) -> None:
    with pytest.raises(SeediffError, match="others must be a list of texts"):
        make_score(attention_maps(), "cat", others=others)


@pytest.mark.parametrize("word", [None, 3, b"cat"])
def test_a_word_is_text(word: Any) -> None:
    with pytest.raises(SeediffError, match="must be text"):
        make_score(attention_maps(), word)


@pytest.mark.parametrize("maps", [None, [attention_maps()]])
def test_maps_are_those_of_one_image(maps: Any) -> None:
    with pytest.raises(SeediffError, match="maps of a single image"):
        make_mask(maps, "cat", random_image(5, 24, 24))
    with pytest.raises(SeediffError, match="maps of a single image"):
        make_score(maps, "cat")


def test_steps_may_be_written_as_in_a_study() -> None:
    own = make_score(attention_maps(), "cat", [{"cross_attention": {"resolution": "1"}}])
    assert np.array_equal(own, make_score(attention_maps(), "cat", (("cross_attention", {"resolution": "1"}),)))
    assert np.array_equal(make_score(attention_maps(), "cat", ["caa"]), make_score(attention_maps(), "cat", "caa"))
    with pytest.raises(SeediffError, match="no mask step 'caaa'"):
        make_score(attention_maps(), "cat", ["caaa"])


@pytest.mark.parametrize("variant", [5, [("expand",)], [("expand", None)]])
def test_other_variants_are_refused(variant: Any) -> None:
    with pytest.raises(SeediffError, match="not a mask step with its parameters"):
        make_score(attention_maps(), "cat", variant)


def test_a_mask_without_refinement() -> None:
    maps, image = attention_maps(), random_image(5, 24, 24)
    expected = make_mask(maps, "cat", image, refinement=Refinement(pamr=None))
    assert np.array_equal(make_mask(maps, "cat", image, refinement=None), expected)
