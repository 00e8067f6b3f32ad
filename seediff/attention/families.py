"""Families of denoisers: where each keeps its attention, its text, its image and its clock.

A family is data: the recording asks it which layers to listen to, which positions of a layer are image and which are
text, and which tokens the text is made of. To support another one, write an entry here and a pipeline for its test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from seediff.attention.accumulator import CROSS, SELF
from seediff.attention.maps import Size
from seediff.attention.tokens import Pieces
from seediff.errors import SeediffError

JOINT = "joint"
"""Text and image in one sequence, which attends to itself."""
LINEAR = "linear"
"""Self-attention of the image without a softmax."""

Arguments = Mapping[str, Any]
"""Of a denoiser's forward, by name."""


@dataclass(frozen=True)
class Place:
    """Where a row's image and text are among the positions of a call.

    ``size``: (h, w) of the latents or, in a transformer, of their patches. ``text``, ``image``: their places in the
    ``total`` positions of a joint sequence or, where there is none, in a sequence of their own.
    """

    size: Size
    text: slice
    image: slice
    total: int = 0

    @property
    def tokens(self) -> int:
        return int(self.text.stop - self.text.start)


@dataclass(frozen=True)
class Family:
    """How a family of denoisers is recorded.

    ``denoisers``: names of diffusers' classes. ``layers``: patterns of the names of attention layers, and their kind:
    'self', 'linear', 'cross' or 'joint'. ``place``: where a row of the batch has its image and text, by the arguments
    of the denoiser's forward. ``text``: the arguments that hold the vectors of the text, in the order of the calls of
    encode_prompt that make them, and the tokens that these vectors stand for. ``grids``: pattern of the modules whose
    input (batch, channels, h, w) has the grid of the layers within, where that differs between layers. ``timestep``:
    the argument that holds the timestep; ``clock`` turns it into the scheduler's. ``perturbed``: an argument that calls
    for guidance alone have.
    """

    name: str
    denoisers: tuple[str, ...]
    layers: Mapping[str, str]
    place: Callable[[Any, Arguments, int], Place]
    text: Mapping[str, tuple[Pieces, ...]]
    grids: str = ""
    timestep: str = "timestep"
    clock: Callable[[float], float] = float
    perturbed: str = ""

    @property
    def tokenizers(self) -> list[str]:
        """Those whose tokens the vectors of the text stand for."""
        return [name for pieces in self.text.values() for piece in pieces for name in piece.tokenizers]

    def layers_of(self, denoiser: nn.Module) -> dict[str, str]:
        """The attention layers of a denoiser that are recorded, and the kind of each."""
        return {
            name: kind
            for name, _ in denoiser.named_modules()
            for pattern, kind in self.layers.items()
            if re.fullmatch(pattern, name)
        }

    def grids_of(self, denoiser: nn.Module) -> Iterator[nn.Module]:
        return (module for name, module in denoiser.named_modules() if self.grids and re.fullmatch(self.grids, name))


# --- where the image is ----------------------------------------------------------------------------------------------


def _patches(denoiser: Any, arguments: Arguments) -> Size:
    """Of latents (batch, channels, height, width)."""
    height, width = arguments["hidden_states"].shape[2:]
    return height // denoiser.config.patch_size, width // denoiser.config.patch_size


def _own_ids(arguments: Arguments) -> Any:
    """The coordinates (t, y, x, ...) of the image's own positions; those of reference images have another t."""
    ids = arguments["img_ids"]
    ids = ids[0] if ids.ndim == 3 else ids
    return ids[ids[:, 0] == 0]


def _ids(_: Any, arguments: Arguments) -> Size:
    rows, columns = _own_ids(arguments)[:, 1:3].amax(0).tolist()
    return int(rows) + 1, int(columns) + 1


def _shapes(_: Any, arguments: Arguments) -> Size:
    shape = arguments["img_shapes"][0]
    (_, height, width), *others = shape if isinstance(shape, list) else [shape]
    if others:
        raise SeediffError("Attention to reference images cannot be recorded.\nDraw from a prompt alone.")
    return height, width


def _rope(_: Any, arguments: Arguments) -> Size:
    _, rows, columns = arguments["visual_rope_pos"]
    return len(rows), len(columns)


# --- where image and text are ----------------------------------------------------------------------------------------


def _latents(_: Any, arguments: Arguments, row: int) -> Place:
    """Of a UNet, whose layers have grids of their own."""
    sample, text = arguments["sample"], arguments["encoder_hidden_states"]
    if sample.ndim != 4:
        raise SeediffError(
            f"Attention is recorded for images only; the latents have {sample.ndim} dimensions, as of a video."
        )
    height, width = sample.shape[2:]
    return Place((height, width), slice(0, text.shape[1]), slice(0, height * width))


def _apart(
    denoiser: nn.Module,
    arguments: Arguments,
    row: int,
    size: Callable[[Any, Arguments], Size] = _patches,
    texts: Sequence[str] = ("encoder_hidden_states",),
) -> Place:
    """Image and text in sequences of their own; several texts one after the other."""
    height, width = size(denoiser, arguments)
    tokens = sum(arguments[name].shape[1] for name in texts)
    return Place((height, width), slice(0, tokens), slice(0, height * width))


def _text_first(
    denoiser: Any, arguments: Arguments, row: int, size: Callable[[Any, Arguments], Size] = _patches
) -> Place:
    height, width = size(denoiser, arguments)
    return _one_after_the_other(0, arguments["encoder_hidden_states"].shape[1], (height, width))


def _one_after_the_other(before: int, tokens: int, size: Size, further: int = 0) -> Place:
    text, image = before + tokens, before + tokens + size[0] * size[1]
    return Place(size, slice(before, text), slice(text, image), image + further)


def _ids_after_text(denoiser: Any, arguments: Arguments, row: int) -> Place:
    """Reference images follow the image."""
    further = arguments["img_ids"].shape[-2] - len(_own_ids(arguments))
    return _one_after_the_other(0, arguments["encoder_hidden_states"].shape[1], _ids(denoiser, arguments), further)


def _image_first(denoiser: Any, arguments: Arguments, row: int) -> Place:
    height, width = _patches(denoiser, arguments)
    image, tokens = height * width, arguments["encoder_hidden_states"].shape[1]
    return Place((height, width), slice(image, image + tokens), slice(0, image), image + tokens)


def _after_registers(denoiser: Any, arguments: Arguments, row: int) -> Place:
    """Learned vectors stand in front of the text."""
    registers = denoiser.register_tokens.shape[1]
    tokens = arguments["encoder_hidden_states"].shape[1]
    return _one_after_the_other(registers, tokens, _patches(denoiser, arguments))


def _after_attended_text(denoiser: Any, arguments: Arguments, row: int) -> Place:
    """Each row has as much text as its mask says, then its image; the longest row sets the length."""
    tokens = arguments["encoder_attention_mask"].sum(1).tolist()
    size = _patches(denoiser, arguments)
    return _one_after_the_other(0, int(tokens[row]), size, int(max(tokens) - tokens[row]))


def _padded_to(multiple: int, number: int) -> int:
    return -(-number // multiple) * multiple


def _listed(denoiser: Any, arguments: Arguments, row: int) -> Place:
    """Each row has its image and its text, each filled up to a multiple of 32; the longest row sets the length."""
    images, texts = arguments["x"], arguments["cap_feats"]
    patch = denoiser.config.all_patch_size[0]
    height, width = (side // patch for side in images[row].shape[-2:])
    filled = [_padded_to(32, image[0].numel() // patch**2) for image in images]
    total = max(image + _padded_to(32, len(text)) for image, text in zip(filled, texts, strict=True))
    text = slice(filled[row], filled[row] + len(texts[row]))
    return Place((height, width), text, slice(0, height * width), total)


# --- which tokens have vectors ---------------------------------------------------------------------------------------


def _attended(encoding: Any, length: int) -> list[int]:
    """Padding has no vector."""
    return [at for at, attended in enumerate(encoding.attention_mask) if attended]


def _after_template(encoding: Any, length: int, template: int) -> list[int | None]:
    """Without the begin of the template; shorter texts of a batch have vectors without a token at their end."""
    kept = _attended(encoding, length)[template:][:length]
    return [*kept, *[None] * (length - len(kept))]


def _from(template: int, encoding: Any, length: int) -> range:
    return range(template, len(encoding.ids))


def _padded_on_the_left(encoding: Any, length: int) -> list[int | None]:
    return [*[None] * (length - len(encoding.ids)), *range(len(encoding.ids))]


def _first_and_last(encoding: Any, length: int) -> list[int]:
    """The first token, and the last ones, where the prompt is."""
    return [0, *range(len(encoding.ids) - length + 1, len(encoding.ids))]


# --- the families ----------------------------------------------------------------------------------------------------

PER_MILLE = 1000.0
"""Flow models count their time from 0 to 1; their scheduler counts to 1,000."""
PROMPT = {"encoder_hidden_states": (Pieces(),)}
CHAT = "<|im_start|>user\n"
"""What stands right before a prompt in a conversation with Qwen."""


def _share(given: float) -> float:
    return PER_MILLE * given


def _share_left(given: float) -> float:
    return PER_MILLE * (1 - given)


_TWO_STREAMS = {r"(single_)?transformer_blocks\.\d+\.attn": JOINT}
_TWO_LAYERS = {r"transformer_blocks\.\d+\.attn1": SELF, r"transformer_blocks\.\d+\.attn2": CROSS}

FAMILIES = (
    Family(
        "Stable Diffusion",
        ("UNet2DConditionModel",),
        {
            r".*attentions\.\d+\.transformer_blocks\.\d+\.attn1": SELF,
            r".*attentions\.\d+\.transformer_blocks\.\d+\.attn2": CROSS,
        },
        _latents,
        {"encoder_hidden_states": (Pieces(beside="tokenizer_2"),)},
        grids=r".*attentions\.\d+",
    ),
    Family("PixArt", ("PixArtTransformer2DModel",), _TWO_LAYERS, _apart, PROMPT),
    Family(
        "Stable Diffusion 3",
        ("SD3Transformer2DModel",),
        {r"transformer_blocks\.\d+\.attn": JOINT, r"transformer_blocks\.\d+\.attn2": SELF},
        _image_first,
        {"encoder_hidden_states": (Pieces(beside="tokenizer_2"), Pieces("tokenizer_3"))},
        perturbed="skip_layers",
    ),
    Family(
        "FLUX.1",
        ("FluxTransformer2DModel",),
        _TWO_STREAMS,
        _ids_after_text,
        {"encoder_hidden_states": (Pieces("tokenizer_2"),)},
        clock=_share,
    ),
    Family(
        "FLUX.2",
        ("Flux2Transformer2DModel",),
        _TWO_STREAMS,
        _ids_after_text,
        {"encoder_hidden_states": (Pieces(template=CHAT),)},
        clock=_share,
    ),
    Family("Chroma", ("ChromaTransformer2DModel",), _TWO_STREAMS, _ids_after_text, PROMPT, clock=_share),
    Family(
        "Qwen-Image",
        ("QwenImageTransformer2DModel",),
        _TWO_STREAMS,
        partial(_text_first, size=_shapes),
        {"encoder_hidden_states": (Pieces(columns=partial(_after_template, template=34), template=CHAT),)},
        clock=_share,
    ),
    Family(
        "Z-Image",
        ("ZImageTransformer2DModel",),
        {r"layers\.\d+\.attention": JOINT},
        _listed,
        {"cap_feats": (Pieces(columns=_attended, template=CHAT),)},
        timestep="t",
        clock=_share_left,
    ),
    Family(
        "AuraFlow",
        ("AuraFlowTransformer2DModel",),
        {r"(joint|single)_transformer_blocks\.\d+\.attn": JOINT},
        _after_registers,
        PROMPT,
        clock=_share,
    ),
    Family(
        "Hunyuan-DiT",
        ("HunyuanDiT2DModel",),
        {r"blocks\.\d+\.attn1": SELF, r"blocks\.\d+\.attn2": CROSS},
        partial(_apart, texts=("encoder_hidden_states", "encoder_hidden_states_t5")),
        {"encoder_hidden_states": (Pieces(),), "encoder_hidden_states_t5": (Pieces("tokenizer_2"),)},
    ),
    Family(
        "Kandinsky 5",
        ("Kandinsky5Transformer3DModel",),
        {
            r"visual_transformer_blocks\.\d+\.self_attention": SELF,
            r"visual_transformer_blocks\.\d+\.cross_attention": CROSS,
        },
        partial(_apart, size=_rope),
        {"encoder_hidden_states": (Pieces(columns=partial(_from, 40), template=CHAT),)},
    ),
    Family(
        "Lumina-Image 2",
        ("Lumina2Transformer2DModel",),
        {r"layers\.\d+\.attn": JOINT},
        _after_attended_text,
        {"encoder_hidden_states": (Pieces(columns=_attended, template=" <Prompt Start> "),)},
        clock=_share_left,
    ),
    Family(
        "CogView4",
        ("CogView4Transformer2DModel",),
        {r"transformer_blocks\.\d+\.attn1": JOINT},
        _text_first,
        {"encoder_hidden_states": (Pieces(columns=_padded_on_the_left),)},
    ),
    Family("PRX", ("PRXTransformer2DModel",), {r"blocks\.\d+\.attention": JOINT}, _text_first, PROMPT, clock=_share),
    Family(
        "Sana",
        ("SanaTransformer2DModel",),
        {r"transformer_blocks\.\d+\.attn1": LINEAR, r"transformer_blocks\.\d+\.attn2": CROSS},
        _apart,
        {"encoder_hidden_states": (Pieces(columns=_first_and_last, template="User Prompt: "),)},
    ),
)


def family_of(denoiser: Any) -> Family:
    """``SeediffError`` if the denoiser is of no known family."""
    names = [kind.__name__ for kind in type(denoiser).__mro__]
    for family in FAMILIES:
        if {*family.denoisers} & {*names}:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise SeediffError(
        f"The attention of a {names[0]} cannot be recorded: it is of no known family.\nThese are known: {known}."
    )
