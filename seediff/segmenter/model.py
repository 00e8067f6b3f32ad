"""Mask2Former (Cheng et al. 2022) on four backbones, built from its settings.

``resnet-50`` and ``swin-base`` are the paper's; ``resnet-mini`` and ``swin-mini`` are the same architectures at a
size that trains from scratch on 64 x 64 images in about a minute on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetBackbone,
    ResNetConfig,
    SwinBackbone,
    SwinConfig,
)

from seediff.diffusion.model_files import not_loaded, split_reference
from seediff.finite import check_weights
from seediff.segmenter import deformable_attention
from seediff.segmenter.initialization import initialize_head
from seediff.segmenter.loss import alone, make_targets, set_loss
from seediff.segmenter.settings import SegmenterSettings

PIXEL_MEAN = (123.675, 116.280, 103.530)
PIXEL_STD = (58.395, 57.120, 57.375)
STRIDE = 32
"""Images are padded to a multiple of this."""

_STAGES = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}
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

BACKBONES: dict[str, dict[str, Any]] = {
    "resnet-mini": {
        "backbone": {
            "embedding_size": 32,
            "hidden_sizes": [32, 64, 128, 256],
            "depths": [1, 1, 1, 1],
            "layer_type": "basic",
        },
        "head": {**_MINI_HEAD, "encoder_layers": 1, "decoder_layers": 3},
    },
    "swin-mini": {
        "backbone": {
            "image_size": 64,
            "embed_dim": 24,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 2, 4, 8],
            "window_size": 4,
            "drop_path_rate": 0.0,
        },
        "head": _MINI_HEAD,
    },
    "resnet-50": {"backbone": {}, "head": {}},
    "swin-base": {
        "backbone": {
            "image_size": 384,
            "embed_dim": 128,
            "depths": [2, 2, 18, 2],
            "num_heads": [4, 8, 16, 32],
            "window_size": 12,
            "drop_path_rate": 0.3,
        },
        "head": {},
    },
}
"""Arguments of the backbone's and of Mask2Former's configuration; ``decoder_layers`` counts the queries themselves."""

_FAMILIES: dict[str, tuple[Callable[..., PreTrainedConfig], type[PreTrainedModel]]] = {
    "resnet": (ResNetConfig, ResNetBackbone),
    "swin": (SwinConfig, SwinBackbone),
}


def build_segmenter(settings: SegmenterSettings, num_classes: int) -> Mask2FormerForUniversalSegmentation:
    """A new segmenter for ``num_classes`` classes, background included, drawn from torch's global generator.

    The backbone's weights come from ``settings.pretrained`` (a hub id, also ``id@revision``, or a folder) if given.
    Raises ``SeediffError`` when they cannot be loaded.
    """
    model = empty_segmenter(settings, num_classes)
    initialize_head(model)
    if settings.pretrained is not None:
        load_pretrained(backbone(model), settings)
    return model


def empty_segmenter(settings: SegmenterSettings, num_classes: int) -> Mask2FormerForUniversalSegmentation:
    """The architecture alone, for weights that are loaded next."""
    config, _ = _backbone_plan(settings)
    head = {"num_queries": settings.queries, "num_labels": num_classes, **BACKBONES[settings.backbone]["head"]}
    model = Mask2FormerForUniversalSegmentation(Mask2FormerConfig(backbone_config=config, **head))
    deformable_attention.install(model)
    return model


def empty_backbone(settings: SegmenterSettings) -> PreTrainedModel:
    """The backbone alone, for weights that are loaded next."""
    config, backbone_class = _backbone_plan(settings)
    return backbone_class(config)


def _backbone_plan(settings: SegmenterSettings) -> tuple[PreTrainedConfig, type[PreTrainedModel]]:
    config_class, backbone_class = _FAMILIES[settings.backbone.split("-")[0]]
    return config_class(**BACKBONES[settings.backbone]["backbone"], **_STAGES), backbone_class


def load_pretrained(encoder: nn.Module, settings: SegmenterSettings) -> None:
    """Give the backbone the weights of ``settings.pretrained``, its batch normalisation frozen.

    Raises ``SeediffError`` when they cannot be loaded.
    """
    weights = _pretrained_backbone(settings).state_dict()
    check_weights(weights, f"The backbone {settings.pretrained!r}", "Fetch it again, or give another as 'pretrained'.")
    encoder.load_state_dict(weights)
    freeze_batch_norm(encoder)


def _pretrained_backbone(settings: SegmenterSettings) -> nn.Module:
    config, backbone_class = _backbone_plan(settings)
    name, revision = split_reference(str(settings.pretrained))
    try:
        return backbone_class.from_pretrained(name, config=config, revision=revision or "main", use_safetensors=True)
    except (OSError, RuntimeError, ValueError) as error:
        problem = f"Backbone weights {settings.pretrained!r} could not be loaded"
        advice = "Give a hub id or a local folder with config.json and model.safetensors as 'pretrained', or null."
        raise not_loaded(problem, str(settings.pretrained), error, advice) from error


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the statistics and weights it was pretrained with."""

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        return super().train(False)


def freeze_batch_norm(module: nn.Module) -> None:
    """Replace every batch normalisation inside ``module`` by a frozen one, as Mask2Former does for ResNet."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps)
            frozen.load_state_dict(child.state_dict())
            setattr(module, name, frozen.requires_grad_(False).eval())
        else:
            freeze_batch_norm(child)


def parameter_groups(model: nn.Module, backbone: nn.Module, settings: SegmenterSettings) -> list[dict[str, Any]]:
    """Optimiser groups: ``backbone`` learns at ``backbone_lr_factor``, norms and embeddings do not decay.

    Each group has ``params``, ``weight_decay`` and ``lr_factor``, the learning rate as a fraction of the schedule's.
    """
    slow = {id(parameter) for parameter in backbone.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, decays in _trainable(model):
        factor = settings.backbone_lr_factor if id(parameter) in slow else 1.0
        groups.setdefault((factor, settings.weight_decay if decays else 0.0), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_factor": factor}
        for (factor, decay), parameters in groups.items()
    ]


_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)
_EMBEDDINGS = ("level_embed", "relative_position_bias_table", "position_embeddings")


def _trainable(model: nn.Module) -> Iterator[tuple[nn.Parameter, bool]]:
    """Every trainable parameter once, and whether weight decay applies to it."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                yield parameter, not isinstance(module, (*_NORMS, nn.Embedding)) and name not in _EMBEDDINGS


def normalize(images: Tensor) -> Tensor:
    """(n, H, W, 3) uint8 images to (n, 3, H, W) float32 with ImageNet's mean and deviation taken out."""
    mean = torch.tensor(PIXEL_MEAN, device=images.device)
    std = torch.tensor(PIXEL_STD, device=images.device)
    return ((images.float() - mean) / std).permute(0, 3, 1, 2).contiguous()


def predict_layers(model: Mask2FormerForUniversalSegmentation, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Class logits (n, Q, C + 1) and mask logits (n, Q, h, w) after every decoder layer, the last one last."""
    output = model(pixel_values=images, output_auxiliary_logits=True)
    layers = [(layer["class_queries_logits"], layer["masks_queries_logits"]) for layer in output.auxiliary_logits]
    return [*layers, (output.class_queries_logits, output.masks_queries_logits)]


def losses(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: SegmenterSettings,
    mean: Callable[[Tensor], Tensor] = alone,
) -> dict[str, Tensor]:
    """The parts of the set loss for images (n, H, W, 3) uint8 and labels (n, H, W); see ``loss.set_loss``."""
    segmenter = cast(Mask2FormerForUniversalSegmentation, model)
    layers = predict_layers(segmenter, normalize(images))
    return set_loss(layers, make_targets(labels, segmenter.class_predictor.out_features - 1), settings.points, mean)


def backbone(model: nn.Module) -> nn.Module:
    """The part of the model that comes pretrained."""
    return cast(Mask2FormerForUniversalSegmentation, model).model.pixel_level_module.encoder
