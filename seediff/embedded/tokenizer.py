"""A CLIP tokenizer over the closed vocabulary, in which every known word is one token.

Unknown words still tokenize, as CLIP's byte-level pieces, so nothing about the pipeline is special.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from seediff.diffusion.releases import CLIPTokenizer
from seediff.embedded.vocabulary import MAX_TOKENS, words

Merge = tuple[str, str]


def _byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes that GPT-2 style byte-pair encodings are written in."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(hidden))]


def _merges(vocabulary: Iterable[str]) -> list[Merge]:
    """Left-to-right merges that build each word whole, given the merges of the words before it."""
    ranks: dict[Merge, int] = {}
    for word in vocabulary:
        pieces = _apply([*word[:-1], word[-1] + "</w>"], ranks)
        while len(pieces) > 1:
            ranks[(pieces[0], pieces[1])] = len(ranks)
            pieces[:2] = [pieces[0] + pieces[1]]
    return list(ranks)


def _apply(pieces: list[str], ranks: dict[Merge, int]) -> list[str]:
    """Merge the lowest-ranked neighbouring pair again and again, as the tokenizer will."""
    while True:
        known = [(ranks[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in ranks]
        if not known:
            return pieces
        _, at = min(known)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def build_tokenizer() -> CLIPTokenizer:
    """The tokenizer of the embedded pipeline."""
    merges = _merges(words())
    symbols = _byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(merge) for merge in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    with TemporaryDirectory() as folder:  # the one way that releases of transformers agree on
        vocab_file, merges_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_file.write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
        merges_file.write_text("#version: 0.2\n" + "\n".join(" ".join(merge) for merge in merges) + "\n")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)
