"""What fused attention was given, and its softmax in float64: the oracle of everything that records attention."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from seediff.attention.maps import AttentionMaps
from seediff.attention.recording import denoiser_of, record_attention
from tests.tiny_pipelines import FAMILIES, call

Maps = dict[tuple[str, int], Tensor]
"""By kind and number of positions."""
NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


@dataclass
class Seen:
    """One attention of one layer: head-averaged probabilities of the whole batch, (batch, queries, keys)."""

    layer: str
    call: int
    probabilities: Tensor


class Oracle(TorchFunctionMode):
    """Writes down what fused attention is given, and computes its softmax in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.layers: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention and self.layers:
            given = dict(zip(NAMES, args, strict=False)) | (kwargs or {})
            self.seen.append(Seen(self.layers[-1], len(self.calls) - 1, explicit(**given)))
        return output


def explicit(
    query: Tensor, key: Tensor, attn_mask: Tensor | None = None, scale: float | None = None, **_: Any
) -> Tensor:
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    logits = query.double() @ key.double().mT * (query.shape[3] ** -0.5 if scale is None else scale)
    if attn_mask is not None:
        is_seen = attn_mask.dtype == torch.bool
        logits = logits.masked_fill(~attn_mask, -torch.inf) if is_seen else logits + attn_mask.double()
    return logits.softmax(-1).mean(1)


def linear(layer: Any, hidden: Tensor) -> Tensor:
    """Sana's self-attention, from its input."""
    query, key = (F.relu(project(hidden)).double() for project in (layer.to_q, layer.to_k))
    products = torch.einsum("bnhd,bmhd->bhnm", *(part.unflatten(-1, (layer.heads, -1)) for part in (query, key)))
    return (products / (products.sum(-1, keepdim=True) + 1e-15)).mean(1)


@contextmanager
def oracle(pipe: Any) -> Iterator[Oracle]:
    """Fused attention inside the block, by layer and call of the denoiser."""
    denoiser, found, hooks = denoiser_of(pipe), Oracle(), []

    def leave(*_: Any) -> None:
        found.layers.pop()

    def attend_linearly(module: Any, args: tuple[Any, ...]) -> None:
        found.seen.append(Seen(found.layers[-1], len(found.calls) - 1, linear(module, args[0])))

    for name, module in denoiser.named_modules():
        if name.rpartition(".")[2] in ("attn", "attn1", "attn2", "attention", "self_attention", "cross_attention"):
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: found.layers.append(name)))
            hooks.append(module.register_forward_hook(leave))
        if "Linear" in type(getattr(module, "processor", None)).__name__:
            hooks.append(module.register_forward_pre_hook(attend_linearly))
    hooks.append(denoiser.register_forward_pre_hook(lambda *given: found.calls.append(given), with_kwargs=True))
    try:
        with found:
            yield found
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Sequence:
    """Where a test expects image and text in joint attention, and the images' own rows.

    ``before``: positions before the text. ``filled``: image positions, where they come first, are filled up to a
    multiple of it. ``rows``: the images' own are the batch's 'last', its 'first', or all of every second 'call'.
    """

    rows: str
    is_joint: bool = True
    before: int = 0
    filled: int = 0


SEQUENCES = {
    "stable_diffusion": Sequence("last", is_joint=False),
    "stable_diffusion_xl": Sequence("last", is_joint=False),
    "ssd": Sequence("last", is_joint=False),
    "pixart_alpha": Sequence("last", is_joint=False),
    "pixart_sigma": Sequence("last", is_joint=False),
    "sd3": Sequence("last", filled=1),
    "flux": Sequence("call"),
    "flux2_klein": Sequence("call"),
    "chroma": Sequence("call"),
    "qwen_image": Sequence("call"),
    "z_image": Sequence("first", filled=32),
    "aura_flow": Sequence("last", before=8),
    "hunyuan_dit": Sequence("last", is_joint=False),
    "kandinsky5": Sequence("call", is_joint=False),
    "lumina2": Sequence("call"),
    "cogview4": Sequence("call"),
    "prx": Sequence("last"),
    "sana": Sequence("last", is_joint=False),
}
OWN = ("attn1", "self_attention")
"""Names of layers in which the image attends to itself alone."""
PROMPTS = ["a photo of a cat", "a photo of a bus on the sand"]


def expected(found: Oracle, sequence: Sequence, image: int, images: int, maps: AttentionMaps) -> Maps:
    """Eq. 5 of one image: the mean of each layer's map divided by its maximum, by kind and number of positions."""
    layers = defaultdict(list)
    sizes, tokens = {h * w for h, w in maps.self_attention}, len(maps.tokens)
    for seen in found.seen:
        if "refiner" in seen.layer or seen.layer.startswith("text_") or (sequence.rows == "call" and seen.call % 2):
            continue
        batch, queries, keys = seen.probabilities.shape
        whole = seen.probabilities[image + (batch - images if sequence.rows == "last" else 0)]
        if not sequence.is_joint or (keys in sizes and queries in sizes):
            layers["self" if sequence.is_joint or seen.layer.endswith(OWN) else "cross", queries].append(whole)
            continue
        (positions,) = sizes
        start = -(-positions // sequence.filled) * sequence.filled if sequence.filled else sequence.before
        text = slice(start, start + tokens)
        own = slice(0, positions) if sequence.filled else slice(text.stop, text.stop + positions)
        rows = whole if queries == positions else whole[own]
        layers["cross", positions].append(rows[:, text])
        layers["self", positions].append(rows[:, own])
    return {kind: sum(each / each.max() for each in every) / len(every) for kind, every in layers.items()}


def assert_exact(maps: AttentionMaps, oracle: Maps) -> float:
    """The largest difference."""
    ours = {("cross", h * w): found for (h, w), found in maps.cross_attention.items()}
    ours |= {("self", h * w): found for (h, w), found in maps.self_attention.items()}
    assert ours.keys() == oracle.keys()
    for kind, theirs in oracle.items():
        assert theirs.std() > 0.05 * theirs.mean(), "or the comparison would say little"
        torch.testing.assert_close(ours[kind].double(), theirs, atol=1e-5, rtol=0)
    return max(float((ours[kind] - theirs).abs().max()) for kind, theirs in oracle.items())


@dataclass(frozen=True)
class Drawn:
    """A pipeline, the image that it draws of the first prompt, and what was recorded meanwhile."""

    name: str
    pipe: Any
    image: Tensor
    recorded: Tensor
    found: Oracle
    maps: AttentionMaps

    @property
    def error(self) -> float:
        """The largest difference between what was recorded and the oracle."""
        return assert_exact(self.maps, expected(self.found, SEQUENCES[self.name], 0, 1, self.maps))


def draw(name: str) -> Drawn:
    pipe = FAMILIES[name]()
    image = call(name, pipe, PROMPTS[0])
    with oracle(pipe) as found, record_attention(pipe) as recording:
        recorded = call(name, pipe, PROMPTS[0])
    (maps,) = recording.maps
    return Drawn(name, pipe, image, recorded, found, maps)
