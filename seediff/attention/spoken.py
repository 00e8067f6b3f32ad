"""What a pipeline's encode_prompt made of its texts, by which the rows of the denoiser's batch are told apart.

Under guidance a denoiser sees each image twice: with the prompt, and with a negative or empty one; in one batch or in
two calls, in either order; some pipelines add perturbed rows. The vectors of the text that come with a row say which it
is, whatever the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seediff.errors import SeediffError

Vectors = Tensor | list[Tensor]
"""Of texts: (texts, tokens, width), or (tokens, width) of each."""
SAME_VALUES = 1e-2
"""Rows of a batch that differ by less, as a share of the largest value, differ by rounding."""


class Spoken:
    """The texts of one call of a pipeline. ``arguments``: those of the denoiser that hold a text, each encoded by a
    call of encode_prompt, in this order."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._own: list[Vectors] = []
        self._others: list[Vectors] = []

    @property
    def next_argument(self) -> str | None:
        """The argument of the denoiser that the next call of encode_prompt is for; none if it is for guidance."""
        return self._arguments[len(self._own)] if len(self._own) < len(self._arguments) else None

    def add(self, encoded: Sequence[Any], images: int) -> None:
        """What encode_prompt returned, the vectors of the prompts first; ``images``: how many are drawn."""
        vectors = [_for_images(part, images) for part in encoded if _is_text(part)]
        if self.next_argument is not None:
            self._own.append(vectors.pop(0))
        self._others += vectors

    def blocks(self, texts: Sequence[Vectors]) -> list[range]:
        """The rows of the batch that have the prompts' texts, in the images' order; none in a call for guidance alone.

        Guidance may see the same texts again: further blocks. ``texts``: what the denoiser is given, by argument.
        ``SeediffError`` for a text that encode_prompt did not make.
        """
        if self.next_argument is not None:
            raise SeediffError(
                "The pipeline called its denoiser without encode_prompt: which words are in the text is unknown.\n"
                "Give it the text as prompt, or use a pipeline that encodes prompts with its encode_prompt."
            )
        images, found = len(self._own[0]), list[range]()
        for start in range(0, len(texts[0]), images):
            parts = [text[start : start + images] for text in texts]
            if all(map(_are_equal, parts, self._own)):
                found.append(range(start, start + images))
            elif not any(_are_equal(part, other) for part in parts for other in self._others):
                raise SeediffError(
                    f"The denoiser was given {len(texts[0])} texts at once, and those from number {start} on are not"
                    f" what encode_prompt made for {images} images.\n"
                    "Record a pipeline that gives its denoiser the prompts as they were encoded."
                )
        return found


def _is_text(part: Any) -> bool:
    if isinstance(part, list):
        return bool(part) and all(isinstance(text, Tensor) and text.ndim == 2 for text in part)
    return isinstance(part, Tensor) and part.ndim == 3 and part.is_floating_point()


def _for_images(vectors: Vectors, images: int) -> Vectors:
    """A copy, for nobody to write into; once for each image, if they are there once for each prompt."""
    copies = images // len(vectors) if images % len(vectors) == 0 else 1
    if isinstance(vectors, list):
        return [text.clone() for text in vectors for _ in range(copies)]
    return vectors.repeat_interleave(copies, 0)


def _are_equal(part: Vectors, whole: Vectors) -> bool:
    if len(part) != len(whole):
        return False
    return all(_same(given, made) for given, made in _pairs(part, whole))


def _pairs(part: Vectors, whole: Vectors) -> Iterator[tuple[Tensor, Tensor]]:
    if isinstance(part, Tensor) and isinstance(whole, Tensor):
        yield part, whole
    else:
        yield from zip(part, whole, strict=True)


def _same(given: Tensor, made: Tensor) -> bool:
    return given.shape == made.shape and bool(torch.equal(given, made.to(given)))


def are_same_rows(given: Any, batch: int, rows: range, others: range) -> bool:
    """Whether these rows of a batch are the same in all that a denoiser is given, up to rounding."""
    if _is_batch(given, batch):
        return all(_are_close(given[row], given[other]) for row, other in zip(rows, others, strict=True))
    if isinstance(given, Mapping | list | tuple):
        parts = given.values() if isinstance(given, Mapping) else given
        return all(are_same_rows(part, batch, rows, others) for part in parts)
    return True


def _is_batch(given: Any, batch: int) -> bool:
    """Whether this is a tensor or a list with one part for each row."""
    if isinstance(given, list):
        return len(given) == batch and not any(_is_batch(part, batch) for part in given)
    return isinstance(given, Tensor) and given.ndim > 0 and len(given) == batch


def _are_close(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor):
        return bool(one == other)
    one, other = one.float(), other.float()
    return one.shape == other.shape and bool((one - other).abs().max() <= SAME_VALUES * one.abs().max())
