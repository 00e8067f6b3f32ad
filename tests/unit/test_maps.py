"""The recorded maps: their file, their words, their resolutions."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from subprocess import run

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from seediff.attention.maps import AttentionMaps, normalize, token_indices
from seediff.errors import SeediffError
from seediff.pictograms.tokenizer import build_tokenizer

PIECES = ("<|startoftext|>", "a</w>", "traf", "fic</w>", "light</w>", "and</w>", "a</w>", "cat</w>", "<|endoftext|>")
PROMPT = "a traffic light and a cat"


def make_maps(rng_seed: int = 0, sides: tuple[int, ...] = (8, 4, 2)) -> AttentionMaps:
    generator = torch.Generator().manual_seed(rng_seed)
    cross = {r: torch.rand(r * r, len(PIECES), generator=generator) for r in sides}
    own = {r: torch.rand(r * r, r * r, generator=generator) for r in sides}
    return AttentionMaps(PROMPT, PIECES, cross, own, latent_side=8)


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return build_tokenizer()


def pieces_of(tokenizer: CLIPTokenizer, prompt: str) -> list[str]:
    ids = tokenizer(prompt, padding="max_length", max_length=24, truncation=True).input_ids
    return tokenizer.convert_ids_to_tokens(ids)


def spelled(pieces: list[str], indices: tuple[int, ...]) -> str:
    return "".join(pieces[at] for at in indices).replace("</w>", " ").strip()


@pytest.mark.parametrize(
    ("prompt", "word", "found"),
    [
        ("a photo of a cat", "cat", "cat"),
        ("a photo of a CAT, on sand", "Cat", "cat"),
        ("a photo of cat's sheep", "cat", "cat"),
        ("a photo of a potted plant and a plant", "plant", "plant"),
        ("a zebra on grass", "zebra", "zebra"),
        ("a zebra cat", "zebra cat", "zebra cat"),
        ("a coach bus", "a  coach ", "a coach"),
        ("a dark t-shirt", "T-shirt", "t shirt"),
        ("a b52 car", "b52", "b 5 2"),
        ("a cattle and a cat", "cat", "cat"),
    ],
)
def test_a_word_is_found_whole_by_all_of_its_pieces(
    tokenizer: CLIPTokenizer, prompt: str, word: str, found: str
) -> None:
    pieces = pieces_of(tokenizer, prompt)
    indices = token_indices(prompt, pieces, word)
    assert spelled(pieces, indices) == found
    assert list(indices) == sorted(set(indices))


def test_the_first_of_several_occurrences_counts() -> None:
    assert token_indices(PROMPT, PIECES, "a") == (1,)
    assert token_indices(PROMPT, PIECES, "a cat") == (6, 7)
    assert token_indices(PROMPT, PIECES, "traffic light") == (2, 3, 4)


@pytest.mark.parametrize("word", ["caf\u00e9", "cafe\u0301", "voil\u00e0"])
def test_letters_beyond_ascii_are_read_through_the_bytes_of_the_pieces(tokenizer: CLIPTokenizer, word: str) -> None:
    prompt = f"a {word} cat"  # in the second word the accent is a character of its own; the tokenizer composes them
    pieces = pieces_of(tokenizer, prompt)
    assert token_indices(prompt, pieces, word) == tuple(range(2, pieces.index("cat</w>")))


def test_a_word_added_to_the_vocabulary_is_found() -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<cat-toy>"])
    pieces = pieces_of(tokenizer, "a <cat-toy>, on sand")
    assert token_indices("a <cat-toy>, on sand", pieces, "<cat-toy>") == (2,)
    assert spelled(pieces, token_indices("a <cat-toy>, on sand", pieces, "on sand")) == "on sand"


@pytest.mark.parametrize("word", ["dog", "at", "ca", "cat cat", "", "?!", "startoftext", "endoftext"])
def test_a_word_that_the_prompt_lacks_is_an_error(word: str) -> None:
    with pytest.raises(SeediffError, match=r"is not in the prompt .a traffic light and a cat"):
        token_indices(PROMPT, PIECES, word)


@pytest.mark.parametrize("prompt", ["a zebra zebra zebra zebra zebra zebra", "a photo " * 11 + "of zebra"])
@pytest.mark.parametrize("word", ["zebra on grass", "grass"])
def test_a_word_beyond_the_token_limit_is_an_error_that_says_so(
    tokenizer: CLIPTokenizer, prompt: str, word: str
) -> None:
    whole = prompt + " on grass"
    with pytest.raises(SeediffError, match=r"cut off(.|\n)*keeps 24 tokens\. Shorten"):
        token_indices(whole, pieces_of(tokenizer, whole), word)


def test_a_word_cut_in_the_middle_matches_nothing() -> None:
    cut = ("<|startoftext|>", "a</w>", "cat", "<|endoftext|>")
    for word in ("cattle", "cat"):
        with pytest.raises(SeediffError):
            token_indices("a cattle", cut, word)


def test_a_class_map_is_the_normalised_mean_over_the_words_tokens() -> None:
    maps = make_maps()
    seen = maps.for_word("traffic light")
    for r, tensor in maps.cross_attention.items():
        mean = [[float(sum(tensor[y * r + x, k] for k in (2, 3, 4))) / 3 for x in range(r)] for y in range(r)]
        low, high = min(map(min, mean)), max(map(max, mean))
        expected = torch.tensor([[(value - low) / (high - low) for value in row] for row in mean])
        torch.testing.assert_close(seen.cross_attention[r], torch.tensor(mean))
        torch.testing.assert_close(seen.class_map(r), expected)
        assert seen.self_attention[r] is maps.self_attention[r]
    assert seen.latent_side == 8


def test_what_pads_a_prompt_is_no_word_of_it() -> None:
    with pytest.raises(SeediffError, match="'pad' is not in the prompt"):
        token_indices("a cat", ("<|startoftext|>", "a</w>", "cat</w>", "<|endoftext|>", "pad</w>"), "pad")


def test_sides_are_fractions_of_the_latent_side() -> None:
    seen = make_maps().for_word("cat")
    assert (seen.side("1"), seen.side("1/2"), seen.side(Fraction(1, 4))) == (8, 4, 2)


@pytest.mark.parametrize("fraction", ["1/8", "1/3", "2", "3/4"])
def test_a_side_not_recorded_is_an_error_that_names_those_recorded(fraction: str) -> None:
    with pytest.raises(SeediffError, match=r"Recorded: 1/4 \(side 2\), 1/2 \(side 4\), 1 \(side 8\)"):
        make_maps().for_word("cat").side(fraction)


def test_a_side_of_one_kind_of_attention_alone_is_not_recorded() -> None:
    seen = make_maps().for_word("cat")
    for kind in ("cross_attention", "self_attention"):
        less = {r: maps for r, maps in getattr(seen, kind).items() if r != 8}
        with pytest.raises(SeediffError, match=r"Recorded: 1/4 \(side 2\), 1/2 \(side 4\)\."):
            replace(seen, **{kind: less}).side("1")


@pytest.mark.parametrize("fraction", ["half", "1/0", ""])
def test_a_side_that_is_no_fraction_is_an_error(fraction: str) -> None:
    with pytest.raises(SeediffError, match="is no fraction"):
        make_maps().for_word("cat").side(fraction)


finite = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)


@given(arrays("float32", array_shapes(max_dims=3, max_side=4), elements=finite))
@settings(max_examples=50, deadline=None)
def test_normalize_spans_zero_to_one_and_keeps_the_order(values) -> None:
    tensor = torch.from_numpy(values)
    scaled = normalize(tensor)
    assert scaled.shape == tensor.shape and scaled.dtype == tensor.dtype
    if tensor.min() == tensor.max():
        assert not scaled.any()
    else:
        assert scaled.min() == 0 and scaled.max() == 1
        assert (scaled.flatten()[tensor.flatten().argsort()].diff() >= 0).all()


def test_normalize_does_not_hide_nan() -> None:
    assert normalize(torch.tensor([0.0, float("nan"), 1.0])).isnan().any()


def test_maps_survive_their_file(tmp_path: Path) -> None:
    maps = make_maps()
    maps.save(tmp_path / "maps.safetensors")
    read = AttentionMaps.load(tmp_path / "maps.safetensors")
    assert (read.prompt, read.tokens, read.latent_side) == (maps.prompt, maps.tokens, maps.latent_side)
    for kind in ("cross_attention", "self_attention"):
        assert getattr(read, kind).keys() == getattr(maps, kind).keys()
        assert all(torch.equal(getattr(read, kind)[r], getattr(maps, kind)[r]) for r in getattr(maps, kind))
    assert [path.name for path in tmp_path.iterdir()] == ["maps.safetensors"]


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "maps.safetensors"
    make_maps(1).save(path)
    before = path.read_bytes()
    (tmp_path / "maps.safetensors.partial").mkdir()  # so that nothing can be written there
    with pytest.raises((OSError, SafetensorError)):
        make_maps(2).save(path)
    assert path.read_bytes() == before


def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "maps.safetensors"
    make_maps().save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:-5], b"\x00" * 8 + whole[8:], b"not a file of tensors"):
        path.write_bytes(content)
        with pytest.raises(SeediffError, match=r"maps\.safetensors is no readable file of attention maps"):
            AttentionMaps.load(path)
    with pytest.raises(SeediffError, match="absent"):
        AttentionMaps.load(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "tensor", "metadata"),
    [
        ("cross_attention.2", torch.zeros(4, 1), None),
        ("cross_attention.2", torch.zeros(4, 1), {"attention_maps": "{"}),
        ("cross_attention.2", torch.zeros(4, 1), {"attention_maps": "[]"}),
        ("cross_attention.2", torch.zeros(4, 1), {"attention_maps": '{"prompt": "a"}'}),
        ("cross_attention.2", torch.zeros(4, 2), {"attention_maps": '{"prompt":"a","tokens":["a"],"latent_side":2}'}),
        ("self_attention.2", torch.zeros(4, 3), {"attention_maps": '{"prompt":"a","tokens":["a"],"latent_side":2}'}),
        (
            "self_attention.2",
            torch.zeros(4, 4).half(),
            {"attention_maps": '{"prompt":"a","tokens":[],"latent_side":2}'},
        ),
        ("weights.2", torch.zeros(4, 4), {"attention_maps": '{"prompt":"a","tokens":["a"],"latent_side":2}'}),
    ],
)
def test_a_file_of_something_else_is_an_error(
    tmp_path: Path, name: str, tensor: torch.Tensor, metadata: dict[str, str] | None
) -> None:
    save_file({name: tensor}, tmp_path / "other", metadata=metadata)
    with pytest.raises(SeediffError, match="other is no readable file"):
        AttentionMaps.load(tmp_path / "other")


def test_maps_need_no_diffusion_library() -> None:
    code = "import sys, seediff.attention.maps; sys.exit(any(m in sys.modules for m in ('diffusers', 'transformers')))"
    assert run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
