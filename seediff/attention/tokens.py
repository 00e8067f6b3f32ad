"""Prompts as a pipeline's tokenizer reads them: which of its tokens stand for which characters.

The tokenizer itself says which: by its offsets, by its list of added tokens, and by the vectors of a textual
inversion. How tokens are spelled does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

from seediff.errors import SeediffError
from seediff.prompts.words import Span, meet, place_word

NOTHING: Span = (0, 0)
MOST_TOKENS = 1_000_000
"""More than this is transformers' 1e30, for a tokenizer that does not say how many tokens it keeps."""


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt and its tokens.

    ``tokens``: the pieces in order, start, end and padding included. ``spans``: for each, the characters of ``text``
    that it stands for; none, (0, 0), for start, end and padding. ``names``: where the text has tokens that were added
    to the vocabulary, each of which is one word. ``cut``: the characters beyond the tokens that the tokenizer keeps.
    """

    text: str
    tokens: tuple[str, ...]
    spans: tuple[Span, ...]
    names: tuple[Span, ...] = ()
    cut: Span = NOTHING

    def indices(self, word: str, starts: Sequence[int] = ()) -> tuple[int, ...]:
        """Positions of every token that stands for a character of ``word``, in order.

        The word counts at every place where the prompt has it whole or, if given, where it begins at ``starts``
        (characters, from 0). Raises ``SeediffError`` if the prompt does not have it there, or if none of its places has
        a token left.
        """
        places = place_word(self.text, word, starts, self.names)
        kept = [place for place in places if not any(meet(part, self.cut) for part in place)]
        found = [at for at, span in enumerate(self.spans) if any(meet(span, part) for place in kept for part in place)]
        if not kept:
            raise SeediffError(
                f"class word {word!r} is cut off from the prompt {self.text!r}:\n"
                f"the tokenizer keeps {len(self.tokens)} tokens. Shorten the prompt, or move the word forward."
            )
        if not found:
            raise SeediffError(
                f"The tokenizer drops {word!r} from the prompt {self.text!r}.\nUse another word for the class."
            )
        return tuple(found)


def tokenize(pipe: Any, prompts: Sequence[str]) -> list[TokenizedPrompt]:
    """Each prompt with as many tokens as the pipeline's text encoder is given, padding included.

    Raises ``SeediffError`` for a prompt that is no text, and for a tokenizer that does not tell where its tokens are or
    how many it keeps.
    """
    for prompt in prompts:
        _check_prompt(prompt)
    tokenizer = pipe.tokenizer
    length = _length(tokenizer)
    expanded = [_expand(pipe, prompt) for prompt in prompts]
    texts = [text.text for text in expanded]
    encodings = tokenizer(texts, padding="max_length", max_length=length, truncation=True).encodings
    return [
        _read(prompt, text.origins, encoding, tokenizer)
        for prompt, text, encoding in zip(prompts, expanded, encodings, strict=True)
    ]


def _check_prompt(prompt: Any) -> None:
    if not isinstance(prompt, str):
        raise SeediffError(f"A prompt must be a text, not {prompt!r}.")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise SeediffError(f"The prompt {prompt!r} holds half a character, which no tokenizer reads.")


def _length(tokenizer: Any) -> int:
    if not tokenizer.is_fast:
        raise SeediffError(
            f"{type(tokenizer).__name__} does not tell where in the prompt its tokens are.\n"
            "Load the pipeline with the tokenizer's fast version."
        )
    if tokenizer.model_max_length > MOST_TOKENS:
        raise SeediffError(
            f"The tokenizer does not say how many tokens it keeps (model_max_length is {tokenizer.model_max_length}).\n"
            "Set pipe.tokenizer.model_max_length to what the text encoder reads, 77 in Stable Diffusion."
        )
    return int(tokenizer.model_max_length)


@dataclass(frozen=True)
class _Expanded:
    """What the tokenizer is given for a prompt; ``origins``: for each character, those of the prompt it stands for."""

    text: str
    origins: tuple[Span, ...]

    def replace(self, old: str, new: str) -> _Expanded:
        """As ``str.replace``; every new character stands for all the old characters that it replaces."""
        origins, at = list[Span](), 0
        for part in self.text.split(old)[:-1]:
            end = at + len(part)
            replaced = self.origins[end][0], self.origins[end + len(old) - 1][1]
            origins += [*self.origins[at:end], *[replaced] * len(new)]
            at = end + len(old)
        return _Expanded(self.text.replace(old, new), (*origins, *self.origins[at:]))


def _expand(pipe: Any, prompt: str) -> _Expanded:
    """The prompt with every word of a textual inversion written as its vectors, as diffusers' pipelines do it."""
    expanded = _Expanded(prompt, tuple((at, at + 1) for at in range(len(prompt))))
    if not hasattr(pipe, "maybe_convert_prompt"):
        return expanded
    converted = pipe.maybe_convert_prompt(prompt, pipe.tokenizer)
    if converted == prompt:
        return expanded
    for token in set(pipe.tokenizer.tokenize(prompt)):  # diffusers takes them in this order, whatever it is
        expanded = expanded.replace(token, " ".join(_vectors(token, pipe.tokenizer.added_tokens_encoder)))
    if expanded.text != converted:
        raise SeediffError(
            f"{type(pipe).__name__} makes {converted!r} of the prompt {prompt!r}; where its words are is unknown.\n"
            "Give the pipeline the prompt as its tokenizer should read it."
        )
    return expanded


def _vectors(token: str, added: Mapping[str, int]) -> Iterator[str]:
    """The tokens that stand for a token: itself and, of a textual inversion, those of its further vectors."""
    yield token
    yield from takewhile(added.__contains__, (f"{token}_{number}" for number in count(1)) if token in added else ())


def _read(prompt: str, origins: Sequence[Span], encoding: Any, tokenizer: Any) -> TokenizedPrompt:
    """A prompt's encoding, with places in the prompt as it was given."""
    added = {*tokenizer.added_tokens_encoder.values()} - {tokenizer.unk_token_id}
    kept = _spans(encoding, origins)
    beyond = [span for part in encoding.overflowing for span in _spans(part, origins)]
    ids = [token for part in (encoding, *encoding.overflowing) for token in part.ids]
    names = {span for token, span in zip(ids, kept + beyond, strict=True) if token in added and span != NOTHING}
    return TokenizedPrompt(
        prompt,
        tokens=tuple(tokenizer.convert_ids_to_tokens(encoding.ids)),
        spans=tuple(kept),
        names=tuple(sorted(names)),
        cut=_around([span for span in beyond if span != NOTHING]),
    )


def _spans(encoding: Any, origins: Sequence[Span]) -> list[Span]:
    return [(origins[s][0], origins[e - 1][1]) if s < e else NOTHING for s, e in encoding.offsets]


def _around(spans: Sequence[Span]) -> Span:
    """The smallest span that contains them all."""
    return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else NOTHING
