"""Masks of photographs: what a few calls of the denoiser attend to, on the photograph with a little noise.

    labels = segment(pipe, photograph, ["dog", "sofa"])       # (H, W) uint8: 0 background, 1 dog, 2 sofa

The prompt names what is looked for. The denoiser sees the photograph in its own proportions, with about as many pixels
as the pipeline draws. Scores are refined at that size, and enlarged to the photograph's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
from annotated_types import Ge, Le, Len
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from seediff.attention.calls import Calls, LookAgain, Timestep
from seediff.attention.maps import AttentionMaps
from seediff.datasets.class_lists import check_listed
from seediff.datasets.classes import MOST_CLASSES
from seediff.datasets.images import Array, displayed_size, pixels_of
from seediff.datasets.pair_folder import CHECKSUMS, PairFolder
from seediff.datasets.photographs import Photograph, photographs_in, read_photographs
from seediff.diffusion.loading import load
from seediff.diffusion.looking import check_looks, look_as, look_seed
from seediff.diffusion.model_files import identity
from seediff.errors import SeediffError
from seediff.finite import naming
from seediff.masks.make import make_labels
from seediff.masks.refinement import SOFT_PAMR, Refinement
from seediff.masks.variants import ALPHA, VARIANTS, Steps, calls_of, named_steps, resolve
from seediff.names import repeated
from seediff.prompts.words import caption, place_word
from seediff.settings import Threshold, check_bounds
from seediff.versions import VERSIONS

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

Size = tuple[int, int]
"""Height and width."""

LOW_NOISE = 150
"""The timestep at which one call shows as much as several over all of them (docs/masks.md)."""
LONGEST = 8
"""A photograph may be as many times as long as it is wide."""


@dataclass(frozen=True)
class Query:
    """What is looked for in photographs, and how.

    ``words``: they have the labels 1, 2, ... ``prompt``: has all of them; 'a photo of a dog and a sofa' if left out.
    ``variant``: how scores are made, a name or a list of steps. ``timesteps``: how much noise is added, for a call of
    the denoiser each; ``LOW_NOISE`` if left out, as it must be where a variant looks again, at its own timestep.
    ``alpha``, ``beta``, ``refinement``: as in ``make_labels``.
    """

    words: Annotated[tuple[str, ...], Len(1, MOST_CLASSES)]
    prompt: str | None = None
    variant: str | tuple[object, ...] = "look"
    timesteps: Annotated[tuple[Timestep, ...], Len(1)] | None = None
    alpha: Annotated[float, Ge(0), Le(1)] = ALPHA
    beta: Threshold = 0.3
    refinement: Refinement | None = SOFT_PAMR
    rng_seed: int = 0

    def __post_init__(self) -> None:
        check_bounds("Query", self)
        if twice := repeated(self.words):
            raise SeediffError(f"The word {twice[0]!r} is named twice.")
        for word in self.words:
            place_word(self.text, word)
        if isinstance(self.calls, LookAgain) and self.timesteps is not None:
            others = [name for name, steps in VARIANTS.items() if not isinstance(calls_of(steps), LookAgain)]
            raise SeediffError(
                f"The variant always looks at timestep {self.calls.timestep}, so other timesteps have no effect.\n"
                f"Leave them out, or choose a variant that uses them: {', '.join(others)}."
            )

    @property
    def calls(self) -> Calls:
        """What of the denoiser's calls the scores are made from."""
        return calls_of(resolve(named_steps(self.variant), alpha=self.alpha))

    @property
    def schedule(self) -> tuple[int, ...]:
        """The timesteps that stand for those of a denoising run."""
        return (LOW_NOISE,) if self.timesteps is None else self.timesteps

    @property
    def settings(self) -> dict[str, Any]:
        """What label maps depend on, ready for JSON: timesteps only where they are used."""
        settings = asdict(self) | {"timesteps": self.schedule}
        if isinstance(self.calls, LookAgain):
            del settings["timesteps"]
        return cast("dict[str, Any]", json.loads(json.dumps(settings)))

    @property
    def text(self) -> str:
        """The prompt."""
        return self.prompt if self.prompt is not None else caption(self.words)[0]

    @property
    def starts(self) -> list[tuple[int, ...]]:
        """For each word, where it begins in the prompt; every place counts in a prompt of the user's own."""
        if self.prompt is not None:
            return [()] * len(self.words)
        return [(start,) for start in caption(self.words)[1]]


def segment(
    pipe: StableDiffusionPipeline,
    image: Image.Image | NDArray[np.uint8],
    words: Sequence[str],
    prompt: str | None = None,
    variant: str | Sequence[object] = "look",
    timesteps: Sequence[int] | None = None,
    alpha: float = ALPHA,
    beta: float = 0.3,
    refinement: Refinement | None = SOFT_PAMR,
    rng_seed: int = 0,
) -> NDArray[np.uint8]:
    """Where the words are in a photograph: (H, W) uint8 of its own size, 0 background, k where ``words[k - 1]`` is.

    ``image``: a PIL image or (H, W, 3) uint8 of any size. ``prompt``: has all words; 'a photo of a dog and a sofa' if
    left out. ``variant``: how scores are made, a name or a list of steps. ``timesteps``: how much noise is added, from
    0 to 999, for a call of the denoiser each; 150 if left out, as it must be where a variant looks again, at its own
    timestep. ``alpha``, ``beta``, ``refinement``: as in ``make_labels``. ``rng_seed``: which noise. ``SeediffError``
    for another pipeline than one of Stable Diffusion 1 and 2, words that the prompt lacks or is cut off before, a
    photograph that is far longer than wide, what is not finite, and what is no such image.
    """
    listed = _listed(words), prompt, _listed(variant), _listed(timesteps)
    query = Query(*listed, alpha, beta, refinement, rng_seed)
    return segment_batch(pipe, [pixels_of(image)], query)[0]


def _listed(given: Any) -> Any:
    """A list as a query has it; a text, or what is no list, as it is: the query says whether it may be."""
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else given


def segment_batch(pipe: StableDiffusionPipeline, photographs: Sequence[Array], query: Query) -> list[Array]:
    """``segment`` for several photographs that the denoiser sees at the same size (``working_size``)."""
    calls = query.calls
    looks = look_at_photographs(pipe, photographs, query, [calls])
    return [
        make_labels(
            maps[calls],
            query.words,
            image,
            cast("str | Steps", query.variant),
            query.alpha,
            query.beta,
            query.refinement,
            query.starts,
            photograph.shape[:2],
        )
        for (image, maps), photograph in zip(looks, photographs, strict=True)
    ]


def look_at_photographs(
    pipe: StableDiffusionPipeline, photographs: Sequence[Array], query: Query, recordings: Sequence[Calls]
) -> list[tuple[Array, dict[Calls, AttentionMaps]]]:
    """Each photograph as the denoiser sees it, all at the same size, and its attention by recording."""
    check_looks(pipe)
    (size,) = {working_size(pipe, photograph.shape[:2]) for photograph in photographs}
    images = np.stack([_resized(photograph, size) for photograph in photographs])
    texts = [query.text] * len(images)
    recorded = look_as(pipe, images, texts, query.schedule, recordings, lambda _, at: look_seed(query.rng_seed, at))
    return [*zip(images, recorded, strict=True)]


def working_size(pipe: StableDiffusionPipeline, size: tuple[int, ...]) -> Size:
    """The height and width at which the denoiser sees a photograph of that height and width.

    Its proportions are kept as far as every level of the UNet is whole. ``SeediffError`` if it is far longer than wide.
    """
    height, width = size
    if max(height, width) > LONGEST * min(height, width):
        raise SeediffError(
            f"A photograph of {width} x {height} pixels is more than {LONGEST} times as long as wide.\n"
            "Cut it into parts."
        )
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    unit = pipe.vae_scale_factor * 2 ** (len(pipe.unet.config.down_block_types) - 1)
    scale = side / sqrt(height * width)
    return _whole(height * scale, unit), _whole(width * scale, unit)


def _whole(side: float, unit: int) -> int:
    return max(unit, round(side / unit) * unit)


def _resized(photograph: Array, size: Size) -> Array:
    if photograph.shape[:2] == size:
        return photograph
    picture = Image.fromarray(photograph)
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, reducing_gap=3.0))


# --- folders of photographs


def segment_files(
    model: str,
    sources: Sequence[Path],
    query: Query,
    output: Path,
    batch_size: int = 4,
    dtype: str = "float32",
) -> list[str]:
    """Write a label map of every photograph below ``output`` (``datasets.pair_folder``), with a copy of the photograph.

    ``sources``: files, or folders of them. Finished photographs of an earlier call with the same settings are kept.
    Returns what could not be read, and why; the others are finished. ``SeediffError``, before anything is written, if
    there are none, if two have the same name, for a model that is not there, and for a folder that holds label maps of
    another model, of other settings, or of another photograph of the same name.
    """
    check_listed(query.words)
    found, pairs = photographs_in(sources), PairFolder(output)
    settings = {**query.settings, "dtype": dtype, "versions": {"refine": VERSIONS["refine"]}}
    pairs.check_settings(settings)
    unfinished = pairs.unfinished(found)
    if not unfinished:
        pairs.check_model(identity(model))
        return []
    pipe = load(model, dtype)
    checksums = identity(model)
    pairs.check_model(checksums)
    failures = list[str]()
    pairs.write_classes(query.words)
    pairs.note({"model": model, **settings, CHECKSUMS: checksums})
    with tqdm(total=len(unfinished), unit="photograph", mininterval=5) as progress:
        for batch in _batches(pipe, unfinished, batch_size, failures):
            with naming([str(photograph.path) for photograph in batch]):
                masks = segment_batch(pipe, [photograph.image for photograph in batch], query)
            for photograph, mask in zip(batch, masks, strict=True):
                pairs.write(photograph.path.name, photograph.content, photograph.image, mask)
            progress.update(len(batch))
    return failures


def _batches(
    pipe: StableDiffusionPipeline, paths: Sequence[Path], batch_size: int, failures: list[str]
) -> Iterator[list[Photograph]]:
    """The photographs that can be read, in batches of one working size; why others cannot goes to ``failures``."""
    sizes: dict[Size, list[Path]] = {}
    for path in paths:
        try:
            width, height = displayed_size(path)
            sizes.setdefault(working_size(pipe, (height, width)), []).append(path)
        except SeediffError as error:
            failures.append(str(error).replace("\n", " "))
    for of_size in sizes.values():
        readable = read_photographs(of_size, failures)
        while batch := [*islice(readable, batch_size)]:
            yield batch
