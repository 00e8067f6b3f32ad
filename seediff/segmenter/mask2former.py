"""Mask2Former (Cheng et al. 2022) in transformers: built, initialised as its authors do, taught and asked.

``transformers`` draws most of the pixel decoder and the class predictor with a standard deviation of 0.02 because
it expects a checkpoint. Trained from scratch for a short while, that costs a quarter of the mIoU. So everything but the
backbone is drawn as the authors' code does.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerAttention,
    Mask2FormerMaskedAttentionDecoderLayer,
    Mask2FormerPixelDecoder,
    Mask2FormerPixelDecoderEncoderLayer,
    Mask2FormerTransformerModule,
)

from seediff.datasets.classes import IGNORE_LABEL
from seediff.segmenter import deformable_attention
from seediff.segmenter.architecture import Architecture, Head, Mean, cross_entropy
from seediff.segmenter.backbones import backbone_config, load_pretrained, normalize, prepare
from seediff.segmenter.batches import WeightedBatch
from seediff.segmenter.loss import MASK_WEIGHT, alone, make_targets, set_loss
from seediff.segmenter.settings import SegmenterSettings

_MINI_HEAD: dict[str, Any] = {
    "feature_size": 64,
    "mask_feature_size": 64,
    "hidden_dim": 64,
    "encoder_feedforward_dim": 128,
    "dim_feedforward": 256,
    "encoder_layers": 2,
    "decoder_layers": 4,
    "num_attention_heads": 4,
}
HEADS: dict[str, dict[str, Any]] = {
    "resnet-mini": {**_MINI_HEAD, "encoder_layers": 1, "decoder_layers": 3},
    "swin-mini": _MINI_HEAD,
    "resnet-50": {},
    "swin-tiny": {},
    "swin-base": {},
}
"""Arguments of Mask2Former's configuration by backbone; ``decoder_layers`` counts the queries themselves."""

SMALLEST = 1e-6
"""Added to the scores, which can all be 0 at a pixel."""


def build(settings: SegmenterSettings, num_classes: int) -> Mask2FormerForUniversalSegmentation:
    """A new segmenter for ``num_classes`` classes, background included, drawn from torch's global generator.

    The backbone's weights come from ``settings.pretrained`` (a hub id, also ``id@revision``, or a folder) if given.
    Raises ``SeediffError`` when they cannot be loaded.
    """
    model = empty(settings, num_classes)
    initialize_head(model)
    if settings.pretrained is not None:
        load_pretrained(backbone(model), settings)
    return model


def empty(settings: SegmenterSettings, num_classes: int) -> Mask2FormerForUniversalSegmentation:
    """The architecture alone, for weights that are loaded next."""
    head = {"num_queries": settings.queries, "num_labels": num_classes, **HEADS[settings.backbone]}
    config = Mask2FormerConfig(backbone_config=backbone_config(settings), **head)
    model = Mask2FormerForUniversalSegmentation(config)
    deformable_attention.install(model)
    prepare(backbone(model), settings)
    return model


def backbone(model: nn.Module) -> nn.Module:
    """The part of the model that comes pretrained."""
    return cast(Mask2FormerForUniversalSegmentation, model).model.pixel_level_module.encoder


def predict_layers(model: Mask2FormerForUniversalSegmentation, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Class logits (n, Q, C + 1) and mask logits (n, Q, h, w) after every decoder layer, the last one last."""
    output = model(pixel_values=images, output_auxiliary_logits=True)
    layers = [(layer["class_queries_logits"], layer["masks_queries_logits"]) for layer in output.auxiliary_logits]
    return [*layers, (output.class_queries_logits, output.masks_queries_logits)]


def losses(
    model: nn.Module, images: Tensor, labels: Tensor, settings: SegmenterSettings, mean: Mean = alone
) -> dict[str, Tensor]:
    """The parts of the set loss for images (n, H, W, 3) uint8 and labels (n, H, W); see ``loss.set_loss``."""
    layers = _layers(model, images)
    num_classes = layers[-1][0].shape[-1] - 1
    return set_loss(layers, make_targets(labels, num_classes), settings.points, mean)


def scores(model: nn.Module, images: Tensor) -> Tensor:
    """Semantic inference: (n, C, h, w) for normalised images (n, 3, h, w).

    The sum over the queries of a class's probability ("no object" left out) times the query's mask.
    """
    output = model(pixel_values=images)
    masks = F.interpolate(output.masks_queries_logits, images.shape[2:], mode="bilinear")
    classes = output.class_queries_logits.softmax(-1)[..., :-1]
    return torch.einsum("nqc,nqhw->nchw", classes, masks.sigmoid())


# --- in robust training ----------------------------------------------------------------------------------------------


def _layers(network: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    return predict_layers(cast(Mask2FormerForUniversalSegmentation, network), normalize(images))


def _implied_log_probabilities(layers: list[tuple[Tensor, Tensor]], size: tuple[int, ...]) -> Tensor:
    """Those of the last layer's class scores, made to sum to 1 at every pixel."""
    classes, masks = (logits.float() for logits in layers[-1])
    with torch.autocast(masks.device.type, enabled=False):
        scores = torch.einsum("nqc,nqhw->nchw", classes.softmax(-1)[..., :-1], masks.sigmoid()) + SMALLEST
    scores = F.interpolate(scores, size, mode="bilinear")
    return scores.log() - scores.sum(1, keepdim=True).log()


def _set_loss(
    layers: list[tuple[Tensor, Tensor]],
    log_probabilities: Tensor,
    batch: WeightedBatch,
    boundary_weight: float,
    settings: SegmenterSettings,
    mean: Mean,
) -> dict[str, Tensor]:
    """The set loss on labels of which each is kept with its weight as probability, and the boundary's share of weight.

    The set loss knows pixels that count and pixels that do not. Kept at random, a pixel counts as much as it is trusted
    in the mean over steps.
    """
    kept = batch.labels.masked_fill(torch.rand_like(batch.weights) >= batch.weights, IGNORE_LABEL)
    parts = set_loss(layers, make_targets(kept, log_probabilities.shape[1]), settings.points, mean)
    boundary = cross_entropy(log_probabilities, batch.labels, batch.weights * batch.boundary)
    return {**parts, "boundary": MASK_WEIGHT * boundary_weight * boundary}


# --- the authors' initialisation -------------------------------------------------------------------------------------


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


ARCHITECTURE = Architecture(
    build,
    empty,
    backbone,
    losses,
    scores,
    Head(_layers, _implied_log_probabilities, _set_loss, MASK_WEIGHT),
)
