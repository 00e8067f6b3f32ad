"""Record a UNet's attention while it samples (Eq. 3-5), at little more than the cost of sampling.

    with record_attention(pipe) as recording:
        image = pipe("a photo of a cat").images[0]
    score = recording.maps[0].for_word("cat").class_map(16)

``timesteps`` says which timesteps are recorded; a finished image is looked at again by ``diffusion.looking``.

Every attention layer keeps its own processor, so its output and the image do not change. Recording wraps the fused
kernel that the processor calls: the probabilities of the conditional half are computed again (``head_sums``; on a GPU
``fused``) and summed over heads, layers and timesteps at once (``accumulator``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0, FusedAttnProcessor2_0
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seediff.attention import head_sums
from seediff.attention.accumulator import Accumulator, Fill, Recordings
from seediff.attention.calls import ALL, Calls, Record, read_calls
from seediff.attention.maps import AttentionMaps
from seediff.attention.tokens import TokenizedPrompt, tokenize
from seediff.diffusion.outputs import check_text, checked_unet, checked_vae, replaced
from seediff.errors import SeediffError
from seediff.finite import NotFiniteError, naming


class _Tap(TorchFunctionMode):
    """While active, hands the queries and keys of fused attention to the accumulator."""

    def __init__(self, accumulator: Accumulator, kind: str) -> None:
        super().__init__()
        self.accumulator = accumulator
        self.kind = kind

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        return self._attend(*args, **(kwargs or {}))

    def _attend(self, query: Tensor, key: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output, fill = _attention(query.device.type)(query, key, *args, **kwargs)
        with torch.autocast(query.device.type, enabled=False):
            batch, heads, positions, _ = query.shape
            self.accumulator.add(self.kind, batch, heads, (positions, key.shape[2]), query.device, fill)
        return output


@cache
def _attention(device: str) -> Callable[..., tuple[Tensor, Fill]]:
    """Attention that can be recorded: in one kernel on a GPU with Triton."""
    if device == "cuda" and find_spec("triton"):
        from seediff.attention import fused

        return fused.attend
    return head_sums.attend


class _RecordingProcessor:
    """A layer's own processor, with its attention recorded."""

    def __init__(self, processor: Any, accumulator: Accumulator) -> None:
        self.processor = processor
        self.accumulator = accumulator

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        # Named as in diffusers' processors: Attention.forward drops keywords that a processor does not name.
        if not self.accumulator.is_wanted:
            return self.processor(attn, hidden_states, encoder_hidden_states, attention_mask, temb, *args, **kwargs)
        with _Tap(self.accumulator, "self" if encoder_hidden_states is None else "cross"):
            return self.processor(attn, hidden_states, encoder_hidden_states, attention_mask, temb, *args, **kwargs)


def _all(timestep: Any) -> Recordings:
    return frozenset([ALL])


@contextmanager
def record_unet(unet: Any, wanted_by: Callable[[Any], Recordings] = _all) -> Iterator[Accumulator]:
    """Record calls of a UNet2DConditionModel inside the with-block, the whole batch taken as conditional.

    ``wanted_by``: the recordings that a call counts for, by the timestep that the UNet is given. Averages run over all
    calls of a recording; ``Accumulator.restart`` begins another batch. ``SeediffError`` if the UNet is being recorded
    already, computes attention in a way that cannot be recorded, or gives what is not finite.
    """
    _check_plain(unet)
    accumulator = Accumulator()
    before = unet.attn_processors
    during = {name: _listen(name, processor, accumulator) for name, processor in before.items()}

    def begin(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        timestep = args[1] if len(args) > 1 else kwargs["timestep"]
        latents = args[0] if args else kwargs["sample"]
        accumulator.begin(latents.shape, wanted_by(timestep))

    hook = unet.register_forward_pre_hook(begin, with_kwargs=True)
    try:
        unet.set_attn_processor(during)
        with checked_unet(unet):
            yield accumulator
    finally:
        unet.set_attn_processor(dict(before))
        hook.remove()


def _check_plain(unet: Any) -> None:
    """Refuse a compiled UNet: its code bypasses the recording."""
    if not isinstance(unet, nn.Module) or not hasattr(unet, "attn_processors"):
        raise SeediffError(f"A {type(unet).__name__} has no attention processors: its attention cannot be recorded.")
    if any(hasattr(part, "_orig_mod") or part._compiled_call_impl is not None for part in unet.modules()):
        raise SeediffError(
            "A compiled UNet's attention cannot be recorded.\nRecord the plain one, without torch.compile."
        )


def _listen(name: str, processor: Any, accumulator: Accumulator) -> Any:
    """The processor to install at ``name``; layers outside transformer blocks keep their own."""
    if not name.endswith(("attn1.processor", "attn2.processor")):
        return processor
    if isinstance(processor, _RecordingProcessor):
        raise SeediffError("This model's attention is being recorded already.\nEnd that with-block first.")
    if type(processor) not in (AttnProcessor2_0, FusedAttnProcessor2_0):
        raise SeediffError(
            f"Attention computed by {type(processor).__name__} (at {name}) cannot be recorded.\n"
            "Unload adapters, disable slicing and xFormers, then unet.set_attn_processor(AttnProcessor2_0())."
        )
    return _RecordingProcessor(processor, accumulator)


class _Schedule:
    """Which recordings want a timestep, by the schedule that the pipeline's scheduler has at that time."""

    def __init__(self, pipe: Any, recordings: Collection[Record]) -> None:
        self._pipe, self._recordings = pipe, frozenset(recordings)
        self._timesteps: Tensor | None = None
        self._wanted: dict[Record, frozenset[float]] = {}

    def __call__(self, timestep: Any) -> Recordings:
        if all(record.timesteps == ALL.timesteps for record in self._recordings):
            return self._recordings
        if self._timesteps is not self._pipe.scheduler.timesteps:
            self._timesteps = self._pipe.scheduler.timesteps
            schedule = self._timesteps.tolist()
            self._wanted = {record: record.of(schedule) for record in self._recordings}
        present = torch.as_tensor(timestep).flatten()[0].item()
        return frozenset(
            record for record, wanted in self._wanted.items() if record.timesteps == ALL.timesteps or present in wanted
        )


class Recording:
    """The attention of a pipeline's last call. ``maps`` may be read during and after the with-block."""

    def __init__(self, accumulator: Accumulator, recordings: Sequence[Record]) -> None:
        self._accumulator = accumulator
        self._recordings = recordings
        self._prompts: list[TokenizedPrompt] = []

    def begin(self, prompts: list[TokenizedPrompt]) -> None:
        """Start again, with one prompt for each image to come."""
        self._prompts = prompts
        self._accumulator.restart(images=len(prompts))

    @property
    def maps(self) -> list[AttentionMaps]:
        """One ``AttentionMaps`` per image, in the images' order, averaged over the recorded UNet calls so far.

        Computed at each access, on the pipeline's device. ``SeediffError`` if nothing was recorded yet.
        """
        return self.of(*self._recordings)

    def of(self, calls: Calls) -> list[AttentionMaps]:
        """``maps`` of one of several recordings."""
        return self._accumulator.maps(self._prompts, calls)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Name the images being recorded in errors about values that are not finite."""
        try:
            yield
        except NotFiniteError as error:
            with naming([f"image of {prompt.text!r}" for prompt in self._prompts]):
                raise error from None


def record_attention(
    pipe: Any, timesteps: str | float | Sequence[int] = "all", divide: bool = True
) -> AbstractContextManager[Recording]:
    """Record each call of a text-to-image pipeline with a UNet; every call starts the recording afresh.

    ``timesteps``: 'all' (Eq. 5), 'late' (the second half of the denoising run, at low noise), the share of the run that
    is recorded, from its end, or timesteps of the scheduler's. ``divide``: divide each layer's map by its maximum (Eq.
    5). Only the conditional half of classifier-free guidance counts. ``SeediffError`` for a pipeline without UNet, a
    recording inside another, a call without the text of its prompt, images that are not square, timesteps that the run
    does not have, and the first value of text encoder, UNet or VAE that is not finite.
    """
    calls = read_calls("record", {"timesteps": timesteps, "divide": divide})
    assert isinstance(calls, Record)
    return record_denoising(pipe, [calls])


@contextmanager
def record_denoising(pipe: Any, recordings: Sequence[Record]) -> Iterator[Recording]:
    """``record_attention`` for several recordings of the same run, which cost as much as one; or for none."""
    missing = [part for part in ("unet", "tokenizer", "encode_prompt") if getattr(pipe, part, None) is None]
    if missing:
        raise SeediffError(
            f"{type(pipe).__name__} has no {missing[0]}: its attention cannot be recorded.\n"
            "Use a pipeline with a UNet and a text prompt, such as StableDiffusionPipeline."
        )
    with ExitStack() as stack:
        accumulator = stack.enter_context(record_unet(pipe.unet, _Schedule(pipe, recordings)))
        recording = Recording(accumulator, recordings)
        stack.enter_context(replaced(pipe, "encode_prompt", _announcing(pipe, recording)))
        if getattr(pipe, "vae", None) is not None:
            stack.enter_context(checked_vae(pipe.vae))
        stack.enter_context(recording.naming())
        yield recording


def _announcing(pipe: Any, recording: Recording) -> Callable[..., Any]:
    """The pipeline's encode_prompt, which each call runs once before sampling; it tells the recording the prompts."""
    encode_prompt = pipe.encode_prompt
    signature = inspect.signature(encode_prompt)

    def encode_and_begin(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if getattr(pipe, "do_perturbed_attention_guidance", False):
            raise SeediffError(
                "Perturbed-attention guidance (PAG) gives the UNet latents besides those of the prompt: it cannot be"
                " recorded.\nCall the pipeline with pag_scale=0, or use one without PAG."
            )
        prompts = tokenize(pipe, _prompts(bound.arguments["prompt"]))
        copies = bound.arguments["num_images_per_prompt"]
        recording.begin([prompt for prompt in prompts for _ in range(copies)])
        encoded = encode_prompt(*args, **kwargs)
        check_text(encoded[0])
        return encoded

    return encode_and_begin


def _prompts(prompt: str | list[str] | None) -> list[str]:
    if prompt is None:
        raise SeediffError(
            "The words of an image are unknown when the pipeline is given prompt_embeds only.\nPass the text as prompt."
        )
    return [prompt] if isinstance(prompt, str) else list(prompt)
