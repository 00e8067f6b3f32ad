"""Mask2Former's official initialisation, where that of ``transformers`` differs.

``transformers`` draws most of the pixel decoder and the class predictor with a standard deviation of 0.02 because
it expects a checkpoint. Trained from scratch for a short while, that costs a quarter of the mIoU.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from transformers import Mask2FormerForUniversalSegmentation
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerAttention,
    Mask2FormerMaskedAttentionDecoderLayer,
    Mask2FormerPixelDecoder,
    Mask2FormerPixelDecoderEncoderLayer,
    Mask2FormerTransformerModule,
)


@torch.no_grad()
def initialize_head(model: Mask2FormerForUniversalSegmentation) -> None:
    """Draw the weights of everything but the backbone as the authors' code does, in place."""
    _as_torch_does(model.class_predictor)
    for module in model.modules():
        match module:
            case Mask2FormerPixelDecoder():
                _pixel_decoder(module)
            case Mask2FormerPixelDecoderEncoderLayer():
                _feedforward(module)
            case Mask2FormerTransformerModule():
                _transformer_module(module)
            case Mask2FormerMaskedAttentionDecoderLayer():
                _feedforward(module)
            case Mask2FormerAttention():
                _attention(module)


def _pixel_decoder(decoder: Mask2FormerPixelDecoder) -> None:
    for projection in map(_convolution, decoder.input_projections):
        nn.init.xavier_uniform_(projection.weight)
        nn.init.zeros_(cast(Tensor, projection.bias))
    pyramid = [*decoder.lateral_convolutions, *decoder.output_convolutions]
    for convolution in [decoder.mask_projection, *map(_convolution, pyramid)]:
        _c2_xavier(convolution)


def _convolution(block: nn.Module) -> nn.Conv2d:
    """The convolution a block of convolution, norm and activation begins with."""
    return cast(nn.Conv2d, next(block.children()))


def _c2_xavier(convolution: nn.Conv2d) -> None:
    """Caffe2's "Xavier": uniform with variance 1 / fan_in."""
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def _as_torch_does(linear: nn.Linear) -> None:
    linear.reset_parameters()


def _feedforward(layer: Mask2FormerPixelDecoderEncoderLayer | Mask2FormerMaskedAttentionDecoderLayer) -> None:
    """Xavier weights, and biases as ``nn.Linear`` draws them."""
    for linear in (layer.fc1, layer.fc2):
        _as_torch_does(linear)
        nn.init.xavier_uniform_(linear.weight)


def _attention(attention: Mask2FormerAttention) -> None:
    """As ``nn.MultiheadAttention``, whose one input matrix holds queries, keys and values."""
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        nn.init.xavier_uniform_(projection.weight, gain=1 / math.sqrt(2))
        nn.init.zeros_(projection.bias)
    nn.init.xavier_uniform_(attention.out_proj.weight)
    nn.init.zeros_(attention.out_proj.bias)


def _transformer_module(module: Mask2FormerTransformerModule) -> None:
    for projection in module.input_projections:
        if isinstance(projection, nn.Conv2d):
            _c2_xavier(projection)
    for embedding in (module.queries_features, module.queries_embedder, module.level_embed):
        nn.init.normal_(embedding.weight)
