"""Record a denoiser's attention while a pipeline samples (Eq. 3-5), at little more than the cost of sampling.

    with record_attention(pipe) as recording:
        image = pipe("a photo of a cat").images[0]
    score = recording.maps[0].for_word("cat").class_map((16, 16))

``timesteps`` says which timesteps are recorded; a finished image is looked at again by ``diffusion.looking``.

Every attention layer keeps its own code, so its output and the image do not change (``listening``). The probabilities
of the images' own rows are computed again (``head_sums``; on a GPU ``fused``) and summed over heads, layers and
timesteps at once (``accumulator``). Which rows these are, the text says that the denoiser is given with them: it has to
be what the pipeline's encode_prompt made of the prompts (``spoken``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from operator import sub
from typing import Any

import torch

from seediff.attention.accumulator import Recordings
from seediff.attention.apart import NOTHING, Apart, LayerMaps
from seediff.attention.calls import ALL, Calls, Record, read_calls
from seediff.attention.families import Family, family_of
from seediff.attention.listening import EVERY_LAYER, Choice, Listener, Wanted, listen
from seediff.attention.maps import AttentionMaps
from seediff.attention.spoken import Spoken, Vectors, are_same_rows
from seediff.attention.tokens import (
    Heard,
    Pieces,
    TokenizedPrompt,
    check_prompt,
    hearing,
    joined,
    read_prompts,
    without_tokens,
)
from seediff.diffusion.outputs import check_text, checked_vae
from seediff.errors import SeediffError
from seediff.finite import NotFiniteError, naming
from seediff.names import check_texts
from seediff.replacing import call_replaced, replaced

DENOISERS = ("unet", "transformer")
"""What pipelines call their denoiser."""


@contextmanager
def record_denoiser(
    denoiser: Any, wanted_by: Callable[[Any], Recordings] = lambda timestep: frozenset([ALL])
) -> Iterator[Listener]:
    """Record calls of a denoiser by hand inside the with-block, every row of the batch being an image.

    ``wanted_by``: the recordings that a call counts for, by the timestep that the denoiser is given. Averages run over
    all calls of a recording; ``Listener.restart`` begins another batch. Errors as in ``listen``.
    """
    family = family_of(denoiser)

    def wanted(arguments: Mapping[str, Any]) -> Wanted:
        return Wanted(range(len(arguments[next(iter(family.text))])), wanted_by(arguments[family.timestep]))

    with listen(denoiser, wanted) as listener:
        yield listener


class _Schedule:
    """Which recordings want a call, by the place of its timestep in the run of the pipeline's scheduler."""

    def __init__(self, pipe: Any, family: Family, recordings: Sequence[Record]) -> None:
        self._pipe, self._family, self._recordings = pipe, family, recordings
        self.restart()

    def restart(self) -> None:
        self._run: list[float] = []
        self._calls = 0

    def __call__(self, given: Any) -> Recordings:
        """``given``: what the denoiser is given as its timestep; ``SeediffError`` if it is not the run's next."""
        value = torch.as_tensor(given).flatten()[0]
        present = self._family.clock(value.item())
        self._run = self._run or self._run_from(present)
        expected = self._run[self._calls] if self._calls < len(self._run) else None
        if expected is None or abs(expected - present) > _tolerance(value.dtype):
            wanted = "no further call" if expected is None else f"timestep {expected:g}"
            raise SeediffError(
                f"The denoiser was called with the prompt at timestep {present:g}, where {wanted} was expected.\n"
                "Several calls at a timestep, as of a panorama's windows or of guidance by the prompt itself, cannot be"
                " recorded."
            )
        self._calls += 1
        return frozenset(record for record in self._recordings if self._calls - 1 in _places(record, self._run))

    def _run_from(self, present: float) -> list[float]:
        """The timesteps of the run that begins: a picture to picture pipeline begins in the middle of the schedule."""
        schedule = torch.as_tensor(self._pipe.scheduler.timesteps).tolist()
        begin = getattr(self._pipe.scheduler, "begin_index", None)
        steps = getattr(self._pipe, "num_timesteps", None) or len(schedule)
        if begin is None:  # a timestep may come twice: then the rest of the schedule has as many as the run
            begin = min(
                range(len(schedule)), key=lambda at: (abs(schedule[at] - present), abs(len(schedule) - at - steps))
            )
        return schedule[begin:][:steps]

    def check_complete(self) -> None:
        """``SeediffError`` if the pipeline tells how many calls its run has, and there were fewer."""
        if getattr(self._pipe, "num_timesteps", None) is not None and self._calls < len(self._run):
            raise SeediffError(
                f"The pipeline stopped after {self._calls} of its {len(self._run)} timesteps, so its attention is not"
                " that of a whole run.\nLet it run to its end; `recording.maps` can be read meanwhile."
            )


def _places(record: Record, run: Sequence[float]) -> Sequence[int]:
    """The places in the run that a recording wants."""
    if record.timesteps == ALL.timesteps:
        return range(len(run))
    wanted = record.of(run)
    return [at for at, timestep in enumerate(run) if timestep in wanted]


def _tolerance(dtype: torch.dtype) -> float:
    """How far a timestep of the scheduler's, which counts to 1,000, may be rounded."""
    return max(0.5, 1000 * torch.finfo(dtype).eps) if dtype.is_floating_point else 0.5


class Recording:
    """The attention of a pipeline's last call. ``maps`` may be read during and after the with-block."""

    def __init__(
        self, pipe: Any, family: Family, recordings: Sequence[Record], prompts: Sequence[str] | None = None
    ) -> None:
        self._pipe, self._family, self._recordings, self._given = pipe, family, recordings, prompts
        self._schedule = _Schedule(pipe, family, recordings)
        self._spoken: Spoken | None = None
        self._copies = 1
        self._prompts: list[TokenizedPrompt] = []
        self._listener: Listener | None = None
        self._why_nothing = "Run the pipeline inside the with-block before asking for maps."

    @contextmanager
    def begun(self, denoiser: Any, choice: Choice) -> Iterator[None]:
        """Record the pipeline's calls inside the with-block."""
        encode_prompt = self._pipe.encode_prompt
        with ExitStack() as stack:
            self._listener = stack.enter_context(listen(denoiser, self._wanted, choice))
            stack.enter_context(call_replaced(self._pipe, self._call))
            stack.enter_context(replaced(self._pipe, "encode_prompt", partial(self._encode, encode_prompt)))
            if getattr(self._pipe, "vae", None) is not None:
                stack.enter_context(checked_vae(self._pipe.vae))
            stack.enter_context(self._naming())
            yield

    @property
    def maps(self) -> list[AttentionMaps]:
        """One ``AttentionMaps`` per image, in the images' order, averaged over the recorded calls so far.

        Computed at each access, on the pipeline's device. ``SeediffError`` if nothing was recorded yet.
        """
        return self.of(*self._recordings)

    def of(self, calls: Calls) -> list[AttentionMaps]:
        """``maps`` of one of several recordings."""
        if self._listener is None or self._listener.latent_size is None:
            raise SeediffError(f"No attention has been recorded yet.\n{self._why_nothing}")
        return self._listener.maps(self._prompts, calls)

    @property
    def apart(self) -> list[LayerMaps]:
        """The layers that are kept by themselves: one for each layer, call of the denoiser and image, in this order."""
        return [] if self._listener is None else self._listener.shelf.maps

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Name the images being recorded in errors about values that are not finite."""
        try:
            yield
        except NotFiniteError as error:
            with naming([f"image of {prompt.text!r}" for prompt in self._prompts]):
                raise error from None

    def _call(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A call of the pipeline, from its begin to its end."""
        bound = inspect.signature(call).bind(*args, **kwargs)
        bound.apply_defaults()
        self._copies = bound.arguments.get("num_images_per_prompt") or 1
        self._restart("The pipeline's last call has not reached its denoiser yet.")
        self._prompts = []
        self._spoken = Spoken([*self._family.text])
        try:
            drawn = call(*args, **kwargs)
            self._check_recorded()
        except BaseException:
            self._restart("The pipeline's last call was stopped before its end.")
            raise
        finally:
            self._spoken = None
        return drawn

    def _check_recorded(self) -> None:
        if self._listener is not None and self._listener.latent_size is None:
            raise SeediffError(
                "The pipeline was called, but not the denoiser that it had when the with-block began, with a prompt.\n"
                "Begin the with-block after the pipeline's parts have been put in place."
            )
        self._schedule.check_complete()

    def _restart(self, why_nothing: str) -> None:
        self._why_nothing = why_nothing
        self._schedule.restart()
        if self._listener is not None:
            self._listener.restart()

    def _encode(self, encode_prompt: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A call of the pipeline's encode_prompt: the first ones of a call of the pipeline have its prompts."""
        if self._spoken is None:
            return encode_prompt(*args, **kwargs)
        bound, argument = inspect.signature(encode_prompt).bind(*args, **kwargs), self._spoken.next_argument
        texts = self._texts(bound.arguments) if argument is not None else []
        with hearing(self._pipe, self._family.tokenizers) as heard:
            encoded = encode_prompt(*args, **kwargs)
        if argument is not None:
            if bound.arguments.get("prompt") is None:
                heard = self._read_aloud(encode_prompt, bound, texts)
            self._read(texts, self._family.text[argument], heard, encoded[0])
        check_text(encoded[0])
        self._spoken.add(encoded, len(self._prompts))
        return encoded

    def _read_aloud(
        self, encode_prompt: Callable[..., Any], bound: inspect.BoundArguments, texts: Sequence[str]
    ) -> dict[str, list[Heard]]:
        """What the tokenizers are given for texts whose vectors the pipeline was given."""
        for vectors in [name for name in bound.arguments if name.endswith(("embeds", "embeds_2", "mask", "mask_2"))]:
            del bound.arguments[vectors]
        bound.arguments["prompt"] = list(texts)
        if "do_classifier_free_guidance" in bound.arguments:
            bound.arguments["do_classifier_free_guidance"] = False
        try:
            with hearing(self._pipe, self._family.tokenizers) as heard:
                encode_prompt(*bound.args, **bound.kwargs)
        except Exception as error:
            raise SeediffError(
                f"{type(self._pipe).__name__} cannot encode the texts given as prompts, so their tokens are unknown"
                f" ({type(error).__name__}: {error}).\nLeave its tokenizers and text encoders in place."
            ) from error
        return heard

    def _texts(self, arguments: Mapping[str, Any]) -> list[str]:
        """A copy of the prompts of a call of encode_prompt: some pipelines write into the list that they are given."""
        given = self._given if arguments.get("prompt") is None else arguments["prompt"]
        if given is None:
            raise SeediffError(
                "The words of an image are unknown when the pipeline is given prompt_embeds only.\n"
                "Pass the text as prompt, or beside: record_attention(pipe, prompts=['a photo of a cat'])."
            )
        for further in ("prompt_2", "prompt_3"):
            if arguments.get(further) not in (None, given):
                raise SeediffError(
                    f"The pipeline was given another text as {further}: which words its tokens stand for is unknown.\n"
                    f"Leave {further} out."
                )
        texts = [given] if isinstance(given, str) else list(given)
        for text in texts:
            check_prompt(text)
        return texts

    def _read(
        self, texts: Sequence[str], pieces: Sequence[Pieces], heard: Mapping[str, Sequence[Heard]], vectors: Vectors
    ) -> None:
        """Add the tokens of one argument of the denoiser to the prompts of the images to come, in their order."""
        if len(vectors) not in (len(texts), len(texts) * self._copies):
            raise SeediffError(
                f"The pipeline was given the vectors of {len(vectors)} texts, but prompts names {len(texts)}.\n"
                "Name one text for each row of prompt_embeds."
            )
        lengths = [len(vectors[at * len(vectors) // len(texts)]) for at in range(len(texts))]
        parts = [read_prompts(self._pipe, texts, piece, heard, lengths) for piece in pieces if piece.tokenizer in heard]
        if len(parts) < len(pieces):
            counts = [sum(len(part[at].tokens) for part in parts) for at in range(len(texts))]
            parts.append([without_tokens(*of) for of in zip(texts, map(sub, lengths, counts), strict=True)])
        read = [joined(of_prompt) for of_prompt in zip(*parts, strict=True)]
        images = [prompt for prompt in read for _ in range(self._copies)]
        self._prompts = [joined(pair) for pair in zip(self._prompts, images, strict=True)] if self._prompts else images

    def _wanted(self, arguments: Mapping[str, Any]) -> Wanted:
        """What is recorded of a call of the denoiser."""
        if self._spoken is None:
            raise SeediffError(
                "The denoiser was called by something else than the pipeline that is being recorded.\n"
                "End the with-block before another pipeline uses the same denoiser."
            )
        texts = [arguments[name] for name in self._family.text]
        blocks = self._spoken.blocks(texts)
        if not blocks or arguments.get(self._family.perturbed) is not None:
            return Wanted()
        rows, *again = blocks
        if not all(are_same_rows(arguments, len(texts[0]), rows, others) for others in again):
            raise SeediffError(
                f"The denoiser was given the prompts {len(blocks)} times at once, each time with something else: which"
                " time is the image is unknown.\n"
                "Windows of a panorama, and guidance by the prompt itself, cannot be recorded."
            )
        return Wanted(rows, self._schedule(arguments[self._family.timestep]), self._prompts)


def record_attention(
    pipe: Any,
    timesteps: str | float | Sequence[int] = "all",
    divide: bool = True,
    prompts: Sequence[str] | None = None,
    layers: Sequence[str] = ("*",),
    apart: Apart = NOTHING,
) -> AbstractContextManager[Recording]:
    """Record each call of a text-to-image pipeline; every call starts the recording afresh.

    ``timesteps``: 'all' (Eq. 5), 'late' (the second half of the denoising run, at low noise), the share of the run that
    is recorded, from its end, or timesteps of the scheduler's. ``divide``: divide each layer's map by its maximum (Eq.
    5). ``prompts``: the texts of the images if the pipeline is given ``prompt_embeds``. ``layers``: the attention
    layers that count, by patterns of their names such as ``up_blocks.1.*``; no time is spent on others. ``apart``:
    those of them that are kept by themselves besides (``Recording.apart``).

    Only the images' own rows count, not those of guidance. ``SeediffError`` for a denoiser of no known family, a
    recording inside another, a call without the text of its prompt, timesteps and layers that are not there, what the
    denoiser should not have been given, and the first value of text encoder, denoiser or VAE that is not finite.
    """
    calls = read_calls("record", {"timesteps": timesteps, "divide": divide})
    assert isinstance(calls, Record)
    check_texts("layers", layers)
    if not isinstance(apart, Apart):
        raise SeediffError(f"apart must be a seediff.Apart, such as Apart(('*.attn2',)), not {apart!r}.")
    return record_denoising(pipe, [calls], prompts, Choice(tuple(layers), apart))


@contextmanager
def record_denoising(
    pipe: Any,
    recordings: Sequence[Record],
    prompts: Sequence[str] | None = None,
    choice: Choice = EVERY_LAYER,
) -> Iterator[Recording]:
    """``record_attention`` for several recordings of the same run, which cost as much as one; or for none."""
    denoiser = denoiser_of(pipe)
    family = family_of(denoiser)
    missing = [part for part in (family.tokenizers[0], "encode_prompt") if getattr(pipe, part, None) is None]
    if missing:
        raise SeediffError(
            f"{type(pipe).__name__} has no {missing[0]}: its attention cannot be recorded.\n"
            "Use a pipeline with a text prompt, such as StableDiffusionPipeline."
        )
    recording = Recording(pipe, family, recordings, prompts)
    with recording.begun(denoiser, choice):
        yield recording


def denoiser_of(pipe: Any) -> Any:
    """The network of a pipeline that attends; ``SeediffError`` if it has none."""
    for name in DENOISERS:
        denoiser = getattr(pipe, name, None)
        if denoiser is not None:
            return getattr(denoiser, "_orig_mod", denoiser)  # of a compiled network
    raise SeediffError(
        f"{type(pipe).__name__} has no {' or '.join(DENOISERS)}: its attention cannot be recorded.\n"
        "Use a pipeline that draws images from a text prompt, such as StableDiffusionPipeline."
    )
