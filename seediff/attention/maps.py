"""What an image's attention says: the recorded maps, their file, and the view of them for one class word.

Sides r are those of the square attention maps, in latent pixels (64, 32, 16, 8 for a 512-pixel image of
Stable Diffusion). Mask steps name them as fractions of the latents' side, so that smaller models fit too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, float32, zeros_like

from seediff.errors import SeediffError
from seediff.files import partial
from seediff.words import find_words, has_word, split_words

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """The attention of one image as it concerns one class word: what mask steps see.

    ``cross_attention``: r -> (r, r) float32 in [0, 1], the mean over the word's tokens.
    ``self_attention``: r -> (r*r, r*r) float32 in [0, 1]; row i says where position i (row-major) looks.
    ``latent_side``: side of the latents; the resolution that mask steps call "1".
    """

    cross_attention: Mapping[int, Tensor]
    self_attention: Mapping[int, Tensor]
    latent_side: int

    def class_map(self, side: int) -> Tensor:
        """The cross-attention at one side, (side, side) float32, min-max normalised to [0, 1]."""
        return normalize(self.cross_attention[side])

    def side(self, fraction: Fraction | str) -> int:
        """The recorded side that is ``fraction`` of the latents' ('1/4' of 64: 16)."""
        try:
            side = Fraction(fraction) * self.latent_side
        except (ValueError, ZeroDivisionError) as error:
            raise SeediffError(f"Resolution {fraction!r} is no fraction. Write it as '1/4', '1/2' or '1'.") from error
        recorded = sorted(self.cross_attention.keys() & self.self_attention.keys())
        if side not in recorded:
            known = ", ".join(f"{Fraction(r, self.latent_side)} (side {r})" for r in recorded)
            raise SeediffError(
                f"No attention was recorded at {fraction} of the latents' side ({self.latent_side}).\n"
                f"Recorded: {known or 'nothing'}. Choose one of these resolutions."
            )
        return int(side)


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Averaged attention of one image (Eq. 5): over heads, layers of one resolution, and timesteps.

    ``tokens``: the tokenizer's pieces in order, start, end and padding included ('cat</w>', ...).
    ``cross_attention``: r -> (r*r, len(tokens)) float32 in [0, 1].
    ``self_attention``: r -> (r*r, r*r) float32 in [0, 1].
    ``latent_side``: side of the latents.
    """

    prompt: str
    tokens: tuple[str, ...]
    cross_attention: Mapping[int, Tensor]
    self_attention: Mapping[int, Tensor]
    latent_side: int

    def for_word(self, word: str) -> ClassMaps:
        """The maps of one class word; ``SeediffError`` if the prompt does not have it."""
        if not isinstance(word, str):
            raise SeediffError(f"The class word must be text, not {word!r}.")
        indices = list(token_indices(self.prompt, self.tokens, word))
        cross = {r: maps[:, indices].mean(1).view(r, r) for r, maps in self.cross_attention.items()}
        return ClassMaps(cross, self.self_attention, self.latent_side)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, which appears under its name only when whole."""
        tensors = {f"cross_attention.{r}": maps for r, maps in self.cross_attention.items()}
        tensors |= {f"self_attention.{r}": maps for r, maps in self.self_attention.items()}
        words = {"prompt": self.prompt, "tokens": self.tokens, "latent_side": self.latent_side}
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with partial(Path(path)) as unfinished:
            unfinished.write_bytes(save(contiguous, {"attention_maps": json.dumps(words)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AttentionMaps:
        """Read what ``save`` wrote; ``SeediffError`` if the file is missing, broken, or something else."""
        try:
            maps = cls._read(path)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise SeediffError(
                f"{os.fspath(path)} is no readable file of attention maps ({type(error).__name__}: {error}).\n"
                "Record the image again and save its maps with AttentionMaps.save."
            ) from error
        return maps

    @classmethod
    def _read(cls, path: str | os.PathLike[str]) -> AttentionMaps:
        maps: dict[str, dict[int, Tensor]] = {"cross_attention": {}, "self_attention": {}}
        with safe_open(path, "pt") as file:
            words: dict[str, Any] = json.loads((file.metadata() or {})["attention_maps"])
            for name in file.keys():  # noqa: SIM118 - not a dict: it cannot be iterated over
                kind, side = name.split(".")
                maps[kind][int(side)] = file.get_tensor(name)
        read = cls(str(words["prompt"]), tuple(words["tokens"]), latent_side=int(words["latent_side"]), **maps)
        _check_tensors(read)
        return read


def _check_tensors(maps: AttentionMaps) -> None:
    expected = [(tensor, (r * r, len(maps.tokens))) for r, tensor in maps.cross_attention.items()]
    expected += [(tensor, (r * r, r * r)) for r, tensor in maps.self_attention.items()]
    for tensor, shape in expected:
        if tensor.shape != shape or tensor.dtype != float32:
            raise ValueError(f"a map is {tuple(tensor.shape)} {tensor.dtype}, not {shape} float32")


def normalize(values: Tensor) -> Tensor:
    """Min-max ``values`` (any shape) to [0, 1]; a constant map becomes zeros, NaN stays NaN."""
    low, high = values.aminmax()
    return zeros_like(values) if low == high else (values - low) / (high - low)


def token_indices(prompt: str, tokens: Sequence[str], word: str) -> tuple[int, ...]:
    """Positions in ``tokens`` of every piece of ``word``, at the first place where the prompt has it whole.

    ``word`` may be several words ('traffic light'), each of several pieces. Case and punctuation do not
    count ('cat' is found in "Cat's", 't-shirt' in 'T shirt'), and a word never matches part of another.
    """
    wanted = split_words(word)
    spoken = _spoken(tokens)
    start = find_words([text for text, _ in spoken], wanted)
    if start is not None:
        return tuple(dict.fromkeys(at for _, places in spoken[start : start + len(wanted)] for at in places))
    if has_word(prompt, word):
        raise SeediffError(
            f"class word {word!r} is cut off from the prompt {prompt!r}:\n"
            f"the tokenizer keeps {len(tokens)} tokens. Shorten the prompt, or move the word forward."
        )
    raise SeediffError(
        f"class word {word!r} is not in the prompt {prompt!r}.\n"
        "Use a word just as the prompt has it, or put the word into the prompt."
    )


def _spoken(tokens: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The words of the pieces between start and end, each with its positions; a word cut short is left out."""
    spoken: list[tuple[str, list[int]]] = []
    text, places = "", list[int]()
    for at, piece in enumerate(tokens):
        if piece == END:
            break
        if piece == START:
            continue
        text, places = text + piece.removesuffix(WORD_END), [*places, at]
        # Pieces added to the vocabulary, such as textual inversion's '<cat-toy>', are whole without the mark.
        if piece.endswith(WORD_END) or (piece.startswith("<") and piece.endswith(">")):
            spoken += [(word, places) for word in split_words(_decode(text))]
            text, places = "", []
    return spoken


def _symbol_bytes() -> dict[str, int]:
    """CLIP writes every byte as one printable character; the way back."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(hidden)}


_BYTES = _symbol_bytes()


def _decode(symbols: str) -> str:
    return bytes(_BYTES.get(symbol, ord("?")) for symbol in symbols).decode(errors="replace")
