"""Every text of a call is read rightly or refused by name: odd prompts, templates, embeddings, textual inversions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.attention.recording import record_attention
from seediff.errors import SeediffError
from tests.own_rows import GUIDED, LAST, PROMPT, Own, assert_recorded, built, drawing
from tests.tiny_pipelines import CALLS, FAMILIES, call
from tests.tiny_text import WIDTH

SMALL = {"height": 16, "width": 24}
IN_TEMPLATES = ("qwen_image", "z_image", "kandinsky5", "lumina2", "sana")
READERS = (*IN_TEMPLATES, "stable_diffusion", "flux", "hunyuan_dit", "cogview4", "prx")
"""One family for each kind of tokenizer."""
MARKS = "\u2581\u0120"
"""Of a space, in tokens."""


def read(name: str, prompt: str) -> AttentionMaps:
    """The maps of a call without guidance."""
    scale = "true_cfg_scale" if "true_cfg_scale" in CALLS[name] else "guidance_scale"
    with record_attention(built(name)) as recording:
        call(name, built(name), prompt, **{scale: 1.0, "num_inference_steps": 2 if name == "pixart_alpha" else 1})
    (maps,) = recording.maps
    return maps


def spelled(maps: AttentionMaps, word: str) -> str:
    """The word's tokens of the last tokenizer, without marks of spaces and the ends of words."""
    tokens = [maps.tokens[at] for at in maps.text.indices(word)]
    return "".join(token.strip(MARKS).removesuffix("</w>").removeprefix("##") for token in tokens)


@pytest.mark.parametrize("name", IN_TEMPLATES)
@pytest.mark.parametrize("word", ["a", "text", "user"])
def test_a_prompt_that_the_template_has_is_found_in_its_own_place(name: str, word: str) -> None:
    """It is where a word is that the template does not have."""
    maps, other = read(name, word), read(name, "qq")
    found, expected = maps.text.indices(word), other.text.indices("qq")
    assert spelled(maps, word).lower() == word.lower()
    from_the_end = name == "lumina2" or len(maps.tokens) != len(other.tokens)
    if from_the_end:
        assert len(maps.tokens) - found[-1] == len(other.tokens) - expected[-1]
    else:
        assert found[0] == expected[0]


@pytest.mark.parametrize("name", ["z_image", "qwen_image"])
def test_a_prompt_that_begins_as_the_template_ends(name: str) -> None:
    maps = read(name, "user\nuser")
    assert [maps.tokens[at] for at in maps.text.indices("user")] == ["user", "user"]
    assert maps.tokens[maps.text.indices("user")[1] + 1] == "<|im_end|>"


@pytest.mark.parametrize("name", READERS)
def test_a_prompt_of_nothing_has_no_words(name: str) -> None:
    assert {*read(name, "").text.spans} == {(0, 0)}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("words", [("\u043a\u043e\u0448\u043a\u0430", "cat"), ("caf\u00e9", "cat")])
def test_words_of_any_letters(name: str, words: tuple[str, ...]) -> None:
    maps = read(name, " \U0001f408 ".join(words) if len(words[0]) < 5 else " ".join(words))
    assert spelled(maps, "cat") in ("cat", "catcat")
    for word in words:
        start = maps.prompt.index(word)
        spans = [maps.text.spans[at] for at in maps.text.indices(word)]
        assert all(start - 1 <= begin < end <= start + len(word) for begin, end in spans)


def test_a_long_prompt_is_cut() -> None:
    for name in ("stable_diffusion", "z_image", "sana"):
        maps = read(name, "a cat " * 60 + "zebra")
        assert maps.text.indices("cat")
        with pytest.raises(SeediffError, match="'zebra' is cut off"):
            maps.text.indices("zebra")


def encoded(name: str, **options: Any) -> Any:
    with torch.no_grad():
        return FAMILIES[name]().encode_prompt(PROMPT, **options)


def of_stable_diffusion() -> dict[str, Any]:
    vectors, negative = encoded(
        "stable_diffusion", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    return {
        "prompt": None,
        "prompt_embeds": vectors,
        "negative_prompt_embeds": negative,
        "guidance_scale": 4.0,
        **SMALL,
    }


def of_xl() -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    vectors = encoded("stable_diffusion_xl", device="cpu", negative_prompt="sand")
    return {"prompt": None, **dict(zip(names, vectors, strict=True)), "guidance_scale": 4.0, **SMALL}


def of_sd3(length: int = 20) -> dict[str, Any]:
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    vectors = encoded("sd3", prompt_2=None, prompt_3=None, negative_prompt="sand", max_sequence_length=20)
    return {"prompt": None, **dict(zip(names, vectors, strict=True)), **SMALL, "max_sequence_length": length}


def of_flux() -> dict[str, Any]:
    vectors, pooled, _ = encoded("flux", prompt_2=None, max_sequence_length=20)
    embeds = {"prompt": None, "prompt_embeds": vectors, "pooled_prompt_embeds": pooled}
    return {**embeds, **SMALL, "max_sequence_length": 20}


def of_pixart() -> dict[str, Any]:
    names = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
    vectors = encoded("pixart_sigma", negative_prompt="sand", max_sequence_length=20)
    given = {**CALLS["pixart_sigma"], "prompt": None, "negative_prompt": None}
    return {**given, **dict(zip(names, vectors, strict=True))}


BESIDE: Mapping[str, tuple[Any, Own]] = {
    "stable_diffusion": (of_stable_diffusion, Own(1, LAST)),
    "stable_diffusion_xl": (of_xl, Own(1, LAST)),
    "sd3": (of_sd3, Own(1, LAST)),
    "flux": (of_flux, Own()),
    "pixart_sigma": (of_pixart, Own(1, LAST)),
}


@pytest.mark.parametrize("name", BESIDE)
def test_embeddings_with_their_text_beside_them(name: str) -> None:
    options, own = BESIDE[name]
    (maps,) = assert_recorded(name, built(name), drawing(built(name), **options()), own, prompts=[PROMPT])
    assert maps.prompt == PROMPT and spelled(maps, "cat") in ("cat", "catcat")


def test_one_text_for_two_images_of_its_embeddings() -> None:
    draw = drawing(built("stable_diffusion"), **of_stable_diffusion(), num_images_per_prompt=2)
    assert_recorded("stable_diffusion", built("stable_diffusion"), draw, Own(2, LAST), prompts=[PROMPT])


def refusal(name: str, options: Mapping[str, Any], prompts: Any = None, pipe: Any = None) -> str:
    pipe = pipe or built(name)
    with record_attention(pipe, prompts=prompts), pytest.raises(SeediffError) as raised:
        drawing(pipe, **options)()
    assert len(str(raised.value).splitlines()) <= 2
    return str(raised.value)


def test_embeddings_whose_text_is_unknown_are_refused() -> None:
    given = of_stable_diffusion()
    assert "unknown when the pipeline is given prompt_embeds only" in refusal("stable_diffusion", given)
    two = refusal("stable_diffusion", given, [PROMPT, PROMPT])
    assert "the vectors of 1 texts, but prompts names 2" in two
    assert "A prompt must be a text, not 7" in refusal("stable_diffusion", given, [7])
    twice = {name: torch.cat([given[name]] * 2, 1) for name in ("prompt_embeds", "negative_prompt_embeds")}
    longer = refusal("stable_diffusion", {**given, **twice}, [PROMPT])
    assert "attends to 48 vectors for the prompt 'a photo of a cat', which has 24 tokens" in longer
    assert "attends to 44 vectors" in refusal("sd3", of_sd3(16), [PROMPT])


def test_embeddings_of_a_pipeline_without_its_encoder_are_refused() -> None:
    pipe = FAMILIES["stable_diffusion"]()
    pipe.text_encoder = None
    message = refusal("stable_diffusion", of_stable_diffusion(), [PROMPT], pipe)
    assert "cannot encode the texts given as prompts" in message and "Leave its tokenizers" in message


def test_embeddings_that_a_pipeline_passes_on_by_itself_are_refused() -> None:
    vectors, _ = encoded("z_image", max_sequence_length=40)
    options = {"prompt": None, "prompt_embeds": vectors, "guidance_scale": 0.0, **SMALL}
    assert "called its denoiser without encode_prompt" in refusal("z_image", options, [PROMPT])


def test_only_the_negative_prompt_may_be_embeddings() -> None:
    given = of_flux()
    negative = {f"negative_{name}": given[name] for name in ("prompt_embeds", "pooled_prompt_embeds")}
    draw = drawing(built("flux"), prompt="a bus", true_cfg_scale=4.0, **negative, **SMALL, max_sequence_length=20)
    assert_recorded("flux", built("flux"), draw, Own(calls=[0]))


@pytest.mark.parametrize("into", [["tokenizer"], ["tokenizer", "tokenizer_2"]])
def test_a_textual_inversion_has_to_be_in_both_tokenizers(into: list[str]) -> None:
    pipe = FAMILIES["stable_diffusion_xl"]()
    for name in into:
        encoder = getattr(pipe, name.replace("tokenizer", "text_encoder"))
        vectors = {"<toy>": torch.randn(2, WIDTH)}
        pipe.load_textual_inversion(vectors, token="<toy>", tokenizer=getattr(pipe, name), text_encoder=encoder)
    options = {"prompt": "a <toy> cat", **SMALL, **GUIDED}
    if len(into) == 1:
        message = refusal("stable_diffusion_xl", options, pipe=pipe)
        assert "tokenizer and tokenizer_2 make different tokens of 'a <toy> cat'" in message
        return
    (maps,) = assert_recorded("stable_diffusion_xl", pipe, drawing(pipe, **options), Own(1, LAST))
    assert maps.text.indices("<toy>") == (2, 3) and maps.text.indices("cat") == (4,)


def test_a_tokenizer_that_does_not_say_enough_is_refused() -> None:
    pipe = FAMILIES["flux"]()
    pipe.tokenizer_2.model_max_length = int(1e30)  # the pipeline says how many it keeps
    assert_recorded("flux", pipe, drawing(pipe, **SMALL, max_sequence_length=20), Own())
    pipe = FAMILIES["stable_diffusion"]()
    pipe.tokenizer.model_max_length = int(1e30)
    assert "does not say how many tokens it keeps" in refusal("stable_diffusion", SMALL, pipe=pipe)
    pipe = FAMILIES["stable_diffusion"]()
    pipe.tokenizer = Slow(pipe.tokenizer)
    assert "Slow does not tell where in the prompt its tokens are" in refusal("stable_diffusion", SMALL, pipe=pipe)


class Slow:
    """A tokenizer that gives numbers alone."""

    is_fast = False

    def __init__(self, fast: Any) -> None:
        self.fast, self.model_max_length = fast, fast.model_max_length

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        encoded = self.fast(*args, **kwargs)
        encoded._encodings = None
        return encoded

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fast, name)
