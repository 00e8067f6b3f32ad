"""Two devices of the embedded model's training that make its coarse cross-attention look where the object is.

At Stable Diffusion's scale the class token's coarse cross-attention, which seeds the masks, finds its object by
itself. A model of a few million parameters, trained for hours, reads the prompt at its finest level and merely
broadcasts it at the coarse levels. Therefore:

- Text dropout by level: for some images, only some levels of the UNet are given the text. If the coarser levels were
  left alone with it too often, the finest would forget how to read it.
- The token-grounding loss: for the first part of the training, at some sides alone, the attention that a place gives to
  a class word is compared with the share of that place that the class covers, which can be blurred. The loss is then
  taken away, and the rest of the training is diffusion alone. Wherever the model's numbers appear this is said
  (docs/embedded-model.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy, one_hot

from seediff.diffusion.releases import CLIPTokenizer
from seediff.embedded.vocabulary import CLASS_WORDS, CLASSES

LEVEL_ODDS: dict[tuple[bool, bool, bool], float] = {
    (True, True, True): 0.4,
    (False, True, True): 0.15,
    (False, False, True): 0.2,
    (True, False, False): 0.25,
}
"""Text dropout: the share of images whose text reaches these levels, finest first."""


def draw_reach(number: int, generator: torch.Generator) -> Tensor:
    """(number, levels) bool: which levels of each image are given the text."""
    chosen = torch.multinomial(torch.tensor([*LEVEL_ODDS.values()]), number, replacement=True, generator=generator)
    return torch.tensor([*LEVEL_ODDS])[chosen]


@dataclass
class TextReach:
    """What the hooks read at each call: ``levels`` (n, levels) bool says which levels the text reaches, ``empty``
    (1, tokens, width) is the empty prompt's embedding, which stands in at the others."""

    levels: Tensor
    empty: Tensor


def limit_text(unet: UNet2DConditionModel) -> TextReach:
    """Install hooks that keep the text from levels; set the fields of the result before each call of ``unet``."""
    reach = TextReach(torch.empty(0), torch.empty(0))
    channels = unet.config["block_out_channels"]
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            hook = _swap_in_empty(reach, channels.index(module.to_q.weight.shape[0]))
            module.register_forward_pre_hook(hook, with_kwargs=True)
    return reach


def _swap_in_empty(reach: TextReach, level: int) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        text = kwargs["encoder_hidden_states"]
        shown = reach.levels[:, level].view(-1, 1, 1)
        return args, kwargs | {"encoder_hidden_states": torch.where(shown, text, reach.empty.to(text.dtype))}

    return hook


class VisibleAttention:
    """A one-head attention processor that keeps its probabilities (n, r*r, tokens) with their gradient."""

    def __init__(self) -> None:
        self.probabilities: Tensor | None = None

    def __call__(
        self, attention: Attention, hidden: Tensor, encoder_hidden_states: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        query, key = attention.to_q(hidden), attention.to_k(encoder_hidden_states)
        self.probabilities = (query @ key.transpose(1, 2) * attention.scale).float().softmax(-1)
        values = self.probabilities.to(hidden.dtype) @ attention.to_v(encoder_hidden_states)
        return attention.to_out[1](attention.to_out[0](values))


@dataclass(frozen=True)
class Grounding:
    """Help for the cross-attention: the grounding loss during the first ``images`` images, at ``sides``.

    ``blur``: standard deviation, in places of a side, of the Gaussian that blurs what classes cover.
    """

    images: int = 0
    sides: tuple[int, ...] = (8, 16)
    blur: float = 0.0


def show_attention(unet: UNet2DConditionModel, sides: Collection[int]) -> list[tuple[int, VisibleAttention]]:
    """Make cross-attention at these sides visible; returns (level, processor) pairs."""
    shown = []
    for level, attention in _cross_attention(unet, sides):
        attention.set_processor(VisibleAttention())
        shown.append((level, attention.processor))
    return shown


def _cross_attention(unet: UNet2DConditionModel, sides: Collection[int]) -> list[tuple[int, Attention]]:
    """(level, layer) of the cross-attention layers at these sides."""
    channels, latent_side = unet.config["block_out_channels"], unet.config["sample_size"]
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    levels = [channels.index(layer.to_q.weight.shape[0]) for layer in layers]
    return [(level, layer) for level, layer in zip(levels, layers, strict=True) if latent_side >> level in sides]


def renew_cross_attention(unet: UNet2DConditionModel, sides: Collection[int]) -> None:
    """Draw the queries and keys of the cross-attention at these sides anew: nothing is left of their training."""
    for _, attention in _cross_attention(unet, sides):
        attention.to_q.reset_parameters()
        attention.to_k.reset_parameters()


def class_of_token(tokenizer: CLIPTokenizer) -> Tensor:
    """(vocabulary,) label of the class whose word a token is, 0 for all other tokens."""
    labels = torch.zeros(len(tokenizer), dtype=torch.long)
    for label, name in enumerate(CLASSES, start=1):
        for word in " ".join(CLASS_WORDS[name]).split():
            labels[tokenizer.convert_tokens_to_ids(f"{word}</w>")] = label
    return labels


def coverage(labels: Tensor, side: int, blur: float) -> Tensor:
    """(n, 64, 64) labels -> (n, side * side, classes) share of each place that each class covers, blurred."""
    planes = one_hot(labels, len(CLASSES) + 1)[..., 1:].movedim(-1, 1).float()
    weights = _gaussian(side, blur).to(planes)
    return (weights @ adaptive_avg_pool2d(planes, side) @ weights.T).flatten(2).transpose(1, 2)


def _gaussian(side: int, deviation: float) -> Tensor:
    """(side, side) weight of each place in the blurred value of another along a line; nothing lies outside."""
    offsets = torch.arange(-side, side + 1)
    kernel = torch.exp(-(offsets / max(deviation, 1e-6)).square() / 2)
    places = torch.arange(side)
    return (kernel / kernel.sum())[places[:, None] - places[None, :] + side]


def grounding_loss(
    shown: list[tuple[int, VisibleAttention]], token_labels: Tensor, labels: Tensor, reach: Tensor, blur: float
) -> Tensor:
    """Binary cross-entropy between attention to a class's tokens and its blurred coverage, mean over visible layers.

    ``token_labels``: (n, tokens) from ``class_of_token``; ``labels``: (n, 64, 64); ``reach``: (n, levels)
    which levels get the text. Counted are the classes a prompt names, where its text reaches the layer.
    """
    to_class = one_hot(token_labels, len(CLASSES) + 1)[..., 1:].float()
    named = to_class.amax(1)
    losses = []
    for level, processor in shown:
        assert processor.probabilities is not None
        attention = (processor.probabilities @ to_class).clamp(1e-5, 1 - 1e-5)
        side = round(attention.shape[1] ** 0.5)
        error = binary_cross_entropy(attention, coverage(labels, side, blur), reduction="none").mean(1)
        counted = named * reach[:, level].float()[:, None]
        losses.append((error * counted).sum() / counted.sum().clamp(min=1))
    return torch.stack(losses).mean()
