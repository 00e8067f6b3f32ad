"""The backbones, their pretrained weights, and the images as they expect them.

``resnet-50``, ``swin-tiny`` and ``swin-base`` are those of Mask2Former's paper; ``resnet-mini`` and ``swin-mini`` are
of the same families at a size that trains from scratch on 64 x 64 images in about a minute on one core.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, ResNetBackbone, ResNetConfig, SwinBackbone, SwinConfig
from transformers.models.swin.modeling_swin import SwinDropPath, SwinLayer

from seediff.diffusion.model_files import not_loaded, split_reference
from seediff.diffusion.releases import swin_feedforward
from seediff.finite import check_weights
from seediff.segmenter.settings import SegmenterSettings

PIXEL_MEAN = (123.675, 116.280, 103.530)
PIXEL_STD = (58.395, 57.120, 57.375)
STRIDE = 32
"""Images are padded to a multiple of this."""

_STAGES = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}

BACKBONES: dict[str, dict[str, Any]] = {
    "resnet-mini": {
        "embedding_size": 32,
        "hidden_sizes": [32, 64, 128, 256],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
    },
    "swin-mini": {
        "image_size": 64,
        "embed_dim": 24,
        "depths": [2, 2, 1, 1],  # sides 16, 8, 4, 2: the last two are a single window, which cannot be shifted
        "num_heads": [1, 2, 4, 8],
        "window_size": 4,
        "drop_path_rate": 0.05,
        "initializer_range": 0.1,  # the usual 0.02 is for widths from 96 on; these learn more slowly with it
    },
    "resnet-50": {},
    "swin-tiny": {"drop_path_rate": 0.3},
    "swin-base": {
        "image_size": 384,
        "embed_dim": 128,
        "depths": [2, 2, 18, 2],
        "num_heads": [4, 8, 16, 32],
        "window_size": 12,
        "drop_path_rate": 0.3,
    },
}
"""Arguments of each backbone's configuration."""

_FAMILIES: dict[str, tuple[Callable[..., PretrainedConfig], type[PreTrainedModel]]] = {
    "resnet": (ResNetConfig, ResNetBackbone),
    "swin": (SwinConfig, SwinBackbone),
}


def empty_backbone(settings: SegmenterSettings) -> PreTrainedModel:
    """The backbone alone, for weights that are loaded next."""
    _, backbone_class = _family(settings)
    backbone = backbone_class(backbone_config(settings))
    prepare(backbone, settings)
    return backbone


def prepare(backbone: nn.Module, settings: SegmenterSettings) -> None:
    """Let a new backbone train as the authors' do: Swin drops both branches; what comes pretrained keeps its batch
    normalisation, and its first ``freeze_at`` stages."""
    drop_both_paths(backbone)
    if settings.pretrained is not None:
        freeze_batch_norm(backbone)
    if settings.freeze_at:
        resnet = cast(ResNetBackbone, backbone)
        for stage in [resnet.embedder, *resnet.encoder.stages][: settings.freeze_at]:
            stage.requires_grad_(False)


def drop_both_paths(backbone: nn.Module) -> None:
    """Let every Swin layer drop its second branch as often as its first, which alone transformers drops.

    As in the authors' code: for each image of a batch anew, in training alone, and what is kept is scaled up.
    """
    for layer in backbone.modules():
        if isinstance(layer, SwinLayer) and isinstance(layer.drop_path, SwinDropPath):
            swin_feedforward(layer).register_forward_hook(partial(_dropped, layer.drop_path.drop_prob))


def _dropped(rate: float, branch: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """The branch's output (n, places, channels), 0 for some of the n."""
    if not branch.training:
        return output
    kept = torch.rand(len(output), 1, 1, dtype=output.dtype, device=output.device) >= rate
    return output * kept / (1 - rate)


def backbone_config(settings: SegmenterSettings) -> PretrainedConfig:
    """transformers' configuration of the backbone, with all four stages as its output."""
    config_class, _ = _family(settings)
    return config_class(**BACKBONES[settings.backbone], **_STAGES)


def _family(settings: SegmenterSettings) -> tuple[Callable[..., PretrainedConfig], type[PreTrainedModel]]:
    return _FAMILIES[settings.backbone.split("-")[0]]


def load_pretrained(encoder: nn.Module, settings: SegmenterSettings) -> None:
    """Give the backbone the weights of ``settings.pretrained``.

    Raises ``SeediffError`` when they cannot be loaded.
    """
    weights = _pretrained_backbone(settings).state_dict()
    check_weights(weights, f"The backbone {settings.pretrained!r}", "Fetch it again, or give another as 'pretrained'.")
    encoder.load_state_dict(weights)


def _pretrained_backbone(settings: SegmenterSettings) -> nn.Module:
    _, backbone_class = _family(settings)
    config = backbone_config(settings)
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


def normalize(images: Tensor) -> Tensor:
    """(n, H, W, 3) uint8 images to (n, 3, H, W) float32 with ImageNet's mean and deviation taken out."""
    mean = torch.tensor(PIXEL_MEAN, device=images.device)
    std = torch.tensor(PIXEL_STD, device=images.device)
    return ((images.float() - mean) / std).permute(0, 3, 1, 2).contiguous()
