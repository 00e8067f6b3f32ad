"""The recorded maps: their file, their words, their resolutions."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors import SafetensorError
from safetensors.torch import save_file

from seediff.attention.maps import AttentionMaps, ClassMaps, competing, fraction_of, normalize
from seediff.attention.tokens import TokenizedPrompt
from seediff.errors import SeediffError

PIECES = ("<|startoftext|>", "a</w>", "traf", "fic</w>", "light</w>", "and</w>", "a</w>", "cat</w>", "<|endoftext|>")
SPANS = ((0, 0), (0, 1), (2, 6), (6, 9), (10, 15), (16, 19), (20, 21), (22, 25), (0, 0))
PROMPT = TokenizedPrompt("a traffic light and a cat", PIECES, SPANS, names=((22, 25),), cut=(25, 25))


def make_maps(rng_seed: int = 0, sides: tuple[int, ...] = (8, 4, 2)) -> AttentionMaps:
    generator = torch.Generator().manual_seed(rng_seed)
    cross = {(r, 2 * r): torch.rand(2 * r * r, len(PIECES), generator=generator) for r in sides}
    own = {(r, 2 * r): torch.randn(2 * r * r, 2 * r * r, generator=generator).softmax(1) for r in sides}
    return AttentionMaps(PROMPT, cross, own, latent_size=(8, 16))


def test_a_class_map_is_the_normalised_mean_over_the_words_tokens() -> None:
    maps = make_maps()
    seen = maps.for_word("traffic light")
    for r, tensor in maps.cross_attention.items():
        h, w = r
        mean = [[float(sum(tensor[y * w + x, k] for k in (2, 3, 4))) / 3 for x in range(w)] for y in range(h)]
        low, high = min(map(min, mean)), max(map(max, mean))
        expected = torch.tensor([[(value - low) / (high - low) for value in row] for row in mean])
        torch.testing.assert_close(seen.cross_attention[r], torch.tensor(mean))
        torch.testing.assert_close(seen.class_map(r), expected)
        assert seen.self_attention[r] is maps.self_attention[r]
    assert seen.latent_size == (8, 16)


@given(st.integers(0, 99), st.floats(0.1, 0.9))
def test_rows_of_joint_attention_say_how_a_position_divides_what_it_has_for_the_image(seed: int, least: float) -> None:
    maps = make_maps(seed)
    shares = {
        size: torch.linspace(least, 1, len(rows))[:, None].roll(seed, 0) for size, rows in maps.self_attention.items()
    }
    joint = replace(maps, self_attention={at: rows * shares[at] for at, rows in maps.self_attention.items()})
    for size, rows in joint.for_word("cat").self_attention.items():
        torch.testing.assert_close(rows, maps.self_attention[size])


def test_words_that_compete_know_the_cross_attention_of_the_others() -> None:
    maps = make_maps()
    light, cat, both = maps.for_word("traffic light"), maps.for_word("cat"), maps.for_word("a")
    for word, others in zip(competing([light, cat, both]), [(cat, both), (light, both), (light, cat)], strict=True):
        assert len(word.rivals) == 2
        assert all(rival is other.cross_attention for rival, other in zip(word.rivals, others, strict=True))
    assert competing([cat])[0].rivals == cat.rivals == ()


def test_sizes_are_fractions_of_the_latents() -> None:
    seen = make_maps().for_word("cat")
    assert (seen.size("1"), seen.size("1/2"), seen.size(Fraction(1, 4))) == ((8, 16), (4, 8), (2, 4))


@given(st.integers(1, 200), st.integers(1, 200))
def test_sides_are_rounded_as_convolutions_of_stride_two_round_them(height: int, width: int) -> None:
    sizes, halve = [(height, width)], torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)
    while max(sizes[-1]) > 1:
        sizes.append(tuple(halve(torch.zeros(1, 1, *sizes[-1])).shape[-2:]))
    for level, size in enumerate(sizes):
        assert fraction_of(size, (height, width)) == Fraction(1, 2**level)
    maps = {size: torch.zeros(0) for size in sizes}
    seen = ClassMaps(maps, maps, (height, width))
    assert [seen.size(f"1/{2**level}") for level in range(len(sizes))] == sizes


@pytest.mark.parametrize("fraction", ["1/8", "1/3", "2", "3/4", "15/16"])
def test_a_side_not_recorded_is_an_error_that_names_those_recorded(fraction: str) -> None:
    with pytest.raises(SeediffError, match=r"Recorded: 1/4 \(2 x 4\), 1/2 \(4 x 8\), 1 \(8 x 16\)"):
        make_maps().for_word("cat").size(fraction)


def test_a_side_of_one_kind_of_attention_alone_is_not_recorded() -> None:
    seen = make_maps().for_word("cat")
    cross, own = (
        {size: maps for size, maps in kind.items() if size != (8, 16)}
        for kind in (seen.cross_attention, seen.self_attention)
    )
    with pytest.raises(SeediffError, match=r"Recorded: 1/4 \(2 x 4\), 1/2 \(4 x 8\)\."):
        replace(seen, cross_attention=cross).size("1")
    with pytest.raises(SeediffError, match="No self-attention was recorded at 8 x 16"):
        replace(seen, self_attention=own).looks((8, 16))


@pytest.mark.parametrize("fraction", ["half", "1/0", ""])
def test_a_side_that_is_no_fraction_is_an_error(fraction: str) -> None:
    with pytest.raises(SeediffError, match="is not a fraction"):
        make_maps().for_word("cat").size(fraction)


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
    assert (read.text, read.latent_size) == (maps.text, maps.latent_size)
    assert (read.prompt, read.tokens) == ("a traffic light and a cat", PIECES)
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
        with pytest.raises(SeediffError, match=r"maps\.safetensors is not a readable file of attention maps"):
            AttentionMaps.load(path)
    with pytest.raises(SeediffError, match="absent"):
        AttentionMaps.load(tmp_path / "absent")


def test_words_of_several_places_count_at_each_or_at_those_that_are_told() -> None:
    maps = make_maps()
    every, second = maps.for_word("a"), maps.for_word("a", [20])
    for r, tensor in maps.cross_attention.items():
        torch.testing.assert_close(every.cross_attention[r].flatten(), (tensor[:, 1] + tensor[:, 6]) / 2)
        assert torch.equal(second.cross_attention[r].flatten(), tensor[:, 6])


@pytest.mark.parametrize("starts", [20, "20", [20.0], None, ["a"]])
def test_places_that_are_no_list_of_numbers_are_an_error(starts: Any) -> None:
    with pytest.raises(SeediffError, match=r"starts is .*a list of positions in the prompt"):
        make_maps().for_word("a", starts)


def metadata(**changes: Any) -> dict[str, str]:
    """What is written beside the tensors for a prompt of one token."""
    text = {"text": "a", "tokens": ["a"], "spans": [[0, 1]], "names": [], "cut": [0, 0]} | changes
    return {"attention_maps": json.dumps({"prompt": text, "latent_size": [2, 2]})}


def test_maps_that_do_not_say_what_their_tokens_stand_for_are_refused(tmp_path: Path) -> None:
    words = {"prompt": "a", "tokens": ["a"], "latent_size": [2, 2]}
    tensors = {"cross_attention.2x2": torch.zeros(4, 1), "self_attention.2x2": torch.zeros(4, 4)}
    save_file(tensors, tmp_path / "now", metadata=metadata())
    assert AttentionMaps.load(tmp_path / "now").tokens == ("a",)
    save_file(tensors, tmp_path / "before", metadata={"attention_maps": json.dumps(words)})
    with pytest.raises(SeediffError, match=r"an earlier version of seediff wrote it(.|\n)*Record the image again"):
        AttentionMaps.load(tmp_path / "before")


def test_maps_of_square_images_alone_are_refused(tmp_path: Path) -> None:
    written = {key: json.dumps({**json.loads(words), "latent_side": 2}) for key, words in metadata().items()}
    save_file({"cross_attention.2": torch.zeros(4, 1)}, tmp_path / "before", metadata=written)
    with pytest.raises(SeediffError, match=r"an earlier version of seediff wrote it, for square images(.|\n)*again"):
        AttentionMaps.load(tmp_path / "before")


@pytest.mark.parametrize(
    ("name", "tensor", "metadata"),
    [
        ("cross_attention.2x0", torch.zeros(0, 1), metadata()),
        ("cross_attention.2", torch.zeros(4, 1), metadata()),
        ("cross_attention.2x2x1", torch.zeros(4, 1), metadata()),
        ("cross_attention.2x2", torch.zeros(4, 1), None),
        ("cross_attention.2x2", torch.zeros(4, 1), {"attention_maps": "{"}),
        ("cross_attention.2x2", torch.zeros(4, 1), {"attention_maps": "[]"}),
        ("cross_attention.2x2", torch.zeros(4, 1), {"attention_maps": '{"prompt": "a"}'}),
        ("cross_attention.2x2", torch.zeros(4, 1), {"attention_maps": '{"prompt": ["a"], "latent_size": [2, 2]}'}),
        ("cross_attention.2x2", torch.zeros(4, 2), metadata()),
        ("self_attention.2x2", torch.zeros(4, 3), metadata()),
        ("self_attention.2x2", torch.zeros(4, 4).half(), metadata()),
        ("weights.2x2", torch.zeros(4, 4), metadata()),
        ("cross_attention.2x2", torch.zeros(4, 1), metadata(spans=[])),
        ("cross_attention.2x2", torch.zeros(4, 1), metadata(spans=[[0, 2]])),
        ("cross_attention.2x2", torch.zeros(4, 1), metadata(spans=[[-1, 0]])),
        ("cross_attention.2x2", torch.zeros(4, 1), metadata(spans=[["a", "b"]])),
        ("cross_attention.2x2", torch.zeros(4, 1), metadata(names=[[0, 10**18]])),
        ("cross_attention.2x2", torch.zeros(4, 1), metadata(cut=[1, 0])),
    ],
)
def test_a_file_of_something_else_is_an_error(
    tmp_path: Path, name: str, tensor: torch.Tensor, metadata: dict[str, str] | None
) -> None:
    save_file({name: tensor}, tmp_path / "other", metadata=metadata)
    with pytest.raises(SeediffError, match="other is not a readable file"):
        AttentionMaps.load(tmp_path / "other")


def test_maps_need_no_diffusion_library() -> None:
    code = "import sys, seediff.attention.maps; sys.exit(any(m in sys.modules for m in ('diffusers', 'transformers')))"
    assert run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
