"""From prompts to images and scores: a single denoising run per image feeds every variant."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from seediff.attention.calls import ALL, Calls, LookAgain, Record
from seediff.attention.families import family_of
from seediff.attention.maps import AttentionMaps, ClassMaps
from seediff.attention.recording import denoiser_of, record_denoising
from seediff.attention.tokens import tokenize
from seediff.diffusion.looking import check_looks, look, look_seed
from seediff.diffusion.pipelines import Kind, check_negatable, kind_of
from seediff.errors import SeediffError
from seediff.finite import naming, within
from seediff.masks.variants import apply, calls_of
from seediff.names import reason
from seediff.prompts.prompt_sets import Prompt
from seediff.prompts.words import place_word
from seediff.settings import AtOnce, GuidanceScale, Pixels, Timesteps, check_bounds


@dataclass(frozen=True)
class Sampling:
    """How images are sampled; ``batch_size`` images at a time, which changes speed and, at most, last digits.

    ``guidance_scale``: of whatever guidance the pipeline has; 0 or 1 without. ``height``, ``width``: in pixels.
    ``negative_prompt``: what guidance leads away from. What is left out is the pipeline's own.
    """

    num_inference_steps: Timesteps | None = None
    guidance_scale: GuidanceScale | None = None
    batch_size: AtOnce = 8
    height: Pixels | None = None
    width: Pixels | None = None
    negative_prompt: str | None = None

    def __post_init__(self) -> None:
        check_bounds("Sampling", self)


@dataclass(frozen=True)
class Drawn:
    """``image``: (H, W, 3) uint8; ``recorded``: its attention, by the calls of the denoiser that were recorded."""

    prompt: Prompt
    image: NDArray[np.uint8]
    recorded: Mapping[Calls, AttentionMaps]

    def class_maps(self, calls: Calls = ALL) -> ClassMaps:
        """The attention as it concerns the prompt's class word, at its place."""
        return self.recorded[calls].for_word(self.prompt.class_word, self.prompt.word_starts)


def draw(
    pipe: Any, prompts: Sequence[Prompt], sampling: Sampling, recordings: Collection[Calls] = (ALL,)
) -> Iterator[Drawn]:
    """Draw each prompt's image with its attention recorded, in order.

    Every image's noise comes from its own CPU generator, so it is the same whatever batch it is in. Raises
    ``SeediffError``, before anything is drawn, for a pipeline that images are not drawn with, a size that it does not
    draw, a negative prompt without effect, and a prompt that lacks its class word or is cut off before it; and, naming
    the image, for the first value that is not finite.
    """
    records = [calls for calls in recordings if isinstance(calls, Record)]
    looks = [calls for calls in recordings if isinstance(calls, LookAgain)]
    kind = kind_of(pipe)
    if looks:
        check_looks(pipe, "Use a variant that does not begin with look_again, such as ca_sa.")
    _check_size(pipe, sampling)
    check_words(pipe, prompts)
    sampling = completed(sampling, pipe)
    _check_negative(pipe, kind, sampling)
    size = min(sampling.batch_size, kind.at_once)
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        with naming(list(map(named, batch))), record_denoising(pipe, records) as recording:
            pixels = _images(pipe, kind, batch, sampling)
            recorded: dict[Calls, list[AttentionMaps]] = {record: recording.of(record) for record in records}
        recorded |= looks_at(pipe, batch, pixels, looks)
        for at, (prompt, image) in enumerate(zip(batch, pixels, strict=True)):
            yield Drawn(prompt, image, {calls: maps[at] for calls, maps in recorded.items()})


def completed(sampling: Sampling, pipe: Any) -> Sampling:
    """The sampling with the pipeline's own number of steps and scale of guidance in place of those left out."""
    own = inspect.signature(type(pipe).__call__).parameters
    arguments = {"num_inference_steps": "num_inference_steps", "guidance_scale": kind_of(pipe).guidance}
    missing = {name: own[argument].default for name, argument in arguments.items() if getattr(sampling, name) is None}
    return replace(sampling, **missing)


def _images(pipe: Any, kind: Kind, batch: Sequence[Prompt], sampling: Sampling) -> NDArray[np.uint8]:
    """The images (n, H, W, 3) of a batch; ``SeediffError`` if the pipeline does not draw them like this."""
    given: dict[str, Any] = {kind.guidance: sampling.guidance_scale, **_sides(sampling), **kind.arguments}
    negative = kind.negative if sampling.negative_prompt is None else sampling.negative_prompt
    if negative is not None and (sampling.guidance_scale or 0) > 1:
        given["negative_prompt"] = [negative] * len(batch)
    try:
        images = pipe(
            prompt=[prompt.prompt for prompt in batch],
            generator=[torch.Generator("cpu").manual_seed(prompt.rng_seed) for prompt in batch],
            num_inference_steps=sampling.num_inference_steps,
            output_type="np",
            return_dict=False,
            **given,
        )[0]
    except ValueError as error:
        raise SeediffError(f"A {type(pipe).__name__} cannot draw like this: {reason(error)}") from error
    drawn = dict(zip(("height", "width"), images.shape[1:3], strict=True))
    if any(drawn[name] != side for name, side in _sides(sampling).items()):
        raise SeediffError(
            f"A {type(pipe).__name__} drew {drawn['width']} x {drawn['height']} pixels instead of the size that was"
            " asked for: it has sizes of its own.\nAsk for one of them, or leave height and width out."
        )
    return (images * 255).round().astype(np.uint8)


def _sides(sampling: Sampling) -> dict[str, int]:
    """The height and width that are asked for."""
    sides = {"height": sampling.height, "width": sampling.width}
    return {name: side for name, side in sides.items() if side is not None}


def _check_size(pipe: Any, sampling: Sampling) -> None:
    """Raise ``SeediffError`` for a size that is not whole in positions of the denoiser."""
    patch = getattr(denoiser_of(pipe).config, "patch_size", None)
    unit = getattr(pipe, "vae_scale_factor", 8) * (patch if isinstance(patch, int) else 1)
    for name, side in _sides(sampling).items():
        if side % unit:
            raise SeediffError(f"The {name} is {side}, but a {type(pipe).__name__} draws multiples of {unit} pixels.")


def _check_negative(pipe: Any, kind: Kind, sampling: Sampling) -> None:
    """Raise ``SeediffError`` for a negative prompt that has no effect."""
    if sampling.negative_prompt is None:
        return
    check_negatable(kind, sampling.guidance_scale)
    if getattr(denoiser_of(pipe).config, "time_cond_proj_dim", None) is not None:
        raise SeediffError(
            "A negative prompt has no effect with this model: its UNet is given the scale of guidance as a number.\n"
            "Leave negative_prompt out."
        )


def check_words(pipe: Any, prompts: Sequence[Prompt]) -> None:
    """Raise ``SeediffError`` for a prompt that lacks its class word, or is cut off before it where CLIP alone reads it.

    What other text encoders keep is known once they have read it.
    """
    if not _is_read_by_clip_alone(pipe):
        for prompt in prompts:
            place_word(prompt.prompt, prompt.class_word, prompt.word_starts)
        return
    for prompt, tokenized in zip(prompts, tokenize(pipe, [prompt.prompt for prompt in prompts]), strict=True):
        tokenized.indices(prompt.class_word, prompt.word_starts)


def _is_read_by_clip_alone(pipe: Any) -> bool:
    known = family_of(denoiser_of(pipe)).tokenizers
    is_alone = [name for name in known if getattr(pipe, name, None) is not None] == ["tokenizer"]
    return is_alone and type(pipe.tokenizer).__name__.startswith("CLIPTokenizer")


def redraw(
    pipe: Any,
    prompts: Sequence[Prompt],
    images: Iterable[NDArray[np.uint8]],
    batch_size: int,
    recordings: Sequence[LookAgain],
) -> Iterator[Drawn]:
    """What ``draw`` gives for recordings that only look again, of the prompts' finished images (H, W, 3)."""
    following = iter(images)
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        pixels = np.stack([*islice(following, len(batch))])
        recorded = looks_at(pipe, batch, pixels, recordings)
        for at, (prompt, image) in enumerate(zip(batch, pixels, strict=True)):
            yield Drawn(prompt, image, {calls: maps[at] for calls, maps in recorded.items()})


def looks_at(
    pipe: Any, prompts: Sequence[Prompt], images: NDArray[np.uint8], looks: Sequence[LookAgain]
) -> dict[Calls, list[AttentionMaps]]:
    """Other looks at the prompts' finished images (n, H, W, 3), with noise that follows from their seeds."""
    seeds = {look.timestep: [look_seed(prompt.rng_seed, look.timestep) for prompt in prompts] for look in looks}
    if not seeds:
        return {}
    with naming(list(map(named, prompts))):
        texts = [prompt.prompt for prompt in prompts]
        return look(pipe, images, texts, seeds, {look: [look.timestep] for look in looks})


def named(prompt: Prompt) -> str:
    """A drawn image as an error names it."""
    return f"{prompt.key} ({prompt.prompt!r})"


def score_variants(drawn: Drawn, variants: Mapping[str, Any]) -> dict[str, NDArray[np.float16]]:
    """Every variant's score of the class: (h, w) float16 in [0, 1] at the latents' size."""
    scores = {}
    for name, steps in variants.items():
        with within(f"variant {name!r}"):
            scores[name] = apply(steps, drawn.class_maps(calls_of(steps))).cpu().numpy().astype(np.float16)
    return scores


def scored(
    images: Iterable[Drawn], number: int, variants: Mapping[str, Any]
) -> Iterator[tuple[Drawn, dict[str, NDArray[np.float16]]]]:
    """Each of ``number`` images with every variant's score, with progress."""
    for drawn in tqdm(images, total=number, unit="image", mininterval=5):
        with naming([named(drawn.prompt)]):
            scores = score_variants(drawn, variants)
        yield drawn, scores
