"""Record a UNet's attention while it samples (Eq. 3-5), at little more than the cost of sampling.

    with record_attention(pipe) as recording:
        image = pipe("a photo of a cat").images[0]
    score = recording.maps[0].for_word("cat").cross_attention[16]

Every attention layer keeps its own processor, and so its output and the image. What is added sits around the
fused kernel that the processor calls: the probabilities of the conditional half are computed once more, in
tiles that stay in the cache, and summed over heads, layers and timesteps at once. No map of a single layer or
timestep is ever kept: memory is one (r*r, tokens) and one (r*r, r*r) float32 sum per image and resolution,
and one scratch map for all of them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0, FusedAttnProcessor2_0
from torch import Tensor
from torch.overrides import TorchFunctionMode

from seediff.attention.maps import AttentionMaps
from seediff.errors import SeediffError

CACHE_TILE = 1 << 18
"""Probabilities a CPU core works on at a time: 1 MiB, within the second-level cache."""
DEVICE_TILE = 1 << 24
"""The same elsewhere, where few large kernels are fast: 64 MiB."""

Resolution = tuple[str, int]
"""('cross' or 'self', side of the attention map)."""


class Accumulator:
    """Running sums of the attention of ``images`` images: per resolution, over layers and UNet calls.

    The images are the last ``images`` of the UNet's batch, which is either all of it or, under classifier-free
    guidance, its conditional half. Where nobody says how many they are, the whole batch is recorded.
    """

    def __init__(self) -> None:
        self._scratch = torch.empty(0)
        self.restart()

    def restart(self, images: int | None = None) -> None:
        """Forget everything recorded so far."""
        self._images = images
        self._batches: tuple[int, ...] = () if images is None else (images, 2 * images)
        self._latent_side = 0
        self._sums: dict[Resolution, Tensor] = {}
        self._counts: dict[Resolution, int] = {}

    def begin(self, latents: torch.Size) -> None:
        """Prepare for one UNet call with latents (batch, channels, side, side)."""
        batch, _, height, width = latents
        if height != width:
            raise SeediffError(
                f"Attention is recorded for square images only; the latents are {height} high and {width} wide.\n"
                "Ask for an image whose height equals its width."
            )
        if self._images is None:
            self._images, self._batches = batch, (batch,)
        if batch not in self._batches or self._latent_side not in (0, height):
            raise SeediffError(
                f"The UNet was given {batch} latents of side {height} while recording {self._images} images"
                f" of side {self._latent_side or height}.\nRecord one batch at a time."
            )
        self._latent_side = height

    @torch.no_grad()
    def add(self, kind: str, query: Tensor, key: Tensor, lse: Tensor | None, bias: Tensor | None) -> None:
        """Add one layer's attention.

        ``query``: (batch, heads, positions, d); ``key``: (batch, heads, positions or tokens, d), ``bias``:
        what is added to their products, broadcastable to (batch, heads, positions, tokens); ``lse``:
        log-sum-exp of the logits, (batch, heads, positions), where the kernel yields it.
        """
        assert self._images is not None
        batch, _, positions, _ = query.shape
        tokens = key.shape[2]
        sums = self._sums_of((kind, math.isqrt(positions)), (self._images, positions, tokens), query.device)
        scratch = self._scratch_map(positions, tokens, query.device)
        for image, at in enumerate(range(batch - self._images, batch)):
            biased = None if bias is None else bias.expand(batch, -1, -1, -1)[at]
            if lse is None:
                sum_heads(query[at], key[at], biased, scratch)
            else:
                sum_heads_from_lse(query[at], key[at], lse[at], biased, scratch)
            # Dividing by the maximum (Eq. 5) makes the sum over heads as good as their mean.
            sums[image].addcmul_(scratch, scratch.amax().reciprocal())

    def maps(self, prompts: Sequence[str], tokens: Sequence[tuple[str, ...]]) -> list[AttentionMaps]:
        """The averages, one for each image; prompts and token pieces in the images' order.

        ``SeediffError`` if nothing was recorded, or not for these prompts.
        """
        if not self._sums:
            raise SeediffError(
                "No attention has been recorded yet.\nRun the pipeline inside the with-block before asking for maps."
            )
        recorded = {sums.shape[2] for (kind, _), sums in self._sums.items() if kind == "cross"}
        if self._images != len(prompts) or recorded - {len(pieces) for pieces in tokens}:
            raise SeediffError(
                f"Recorded {self._images} images with {sorted(recorded)} tokens, which are not the"
                f" {len(prompts)} prompts with {sorted({len(pieces) for pieces in tokens})} tokens given."
            )
        return [self._image_maps(at, *named) for at, named in enumerate(zip(prompts, tokens, strict=True))]

    def _image_maps(self, image: int, prompt: str, tokens: tuple[str, ...]) -> AttentionMaps:
        means: dict[str, dict[int, Tensor]] = {"cross": {}, "self": {}}
        for (kind, side), sums in sorted(self._sums.items(), reverse=True):
            means[kind][side] = sums[image] / self._counts[kind, side]
        return AttentionMaps(prompt, tokens, means["cross"], means["self"], self._latent_side)

    def _sums_of(self, resolution: Resolution, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        if resolution not in self._sums:
            with torch.inference_mode(False):  # or later calls outside inference mode could not add to them
                self._sums[resolution] = torch.zeros(shape, device=device)
        self._counts[resolution] = self._counts.get(resolution, 0) + 1
        return self._sums[resolution]

    def _scratch_map(self, rows: int, columns: int, device: torch.device) -> Tensor:
        if self._scratch.numel() < rows * columns or self._scratch.device != device:
            with torch.inference_mode(False):
                self._scratch = torch.empty(rows * columns, device=device)
        return self._scratch[: rows * columns].view(rows, columns)


def sum_heads_from_lse(query: Tensor, key: Tensor, lse: Tensor, bias: Tensor | None, total: Tensor) -> None:
    """Fill ``total`` (n, m) with the sum over heads of exp(QK^T / sqrt(d) + bias - lse), tile by tile.

    ``query``: (heads, n, d); ``key``: (heads, m, d); ``lse``: (heads, n); ``bias``: (heads or 1, n or 1, m).
    """
    heads, positions, width = query.shape
    query = query.to(total.dtype) * width**-0.5
    columns = key.to(total.dtype).transpose(1, 2)
    biases = None if bias is None else bias.to(total.dtype).expand(heads, positions, -1)
    rows = max(1, CACHE_TILE // total.shape[1])
    spare = torch.empty_like(total[:rows])
    for start in range(0, positions, rows):
        part, here = total[start : start + rows], slice(start, start + rows)
        for head in range(heads):
            tile = spare[: len(part)] if head else part
            torch.mm(query[head, here], columns[head], out=tile)
            if biases is not None:
                tile.add_(biases[head, here])
            tile.sub_(lse[head, here, None]).exp_()
            if head:
                part.add_(tile)


def sum_heads(query: Tensor, key: Tensor, bias: Tensor | None, total: Tensor) -> None:
    """As ``sum_heads_from_lse``, by an explicit softmax: for devices whose kernel keeps the log-sum-exp."""
    heads, positions, width = query.shape
    query = query.to(total.dtype) * width**-0.5
    columns = key.to(total.dtype).transpose(1, 2)
    biases = None if bias is None else bias.to(total.dtype).expand(heads, positions, -1)
    rows = max(1, DEVICE_TILE // (heads * total.shape[1]))
    for start in range(0, positions, rows):
        here = slice(start, start + rows)
        logits = query[:, here] @ columns
        if biases is not None:
            logits += biases[:, here]
        torch.sum(logits.softmax(-1), 0, out=total[here])


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

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **rest: Any
    ) -> Tensor:
        if query.device.type == "cpu":
            # The kernel that scaled_dot_product_attention would choose, which also returns the log-sum-exp.
            kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
            output, lse = kernel(query, key, value, attn_mask=attn_mask, **rest)
        else:
            output, lse = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, **rest), None
        with torch.autocast(query.device.type, enabled=False):
            self.accumulator.add(self.kind, query, key, lse, attn_mask)
        return output


class _RecordingProcessor:
    """A layer's own processor, listened to."""

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
        with _Tap(self.accumulator, "self" if encoder_hidden_states is None else "cross"):
            return self.processor(attn, hidden_states, encoder_hidden_states, attention_mask, temb, *args, **kwargs)


@contextmanager
def record_unet(unet: Any) -> Iterator[Accumulator]:
    """Record every call of a UNet2DConditionModel inside the with-block, its whole batch taken as conditional.

    Averages run over all calls; ``Accumulator.restart`` begins another batch. ``SeediffError`` if the UNet is
    being recorded already or computes attention in a way that cannot be recorded.
    """
    accumulator = Accumulator()
    before = unet.attn_processors
    during = {name: _listen(name, processor, accumulator) for name, processor in before.items()}

    def begin(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        accumulator.begin((args[0] if args else kwargs["sample"]).shape)

    hook = unet.register_forward_pre_hook(begin, with_kwargs=True)
    try:
        unet.set_attn_processor(during)
        yield accumulator
    finally:
        unet.set_attn_processor(dict(before))
        hook.remove()


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


class Recording:
    """The attention of a pipeline's last call. ``maps`` may be read during and after the with-block."""

    def __init__(self, accumulator: Accumulator) -> None:
        self._accumulator = accumulator
        self._prompts: list[str] = []
        self._tokens: list[tuple[str, ...]] = []

    def begin(self, prompts: list[str], tokens: list[tuple[str, ...]]) -> None:
        """Start afresh, with one prompt for each image to come."""
        self._prompts, self._tokens = prompts, tokens
        self._accumulator.restart(images=len(prompts))

    @property
    def maps(self) -> list[AttentionMaps]:
        """One ``AttentionMaps`` per image, in the images' order, averaged over the UNet calls so far.

        Computed at each access, on the pipeline's device. ``SeediffError`` if nothing was sampled yet.
        """
        return self._accumulator.maps(self._prompts, self._tokens)


@contextmanager
def record_attention(pipe: Any) -> Iterator[Recording]:
    """Record each call of a text-to-image pipeline with a UNet; every call starts the recording afresh.

    Only the conditional half of classifier-free guidance counts. ``SeediffError`` for a pipeline without UNet,
    a recording inside another, a call without the text of its prompt, and images that are not square.
    """
    missing = [part for part in ("unet", "tokenizer", "encode_prompt") if not hasattr(pipe, part)]
    if missing:
        raise SeediffError(
            f"{type(pipe).__name__} has no {missing[0]}: its attention cannot be recorded.\n"
            "Use a pipeline with a UNet and a text prompt, such as StableDiffusionPipeline."
        )
    replaced = {name: value for name, value in vars(pipe).items() if name == "encode_prompt"}
    with record_unet(pipe.unet) as accumulator:
        recording = Recording(accumulator)
        pipe.encode_prompt = _announcing(pipe, recording)
        try:
            yield recording
        finally:
            del pipe.encode_prompt
            vars(pipe).update(replaced)


def _announcing(pipe: Any, recording: Recording) -> Callable[..., Any]:
    """The pipeline's encode_prompt, which it calls once a call and before sampling, telling the recording first."""
    encode_prompt = pipe.encode_prompt
    signature = inspect.signature(encode_prompt)

    def encode_and_begin(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        prompts = _prompts(bound.arguments["prompt"])
        copies = bound.arguments["num_images_per_prompt"]
        named = [one for one in zip(prompts, tokenize(pipe, prompts)) for _ in range(copies)]
        recording.begin([prompt for prompt, _ in named], [tokens for _, tokens in named])
        return encode_prompt(*args, **kwargs)

    return encode_and_begin


def _prompts(prompt: str | list[str] | None) -> list[str]:
    if prompt is None:
        raise SeediffError(
            "The words of an image are unknown when the pipeline is given prompt_embeds only.\nPass the text as prompt."
        )
    return [prompt] if isinstance(prompt, str) else list(prompt)


def tokenize(pipe: Any, prompts: list[str]) -> list[tuple[str, ...]]:
    """The pieces of each prompt, as many as the pipeline's text encoder is given, padding included."""
    if hasattr(pipe, "maybe_convert_prompt"):  # textual inversion: one word may stand for several tokens
        prompts = pipe.maybe_convert_prompt(prompts, pipe.tokenizer)
    length = pipe.tokenizer.model_max_length
    ids = pipe.tokenizer(prompts, padding="max_length", max_length=length, truncation=True).input_ids
    return [tuple(pipe.tokenizer.convert_ids_to_tokens(row)) for row in ids]
