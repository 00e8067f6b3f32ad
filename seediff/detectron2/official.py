"""The Mask2Former of its authors (detectron2's model, its own loss), built from our settings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from seediff.datasets.classes import IGNORE_LABEL
from seediff.detectron2.availability import require_mask2former
from seediff.detectron2.dataset_dicts import metadata
from seediff.errors import SeediffError
from seediff.names import nearest, reason
from seediff.segmenter.architecture import Architecture, Mean
from seediff.segmenter.backbones import normalize
from seediff.segmenter.loss import CLASS_WEIGHT, DICE_WEIGHT, MASK_WEIGHT, NO_OBJECT_WEIGHT, alone
from seediff.segmenter.mask2former import scores
from seediff.segmenter.settings import SegmenterSettings

_FULL_HEAD: dict[str, Any] = {
    "SEM_SEG_HEAD": {"CONVS_DIM": 256, "MASK_DIM": 256, "TRANSFORMER_ENC_LAYERS": 6},
    "MASK_FORMER": {"HIDDEN_DIM": 256, "NHEADS": 8, "DIM_FEEDFORWARD": 2048, "DEC_LAYERS": 10},
}
_MINI_HEAD: dict[str, Any] = {
    "SEM_SEG_HEAD": {"CONVS_DIM": 64, "MASK_DIM": 64, "TRANSFORMER_ENC_LAYERS": 2},
    "MASK_FORMER": {"HIDDEN_DIM": 64, "NHEADS": 4, "DIM_FEEDFORWARD": 256, "DEC_LAYERS": 4},
}

BACKBONES: dict[str, dict[str, Any]] = {
    "resnet-50": _FULL_HEAD
    | {
        "BACKBONE": {"NAME": "build_resnet_backbone"},
        "RESNETS": {"DEPTH": 50, "STRIDE_IN_1X1": False, "OUT_FEATURES": ["res2", "res3", "res4", "res5"]},
    },
    "swin-base": _FULL_HEAD
    | {
        "BACKBONE": {"NAME": "D2SwinTransformer"},
        "SWIN": {
            "EMBED_DIM": 128,
            "DEPTHS": [2, 2, 18, 2],
            "NUM_HEADS": [4, 8, 16, 32],
            "WINDOW_SIZE": 12,
            "PRETRAIN_IMG_SIZE": 384,
        },
    },
    "swin-mini": _MINI_HEAD
    | {
        "BACKBONE": {"NAME": "D2SwinTransformer"},
        "SWIN": {
            "EMBED_DIM": 24,
            "DEPTHS": [1, 1, 1, 1],
            "NUM_HEADS": [1, 2, 4, 8],
            "WINDOW_SIZE": 4,
            "PRETRAIN_IMG_SIZE": 64,
            "DROP_PATH_RATE": 0.0,
        },
    },
}
"""The authors' configuration of each backbone, below ``MODEL``."""

_SHARED: dict[str, Any] = {
    "META_ARCHITECTURE": "MaskFormer",
    "SEM_SEG_HEAD": {
        "NAME": "MaskFormerHead",
        "IGNORE_VALUE": IGNORE_LABEL,
        "NORM": "GN",
        "PIXEL_DECODER_NAME": "MSDeformAttnPixelDecoder",
        "IN_FEATURES": ["res2", "res3", "res4", "res5"],
    },
    "MASK_FORMER": {
        "TRANSFORMER_IN_FEATURE": "multi_scale_pixel_decoder",
        "CLASS_WEIGHT": CLASS_WEIGHT,
        "MASK_WEIGHT": MASK_WEIGHT,
        "DICE_WEIGHT": DICE_WEIGHT,
        "NO_OBJECT_WEIGHT": NO_OBJECT_WEIGHT,
        "DROPOUT": 0.0,
    },
}


class OfficialSegmenter(nn.Module):
    """The authors' network, with its outputs named as in transformers."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network: Any = network

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As in any module, but weights without version numbers (safetensors has none) count as current."""
        versioned: Any = OrderedDict(state_dict)
        versioned._metadata = self.state_dict()._metadata  # type: ignore[attr-defined]
        return super().load_state_dict(versioned, strict, assign)

    def outputs(self, pixel_values: Tensor) -> dict[str, Any]:
        """``pred_logits``, ``pred_masks``, and those of every earlier decoder layer in ``aux_outputs``."""
        features = self.network.backbone(pixel_values)
        outputs: dict[str, Any] = self.network.sem_seg_head(features)
        return outputs

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        """Class logits (n, Q, C + 1) and mask logits (n, Q, h / 4, w / 4) for normalised images (n, 3, h, w)."""
        outputs = self.outputs(pixel_values)
        return SimpleNamespace(class_queries_logits=outputs["pred_logits"], masks_queries_logits=outputs["pred_masks"])


def build(settings: SegmenterSettings, num_classes: int) -> OfficialSegmenter:
    """A new segmenter; ``settings.pretrained`` is a safetensors file of its backbone's weights, or none.

    Raises ``SeediffError`` when the packages cannot be imported or the weights do not fit.
    """
    model = empty(settings, num_classes)
    if settings.pretrained is not None:
        try:
            model.network.backbone.load_state_dict(load_file(Path(settings.pretrained)))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise SeediffError(
                f"Backbone weights {settings.pretrained!r} could not be loaded: {reason(error)}\n"
                "For 'mask2former-official', 'pretrained' is a safetensors file with detectron2's names, or null."
            ) from None
    return model


def empty(settings: SegmenterSettings, num_classes: int) -> OfficialSegmenter:
    """The architecture, with the authors' initialisation drawn from torch's global generator."""
    require_mask2former()
    if settings.backbone not in BACKBONES:
        hint = nearest(settings.backbone, BACKBONES)
        raise SeediffError(f"Architecture 'mask2former-official' has no backbone {settings.backbone!r}.\n{hint}")
    from detectron2.modeling import build_model

    return OfficialSegmenter(build_model(_configuration(settings, num_classes)))


def _configuration(settings: SegmenterSettings, num_classes: int) -> Any:
    from detectron2.config import CfgNode, get_cfg
    from detectron2.data import MetadataCatalog
    from mask2former import add_maskformer2_config

    catalog = f"seediff_{num_classes}_classes"  # the network looks up names there, which only panoptic output needs
    MetadataCatalog.get(catalog).set(**metadata([str(label) for label in range(num_classes)]))
    configuration = get_cfg()
    add_maskformer2_config(configuration)
    own = {
        "DEVICE": "cpu",
        "BACKBONE": {"FREEZE_AT": settings.freeze_at},
        "SEM_SEG_HEAD": {"NUM_CLASSES": num_classes},
        "MASK_FORMER": {"NUM_OBJECT_QUERIES": settings.queries, "TRAIN_NUM_POINTS": settings.points},
    }
    for part in (_SHARED, BACKBONES[settings.backbone], own):
        configuration.merge_from_other_cfg(CfgNode({"MODEL": part}))
    configuration.DATASETS.TRAIN = (catalog,)
    return configuration


def losses(
    model: nn.Module, images: Tensor, labels: Tensor, settings: SegmenterSettings, mean: Mean = alone
) -> dict[str, Tensor]:
    """The authors' loss in our three parts, summed over the decoder layers.

    As in their code, an ignored pixel belongs to no class: it is a negative in every mask. The mean over processes is
    theirs too.
    """
    segmenter = cast(OfficialSegmenter, model)
    criterion = segmenter.network.criterion
    found = criterion(segmenter.outputs(normalize(images)), [_target(image_labels) for image_labels in labels])
    kinds = {"class": "loss_ce", "mask": "loss_mask", "dice": "loss_dice"}
    return {
        part: torch.stack([criterion.weight_dict[name] * found[name] for name in found if name.startswith(kind)]).sum()
        for part, kind in kinds.items()
    }


def _target(labels: Tensor) -> dict[str, Tensor]:
    """The classes of an image (H, W) and their masks (T, H, W)."""
    classes = labels.unique().long()
    classes = classes[classes != IGNORE_LABEL]
    return {"labels": classes, "masks": labels[None] == classes[:, None, None]}


def backbone(model: nn.Module) -> nn.Module:
    """The part of the model that comes pretrained."""
    return cast(nn.Module, cast(OfficialSegmenter, model).network.backbone)


ARCHITECTURE = Architecture(build, empty, backbone, losses, scores)
