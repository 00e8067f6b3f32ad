"""The recorded attention maps of an image, their file, and the view of them for one class word.

Sizes are those of the attention maps, (h, w) in latent pixels: (64, 64), (32, 32), (16, 16) and (8, 8) for a square
512-pixel image of Stable Diffusion. Mask steps name them as fractions of the latents' size, so that other images and
smaller models fit too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, float32, zeros_like

from seediff.attention.calls import ALL, Calls, read_calls, write_calls
from seediff.attention.tokens import TokenizedPrompt
from seediff.errors import SeediffError
from seediff.files.sealed import partial
from seediff.files.tensors import read_tensors
from seediff.finite import first_not_finite
from seediff.prompts.words import Span

Size = tuple[int, int]
"""(height, width) in positions."""
SAME_SUM = 1e-3
"""Sums of rows that differ by less, as a share, differ by rounding."""


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """The attention of one image for one class word: what mask steps are given.

    ``cross_attention``: (h, w) -> (h, w) float32 in [0, 1], the mean over the word's tokens.
    ``self_attention``: (h, w) -> (h*w, h*w) float32 in [0, 1]; row i says where position i (row-major) looks. All rows
    have the same sum.
    ``latent_size``: (height, width) of the latents; the resolution that mask steps call "1".
    ``calls``: the calls of the UNet that they are the mean of.
    ``rivals``: the cross-attention of the image's other class words, if it has any (``competing``).
    """

    cross_attention: Mapping[Size, Tensor]
    self_attention: Mapping[Size, Tensor]
    latent_size: Size
    calls: Calls = ALL
    rivals: Sequence[Mapping[Size, Tensor]] = ()

    def class_map(self, size: Size) -> Tensor:
        """The cross-attention at one size, (h, w) float32, min-max normalised to [0, 1]."""
        return normalize(self.cross_attention[size])

    def looks(self, size: Size) -> Tensor:
        """The self-attention at one size, (h*w, h*w); ``SeediffError`` if none was recorded there."""
        if size not in self.self_attention:
            raise SeediffError(
                f"No self-attention was recorded at {size[0]} x {size[1]}.\n"
                "Record the layers that have it, or choose a variant of cross-attention alone."
            )
        return self.self_attention[size]

    def size(self, fraction: Fraction | str) -> Size:
        """The recorded size that is ``fraction`` of the latents' ('1/4' of (64, 96): (16, 24)).

        A side that halving does not divide is rounded up, as the model's own convolutions round it.
        """
        try:
            share = Fraction(fraction)
        except (ValueError, ZeroDivisionError) as error:
            raise SeediffError(f"Resolution {fraction!r} is not a fraction. Write '1/4', '1/2' or '1'.") from error
        recorded = resolutions(self)
        if share not in recorded:
            known = ", ".join(f"{part} ({size[0]} x {size[1]})" for part, size in sorted(recorded.items()))
            raise SeediffError(
                f"No attention was recorded at {fraction} of the latents' size"
                f" ({self.latent_size[0]} x {self.latent_size[1]}).\n"
                f"Recorded: {known or 'nothing'}. Choose one of these resolutions."
            )
        return recorded[share]


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Attention of one image, averaged (Eq. 5) over heads, layers of one resolution, and calls of the UNet.

    ``text``: the prompt and its tokens, with the characters that each token stands for.
    ``cross_attention``: (h, w) -> (h*w, len(tokens)) float32 in [0, 1], positions row-major.
    ``self_attention``: (h, w) -> (h*w, h*w) float32 in [0, 1]; in joint attention, what each position has left for the
    image.
    ``latent_size``: (height, width) of the latents; of a transformer, those of its patches.
    ``calls``: which calls were recorded: all timesteps of a denoising run, some, or another look at its image.
    ``layers``: how many layers of cross-attention each size has, where that is known.
    """

    text: TokenizedPrompt
    cross_attention: Mapping[Size, Tensor]
    self_attention: Mapping[Size, Tensor]
    latent_size: Size
    calls: Calls = ALL
    layers: Mapping[Size, int] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The prompt as it was given to the pipeline."""
        return self.text.text

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokenizer's pieces in order, start, end and padding included ('cat</w>', ...)."""
        return self.text.tokens

    def for_word(self, word: str, starts: Sequence[int] = ()) -> ClassMaps:
        """The maps of one class word: the mean over its tokens, at every place where the prompt has the word whole.

        If not every place is meant, ``starts`` gives the characters of the prompt, counted from 0, at which the word
        begins: [2] or [18] for 'table' in 'a table lamp on a table'. ``SeediffError`` if the prompt does not have the
        word there, or is cut off before it.
        """
        if not isinstance(word, str):
            raise SeediffError(f"The class word must be text, not {word!r}.")
        if not (isinstance(starts, Sequence) and all(isinstance(start, int) for start in starts)):
            raise SeediffError(f"starts is {starts!r}, but must be a list of positions in the prompt, such as [18].")
        return self.for_tokens(self.text.indices(word, starts))

    def for_tokens(self, indices: Sequence[int]) -> ClassMaps:
        """The maps of some tokens, by their places in ``tokens``: the mean over them.

        ``text.without_words`` has the places of start, end and padding. ``SeediffError`` for a place that is not there.
        """
        if not indices or not all(0 <= index < len(self.tokens) for index in indices):
            raise SeediffError(f"The prompt has tokens 0 to {len(self.tokens) - 1}, of which some must be given.")
        cross = {size: maps[:, list(indices)].mean(1).view(size) for size, maps in self.cross_attention.items()}
        return ClassMaps(cross, self._evened, self.latent_size, self.calls)

    @cached_property
    def _evened(self) -> dict[Size, Tensor]:
        return {size: evened(maps) for size, maps in self.self_attention.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, which appears under its name only when it is complete."""
        tensors = {f"cross_attention.{h}x{w}": maps for (h, w), maps in self.cross_attention.items()}
        tensors |= {f"self_attention.{h}x{w}": maps for (h, w), maps in self.self_attention.items()}
        words = {"prompt": asdict(self.text), "latent_size": self.latent_size, "calls": write_calls(self.calls)}
        words["layers"] = [[*size, number] for size, number in self.layers.items()]
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with partial(Path(path)) as unfinished:
            unfinished.write_bytes(save(contiguous, {"attention_maps": json.dumps(words)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AttentionMaps:
        """Read what ``save`` wrote; ``SeediffError`` if the file is missing, broken, or something else."""
        try:
            maps = cls._read(path)
        except (KeyError, ValueError, TypeError, OverflowError, SeediffError) as error:
            raise SeediffError(
                f"{os.fspath(path)} is not a readable file of attention maps ({type(error).__name__}: {error}).\n"
                "Record the image again and save its maps with AttentionMaps.save."
            ) from error
        return maps

    @classmethod
    def _read(cls, path: str | os.PathLike[str]) -> AttentionMaps:
        maps: dict[str, dict[Size, Tensor]] = {"cross_attention": {}, "self_attention": {}}
        tensors, words = read_tensors(Path(path), "attention_maps")
        text = _read_text(words["prompt"])
        if "latent_side" in words:
            raise ValueError("an earlier version of seediff wrote it, for square images alone")
        for name, tensor in tensors.items():
            kind, size = name.split(".")
            maps[kind][_read_size(size.split("x"))] = tensor
        calls = read_calls(*words.get("calls", write_calls(ALL)))
        layers = {_read_size(size): int(number) for *size, number in words.get("layers", [])}
        read = cls(text, latent_size=_read_size(words["latent_size"]), calls=calls, layers=layers, **maps)
        _check_tensors(read)
        return read


def _read_size(written: Sequence[Any]) -> Size:
    height, width = map(int, written)
    if min(height, width) < 1:
        raise ValueError(f"the size of a map is {height} x {width}")
    return height, width


def _read_text(written: Any) -> TokenizedPrompt:
    if isinstance(written, str):
        raise ValueError("an earlier version of seediff wrote it, without what the tokens stand for")
    text, tokens = str(written["text"]), tuple(map(str, written["tokens"]))
    spans, names = _read_spans(written["spans"], text), _read_spans(written["names"], text)
    (cut,) = _read_spans([written["cut"]], text)
    if len(spans) != len(tokens):
        raise ValueError(f"{len(tokens)} tokens stand in {len(spans)} places")
    return TokenizedPrompt(text, tokens, spans, names, cut)


def _read_spans(written: Any, text: str) -> tuple[Span, ...]:
    spans = tuple((int(start), int(end)) for start, end in written)
    if any(not 0 <= start <= end <= len(text) for start, end in spans):
        raise ValueError("a token stands for characters that the prompt does not have")
    return spans


def _check_tensors(maps: AttentionMaps) -> None:
    expected = [(tensor, (h * w, len(maps.tokens))) for (h, w), tensor in maps.cross_attention.items()]
    expected += [(tensor, (h * w, h * w)) for (h, w), tensor in maps.self_attention.items()]
    for tensor, shape in expected:
        if tensor.shape != shape or tensor.dtype != float32:
            raise ValueError(f"a map is {tuple(tensor.shape)} {tensor.dtype}, not {shape} float32")
        if first_not_finite(tensor) is not None:
            raise ValueError("a map is not finite")


def evened(self_attention: Tensor) -> Tensor:
    """Rows (n, n) scaled to the largest row's sum, as mask steps want them.

    Softmax rows have one sum, and so do their averages: these stay as they are. In joint attention a position divides
    its attention between text and image, so what is left for the image differs: a row then says how the position
    divides that.
    """
    sums = self_attention.sum(1, keepdim=True)
    low, high = sums.aminmax()
    return self_attention if high - low <= SAME_SUM * high else self_attention * (high / sums)


def resolutions(maps: AttentionMaps | ClassMaps) -> dict[Fraction, Size]:
    """The sizes at which cross-attention was recorded, coarse to fine, as fractions of the latents'."""
    return {fraction_of(size, maps.latent_size): size for size in sorted(maps.cross_attention)}


def fraction_of(size: Size, whole: Size) -> Fraction:
    """The share of ``whole`` that ``size`` is: 1, 1/2, 1/4 ... if halving and rounding up leads there."""
    for level in range(max(whole).bit_length() + 1):
        share = Fraction(1, 2**level)
        if size == tuple(ceil(side * share) for side in whole):
            return share
    return Fraction(size[0], whole[0])


def competing(words: Sequence[ClassMaps]) -> list[ClassMaps]:
    """The maps of an image's class words, each with the cross-attention of the others as its rivals."""
    return [
        replace(word, rivals=tuple(other.cross_attention for other in words if other is not word)) for word in words
    ]


def normalize(values: Tensor) -> Tensor:
    """Min-max ``values`` (any shape) to [0, 1]; a constant map becomes zeros, NaN stays NaN."""
    low, high = values.aminmax()
    return zeros_like(values) if low == high else (values - low) / (high - low)
