"""Which tokens stand for a word: listed positions, and every word tokenized by itself as the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any
from unicodedata import normalize

import pytest
from diffusers.loaders import TextualInversionLoaderMixin
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from seediff.attention.tokens import TokenizedPrompt, tokenize
from seediff.diffusion.releases import CLIPTokenizer
from seediff.embedded.pipeline import build_tokenizer
from seediff.errors import SeediffError

KOT = "\u043a\u043e\u0442"  # Russian
QITTA = "\u0642\u0650\u0637\u0651\u0629"  # Arabic, with vowel marks
MAO = "\u732b"  # Chinese
VECTORS = {"<cat-toy>": 2, "sks": 2, "*": 1, "<dog>": 1}
"""Words of textual inversions, each with its number of vectors."""


class Reader(TextualInversionLoaderMixin):
    """The part of a pipeline that reads prompts."""

    def __init__(self, tokenizer: Any, vectors: Mapping[str, int]) -> None:
        self.tokenizer = deepcopy(tokenizer)
        names = [(word, number) for word, many in vectors.items() for number in range(many)]
        self.tokenizer.add_tokens([f"{word}_{number}" if number else word for word, number in names])


def build_t5() -> PreTrainedTokenizerFast:
    """Unigram, as in T5: a few words, letters, and pieces that cross from one kind of character to another."""
    marks = ["<pad>", "</s>", "<unk>"]
    words = ["\u2581", "\u2581a", "\u2581cat", "\u2581photo", "\u2581of", "\u2581on", "train", "tr", "'s", "t-s", ",."]
    letters = [letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789,.'-<>*_" if letter != "x"]
    scores = [
        *[(mark, 0.0) for mark in marks],
        *[(word, -2.0) for word in words],
        *[(letter, -6.0) for letter in letters],
    ]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    marked = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **marked)


def build_clip() -> CLIPTokenizer:
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 64
    return tokenizer


CLIP, T5 = build_clip(), build_t5()


def read(prompt: str, tokenizer: Any = CLIP, vectors: Mapping[str, int] = VECTORS) -> TokenizedPrompt:
    (tokenized,) = tokenize(Reader(tokenizer, vectors), [prompt])
    return tokenized


@pytest.mark.parametrize(
    ("prompt", "word", "positions"),
    [
        ("a photo of a cat", "cat", (5,)),
        ("a photo of a CAT, on sand", "Cat", (5,)),
        ("a photo of cat's sheep", "cat", (4,)),
        ("a cattle and a cat", "cat", (9,)),  # cattle: ca t t l e
        ("a zebra cat", "zebra cat", (2, 3, 4, 5, 6, 7)),
        ("a dark t-shirt", "T-shirt", (6, 8, 9, 10, 11)),  # not the dash
        ("a train seat on a train", "train", (2, 6)),
        ("a train seat on a train", "train seat", (2, 3)),
        ("a <cat-toy> bus", "bus", (4,)),
        ("a <cat-toy> bus", "<cat-toy>", (2, 3)),
        ("a <cat-toy> bus", "<CAT-toy> bus", (2, 3, 4)),
        ("a <cat-toy> and a cat", "cat", (6,)),
        ("<cat-toy>s and a <cat-toy>, on sand", "<cat-toy>", (1, 2, 6, 7)),
        ("<cat-toy>s and a <cat-toy>, on sand", "on sand", (9, 10)),
        ("a photo of a sks cat", "cat", (7,)),
        ("a photo of a sks cat", "SKS", (5, 6)),
        ("tasks and sks", "sks", (6, 7)),  # tasks: t a sks sks_1
        ("tasks and sks", "tasks", (1, 2, 3, 4)),
        ("a * in the sky", "*", (2,)),
        ("a <dog> on a dog", "dog", (5, 6, 7)),
        ("a <dog> on a dog", "<dog>", (2,)),
        ("1 m\u00b2 of sand", "m\u00b2", (2, 3, 4)),
        ("a 5 and 52", "52", (4, 5)),
        ("a 5 and 52", "5", (2,)),
        ("a b52 car", "b52", (2, 3, 4)),
        (f"a {KOT} on {KOT}\u044b", KOT, (2, 3, 4, 5, 6, 7)),
        (f"a {QITTA} on sand", QITTA, tuple(range(2, 12))),
        (f"\u4e00\u53ea{MAO}\u5728", MAO, (7, 8, 9)),
        ("a caf\u00e9 cat", "cafe\u0301", (2, 3, 4, 5)),
        ("a cafe\u0301 cat", "caf\u00e9", (2, 3, 4, 5)),
        ("a\t photo \u00a0 of\u3000cat", "cat", (4,)),
        ("\u0130 cat \u1e9e cat", "cat", (4, 7)),
    ],
)
def test_listed_positions_of_clip(prompt: str, word: str, positions: tuple[int, ...]) -> None:
    assert read(prompt).indices(word) == positions


@pytest.mark.parametrize(
    ("prompt", "word", "positions"),
    [
        ("a photo of a cat", "cat", (4,)),
        ("a photo of a cat on sand", "sand", (6, 7, 8, 9, 10)),  # with the space's piece
        ("a Cat and a cat", "cat", (1, 2, 3, 4, 9)),
        ("a cat's train", "cat", (1,)),
        ("a <cat-toy> cat", "cat", (3,)),
        ("a <cat-toy> cat", "<cat-toy>", (1, 2)),
        ("a t-shirt on a cat", "t-shirt", (1, 2, 3, 4, 5, 6)),  # one piece of it is 't-s'
        ("a xxx on a cat", "xxx", (1, 2)),  # unknown
        (f"a {QITTA} on a cat", QITTA, (1, 2)),
    ],
)
def test_listed_positions_of_t5(prompt: str, word: str, positions: tuple[int, ...]) -> None:
    assert read(prompt, T5).indices(word) == positions


def test_a_word_is_found_at_the_places_that_are_told() -> None:
    prompt = read("a train seat on a train")
    assert prompt.indices("train", [18]) == (6,) and prompt.indices("train", [2]) == (2,)
    assert prompt.indices("train", [18, 2]) == (2, 6)
    assert read("two cats").indices("cat", [4]) == read("two cats").indices("cats")[:-1]  # ca t s
    assert read("a <cat-toy> bus").indices("cat-toy", [3]) == (2, 3)


WORDS = st.sampled_from(
    ["a", "cat", "photo", "zebra", "m\u00b2", "52", "7", "caf\u00e9", "cafe\u0301", KOT, QITTA, MAO]
)
NAMES = st.sampled_from(["<cat-toy>", "<b>", "sks", "qqk", "*", "<1>", f"<{MAO}>"])


@st.composite
def prompts(draw: st.DrawFn) -> tuple[dict[str, int], list[str], list[str]]:
    """Vectors of added words, words of a prompt, some of them more than once, and what is between them."""
    vectors = draw(st.dictionaries(NAMES, st.integers(1, 4), max_size=3))
    plain = WORDS | st.text("acdstqk", min_size=1, max_size=5)
    word = plain | plain.map(str.title) | (st.sampled_from(sorted(vectors)) if vectors else st.nothing())
    words = draw(st.lists(word, min_size=1, max_size=6))
    words += draw(st.lists(st.sampled_from(words), max_size=3))
    spaces = st.sampled_from([" ", "  ", " , ", " ?! ", "\t", " - ", " \u00a0"])
    return vectors, words, draw(st.lists(spaces, min_size=len(words), max_size=len(words)))


def in_place(reader: Reader, parts: Sequence[str]) -> list[tuple[str, range]]:
    """The parts of a prompt with their tokens' positions, each part tokenized by itself."""
    tokenizer, placed, at = reader.tokenizer, [], int(isinstance(reader.tokenizer, CLIPTokenizer))
    for part in parts:
        number = len(tokenizer(reader.maybe_convert_prompt(part, tokenizer), add_special_tokens=False).input_ids)
        placed.append((part, range(at, at + number)))
        at += number
    return placed


def folded(text: str) -> str:
    return normalize("NFC", text.lower())


@settings(max_examples=200, deadline=None)
@given(prompts(), st.sampled_from([CLIP, T5]))
def test_a_words_tokens_are_those_that_it_has_by_itself(
    prompt: tuple[dict[str, int], list[str], list[str]], tokenizer: Any
) -> None:
    vectors, words, spaces = prompt
    reader = Reader(tokenizer, vectors)
    parts = [part for pair in zip(words, spaces, strict=True) for part in pair]
    placed = in_place(reader, parts)
    reader.tokenizer.model_max_length = placed[-1][1].stop + 1  # the end
    (tokenized,) = tokenize(reader, ["".join(parts)])
    at = 0
    for part, positions in placed:
        if part in words:
            assert tokenized.indices(part, [at]) == tuple(positions)
            same = [found for other, found in placed if other in words and folded(other) == folded(part)]
            assert tokenized.indices(part) == tuple(sorted(index for found in same for index in found))
        at += len(part)


@pytest.mark.parametrize("prompt", ["a zebra zebra zebra zebra zebra zebra", "a photo " * 11 + "of zebra"])
@pytest.mark.parametrize("word", ["zebra on grass", "grass", "m\u00b2", "<cat-toy>"])
def test_a_word_beyond_the_token_limit_is_an_error_that_says_so(prompt: str, word: str) -> None:
    reader = Reader(CLIP, VECTORS)
    reader.tokenizer.model_max_length = 24
    (tokenized,) = tokenize(reader, [prompt + " on grass, 3 m\u00b2 with <cat-toy>"])
    with pytest.raises(SeediffError, match=r"cut off(.|\n)*keeps 24 tokens\. Shorten"):
        tokenized.indices(word)
    with pytest.raises(SeediffError, match="'cat' is not in the prompt"):  # '<cat-toy>' is, beyond the limit
        tokenized.indices("cat")


def test_only_what_the_tokenizer_keeps_of_a_word_counts() -> None:
    reader = Reader(CLIP, VECTORS)
    reader.tokenizer.model_max_length = 8
    twice, halved, vector = tokenize(
        reader, ["a cat on sand, a cat", "a cat on an \u732b", "a cat on sand in <cat-toy>"]
    )
    assert twice.indices("cat") == (2,)
    with pytest.raises(SeediffError, match="'cat' is cut off"):
        twice.indices("cat", [17])
    for cut, word in ((halved, "\u732b"), (vector, "<cat-toy>")):
        assert cut.spans[6] == (12, 13) or cut.tokens[6] == "<cat-toy>"  # the first of its tokens is there
        with pytest.raises(SeediffError, match="is cut off"):
            cut.indices(word)


def test_a_tokenizer_may_keep_the_end() -> None:
    reader = Reader(CLIP, VECTORS)
    reader.tokenizer.model_max_length, reader.tokenizer.truncation_side = 6, "left"
    (tokenized,) = tokenize(reader, ["a cat on sand and a bus"])
    assert tokenized.indices("bus") == (4,)
    with pytest.raises(SeediffError, match="'cat' is cut off"):
        tokenized.indices("cat")


@pytest.mark.parametrize("word", ["startoftext", "endoftext", "<|endoftext|>", "pad", "</s>", "w"])
def test_what_frames_a_prompt_is_no_word_of_it(word: str) -> None:
    for tokenizer in (CLIP, T5):
        with pytest.raises(SeediffError, match="is not in the prompt"):
            read("a cat", tokenizer).indices(word)


def test_a_word_that_the_tokenizer_drops_is_an_error() -> None:
    with pytest.raises(SeediffError, match="The tokenizer drops"):
        read("a cafe\u0301").indices("\u0301", [6])  # written as one letter, before it


@pytest.mark.parametrize(
    ("prompt", "words"), [(["a cat"], "must be a text"), (None, "must be a text"), ("a cat\udce4", "half a character")]
)
def test_a_prompt_that_is_no_text_is_an_error_that_says_so(prompt: Any, words: str) -> None:
    with pytest.raises(SeediffError, match=words):
        read(prompt)


def test_a_tokenizer_without_a_limit_is_an_error_that_says_so() -> None:
    reader = Reader(CLIP, {})
    reader.tokenizer.model_max_length = int(1e30)
    with pytest.raises(SeediffError, match=r"model_max_length is 10+\d+\)(.|\n)*Set pipe\.tokenizer\.model_max_length"):
        tokenize(reader, ["a cat"])


def test_a_tokenizer_without_places_is_an_error_that_says_so() -> None:
    with pytest.raises(SeediffError, match="ByT5Tokenizer does not tell where"):
        tokenize(Reader(ByT5Tokenizer(), {}), ["a cat"])


def test_a_prompt_that_the_pipeline_rewrites_is_an_error_that_says_so() -> None:
    class Other(Reader):
        def maybe_convert_prompt(self, prompt: Any, tokenizer: Any) -> Any:
            return super().maybe_convert_prompt(prompt, tokenizer) + ", masterpiece"

    with pytest.raises(SeediffError, match="Other makes 'a cat, masterpiece' of the prompt 'a cat'"):
        tokenize(Other(CLIP, VECTORS), ["a cat"])
