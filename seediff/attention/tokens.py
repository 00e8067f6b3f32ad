"""Prompts as a pipeline's tokenizer reads them: which of its tokens stand for which characters.

The tokenizer itself says which: by its offsets, by its list of added tokens, and by the vectors of a textual
inversion. How tokens are spelled does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from typing import Any

from seediff.errors import SeediffError
from seediff.prompts.words import Span, meet, place_word
from seediff.replacing import call_replaced

NOTHING: Span = (0, 0)
MOST_SHOWN = 120
"""Characters of a text that a message shows."""
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

    @property
    def without_words(self) -> tuple[int, ...]:
        """Positions of tokens that stand for nothing in the text: start, end, padding, a template's."""
        return tuple(at for at, span in enumerate(self.spans) if span == NOTHING)

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
    """Each prompt as a pipeline with CLIP's tokenizer reads it, padding included, before the pipeline is called.

    Raises ``SeediffError`` for a prompt that is no text, and for a tokenizer that does not tell where its tokens are or
    how many it keeps.
    """
    for prompt in prompts:
        check_prompt(prompt)
    tokenizer, length = pipe.tokenizer, pipe.tokenizer.model_max_length
    _check_fast(tokenizer)
    _check_length(length)
    expanded = [_expand(pipe, tokenizer, prompt) for prompt in prompts]
    texts = [item.text for item in expanded]
    encodings = tokenizer(texts, padding="max_length", max_length=length, truncation=True).encodings
    return [
        _read(prompt, encoding, item.origins, tokenizer, whole(encoding, length))
        for prompt, encoding, item in zip(prompts, encodings, expanded, strict=True)
    ]


@dataclass(frozen=True)
class Heard:
    """A text that a tokenizer was given, and what it made of it."""

    text: str
    encoding: Any


def whole(encoding: Any, length: int) -> Sequence[int | None]:
    """Every token has a vector, padding included."""
    return range(len(encoding.ids))


@dataclass(frozen=True)
class Pieces:
    """The tokens that vectors of a text stand for.

    ``tokenizer``: the pipeline's, by the name of its attribute. ``columns``: of an encoding and the number of vectors:
    for each that is attended to, the place of its token; None for one without a token. ``template``: where the
    pipeline writes a text of its own around the prompt, what stands right before it.
    ``beside``: a tokenizer for the other half of each vector, which has to read prompts in the same way.
    """

    tokenizer: str = "tokenizer"
    columns: Callable[[Any, int], Sequence[int | None]] = whole
    template: str = ""
    beside: str = ""

    @property
    def tokenizers(self) -> list[str]:
        return [name for name in (self.tokenizer, self.beside) if name]


@contextmanager
def hearing(pipe: Any, tokenizers: Sequence[str]) -> Iterator[dict[str, list[Heard]]]:
    """All that the pipeline's tokenizers are given inside the with-block, by their names."""
    heard: dict[str, list[Heard]] = {}
    with ExitStack() as stack:
        for name in tokenizers:
            if (tokenizer := tokenizer_of(pipe, name)) is not None:
                heard[name] = []
                stack.enter_context(call_replaced(tokenizer, partial(_hear, heard[name])))
        yield heard


def tokenizer_of(pipe: Any, name: str) -> Any:
    """A tokenizer of the pipeline, if it has it: that of a processor where one stands in its place."""
    found = getattr(pipe, name, None)
    return getattr(found, "tokenizer", found)


def _hear(heard: list[Heard], call: Callable[..., Any], text: Any, *args: Any, **kwargs: Any) -> Any:
    _check_length(kwargs.get("max_length"))
    encoded = call(text, *args, **kwargs)
    texts = [text] if isinstance(text, str) else text
    if encoded.encodings is not None:
        heard += map(Heard, texts, encoded.encodings)
    return encoded


def read_prompts(
    pipe: Any, prompts: Sequence[str], pieces: Pieces, heard: Mapping[str, Sequence[Heard]], lengths: Sequence[int]
) -> list[TokenizedPrompt]:
    """Each prompt with the tokens that its vectors stand for, from what the pipeline's tokenizers were given for it.

    ``lengths``: the numbers of vectors. ``SeediffError`` if a tokenizer was not given the prompt, or does not tell
    where its tokens are, and if two tokenizers read a prompt differently for the same vectors.
    """
    read, *beside = [
        _read_by(pipe, name, prompts, pieces, heard[name], lengths) for name in pieces.tokenizers if name in heard
    ]
    for others in beside:
        for one, other in zip(read, others, strict=True):
            if one.spans != other.spans:
                raise SeediffError(
                    f"{pieces.tokenizer} and {pieces.beside} make different tokens of {shortened(one.text)!r}, but each"
                    " vector of the text is of one token of both.\n"
                    "Load a textual inversion into both tokenizers, with as many vectors in each."
                )
    return read


def _read_by(
    pipe: Any, name: str, prompts: Sequence[str], pieces: Pieces, heard: Sequence[Heard], lengths: Sequence[int]
) -> list[TokenizedPrompt]:
    tokenizer = tokenizer_of(pipe, name)
    _check_fast(tokenizer)
    read, following = list[TokenizedPrompt](), iter(heard)
    for prompt, length in zip(prompts, lengths, strict=True):
        fitting = (
            (item.encoding, origins, columns)
            for item in following
            if len(columns := pieces.columns(item.encoding, length)) <= length
            and (origins := _origins(tokenizer, pipe, prompt, item.text, pieces.template))
        )
        encoding, origins, columns = next(fitting, (None, (), ()))
        if encoding is None:
            given = f", but {shortened(heard[0].text)!r}" if heard else ""
            raise SeediffError(
                f"No tokenizer was given the prompt {shortened(prompt)!r} as it is, for {length} vectors{given}: where"
                " its words are is unknown.\n"
                "Give the pipeline the prompt as its tokenizer should read it, without cleaning."
            )
        read.append(_read(prompt, encoding, origins, tokenizer, columns))
    return read


def shortened(text: str) -> str:
    """The end of a long text."""
    return text if len(text) <= MOST_SHOWN else "... " + text[-MOST_SHOWN:]


def joined(parts: Sequence[TokenizedPrompt]) -> TokenizedPrompt:
    """One prompt's tokens of several tokenizers, side by side. What a single one keeps is not cut."""
    cuts = [part.cut for part in parts]
    return TokenizedPrompt(
        parts[0].text,
        tokens=tuple(token for part in parts for token in part.tokens),
        spans=tuple(span for part in parts for span in part.spans),
        names=tuple(sorted({name for part in parts for name in part.names})),
        cut=max(cuts) if all(cut != NOTHING for cut in cuts) else NOTHING,
    )


def without_tokens(prompt: str, length: int) -> TokenizedPrompt:
    """Vectors that no tokenizer stands behind, as where an encoder has been left out."""
    return TokenizedPrompt(prompt, ("",) * length, (NOTHING,) * length)


def check_prompt(prompt: Any) -> None:
    """``SeediffError`` unless the prompt is a text."""
    if not isinstance(prompt, str):
        raise SeediffError(f"A prompt must be a text, not {prompt!r}.")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise SeediffError(f"The prompt {prompt!r} holds half a character, which no tokenizer reads.")


def _check_length(length: int | None) -> None:
    if length is not None and length > MOST_TOKENS:
        raise SeediffError(
            f"The tokenizer does not say how many tokens it keeps (model_max_length is {length}).\n"
            "Set pipe.tokenizer.model_max_length to what the text encoder reads, 77 in Stable Diffusion."
        )


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


def _expand(pipe: Any, tokenizer: Any, prompt: str) -> _Expanded:
    """The prompt with every word of a textual inversion written as its vectors, as diffusers' pipelines do it."""
    expanded = _Expanded(prompt, tuple((at, at + 1) for at in range(len(prompt))))
    if not hasattr(pipe, "maybe_convert_prompt"):
        return expanded
    converted = pipe.maybe_convert_prompt(prompt, tokenizer)
    if converted == prompt:
        return expanded
    for token in set(tokenizer.tokenize(prompt)):  # diffusers takes them in this order, whatever it is
        expanded = expanded.replace(token, " ".join(_vectors(token, tokenizer.added_tokens_encoder)))
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


def _check_fast(tokenizer: Any) -> None:
    if not tokenizer.is_fast:
        raise SeediffError(
            f"{type(tokenizer).__name__} does not tell where in the prompt its tokens are.\n"
            "Load the pipeline with the tokenizer's fast version."
        )


def _origins(tokenizer: Any, pipe: Any, prompt: str, text: str, template: str) -> tuple[Span, ...]:
    """For each character of a text that a tokenizer was given, those of the prompt that it stands for, if any.

    Nothing at all if the text does not have the prompt where it should. Some pipelines strip prompts or write them in
    small letters; some put a template around them.
    """
    if text == (expanded := _expand(pipe, tokenizer, prompt)).text:
        return expanded.origins or (NOTHING,)
    stripped = prompt.strip()
    before = len(prompt) - len(prompt.lstrip())
    for first, written in ((0, prompt), (before, stripped), (before, stripped.lower())):
        place = _place(written, text, template)
        if place is None or not text.startswith(written, place) or len(written) > len(prompt):
            continue
        own = [(first + at, first + at + 1) for at in range(len(written))]
        return (*[NOTHING] * place, *own, *[NOTHING] * max(1, len(text) - place - len(written)))
    return ()


def _place(written: str, text: str, template: str) -> int | None:
    """Where a prompt should begin in a text that a tokenizer was given: in another template, at its only place."""
    if text == written:
        return 0
    if template and template in text:
        return text.rindex(template) + len(template)
    is_found_once = text.find(written) == text.rfind(written) >= 0
    return text.find(written) if template and written and is_found_once else None


def _read(
    prompt: str, encoding: Any, origins: Sequence[Span], tokenizer: Any, taken: Sequence[int | None]
) -> TokenizedPrompt:
    """A prompt's tokens, with places in the prompt as it was given; ``taken``: the places of the tokens that count."""
    added = {*tokenizer.added_tokens_encoder.values()} - {tokenizer.unk_token_id}
    kept = _spans(encoding, origins)
    beyond = [span for part in encoding.overflowing for span in _spans(part, origins)]
    ids = [token for part in (encoding, *encoding.overflowing) for token in part.ids]
    names = {span for token, span in zip(ids, kept + beyond, strict=True) if token in added and span != NOTHING}
    tokens = tokenizer.convert_ids_to_tokens(encoding.ids)
    return TokenizedPrompt(
        prompt,
        tokens=tuple("" if at is None else tokens[at] for at in taken),
        spans=tuple(NOTHING if at is None else kept[at] for at in taken),
        names=tuple(sorted(names)),
        cut=_around([span for span in beyond if span != NOTHING]),
    )


def _spans(encoding: Any, origins: Sequence[Span]) -> list[Span]:
    return [_around([span for span in origins[start:end] if span != NOTHING]) for start, end in encoding.offsets]


def _around(spans: Sequence[Span]) -> Span:
    """The smallest span that contains them all."""
    return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else NOTHING
