"""The scaffold: an early training loss that shows coarse cross-attention where to look.

At Stable Diffusion's scale the class token's coarse cross-attention finds its object by itself. A model of a
few million parameters, trained for hours, reads the prompt at its finest level and merely broadcasts it at the
coarse ones. So for the first part of training, and at the coarse levels alone, the attention a place gives to
a class word is compared with the share of that place the class covers. The loss is then taken away, and the
rest of the training is diffusion alone. Wherever the model's numbers appear this is said (docs/embedded-model.md).
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy, one_hot

from seediff.diffusion.releases import CLIPTokenizer
from seediff.embedded.vocabulary import CLASS_WORDS, CLASSES


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


def show_coarse_attention(unet: UNet2DConditionModel) -> list[tuple[int, VisibleAttention]]:
    """Make cross-attention below the finest level visible; returns (level, processor) pairs."""
    channels = unet.config["block_out_channels"]
    processors, shown = dict(unet.attn_processors), []
    for name in processors:
        level = channels.index(unet.get_submodule(name.removesuffix(".processor")).to_q.weight.shape[0])
        if ".attn2." in name and level > 0:
            processors[name] = VisibleAttention()
            shown.append((level, processors[name]))
    unet.set_attn_processor(processors)
    return shown


def class_of_token(tokenizer: CLIPTokenizer) -> Tensor:
    """(vocabulary,) label of the class whose word a token is, 0 for all other tokens."""
    labels = torch.zeros(len(tokenizer), dtype=torch.long)
    for label, name in enumerate(CLASSES, start=1):
        for word in " ".join(CLASS_WORDS[name]).split():
            labels[tokenizer.convert_tokens_to_ids(f"{word}</w>")] = label
    return labels


def coverage(labels: Tensor, side: int) -> Tensor:
    """(n, 64, 64) labels -> (n, side * side, classes) share of each cell that each class covers."""
    planes = one_hot(labels, len(CLASSES) + 1)[..., 1:].movedim(-1, 1).float()
    return adaptive_avg_pool2d(planes, side).flatten(2).transpose(1, 2)


def scaffold_loss(
    shown: list[tuple[int, VisibleAttention]], token_labels: Tensor, labels: Tensor, reach: Tensor
) -> Tensor:
    """Binary cross-entropy between attention to a class's tokens and its coverage, mean over visible layers.

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
        error = binary_cross_entropy(attention, coverage(labels, side), reduction="none").mean(1)
        counted = named * reach[:, level].float()[:, None]
        losses.append((error * counted).sum() / counted.sum().clamp(min=1))
    return torch.stack(losses).mean()
