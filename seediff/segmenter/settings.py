"""What fixes a segmenter and its training: plain values only, so that reading a study never imports torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MultipleOf

from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.settings import AtOnce, Share, Threshold, check_bounds

ENGINES_OF = {"mask2former": ("seediff", "detectron2"), "pixel": ("seediff",), "mask2former-official": ("detectron2",)}
"""Architecture -> the engines that can train it (``registry`` has what these names stand for)."""
ROBUST_ARCHITECTURES = ("mask2former", "pixel")
"""The architectures whose networks can learn by robust training, with the engine ``seediff``."""

Iterations = Annotated[int, Ge(1), Le(1_000_000_000)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Side = Annotated[int, Ge(32), Le(8192), MultipleOf(32)]
"""Of a crop, in pixels. Upper bounds are above what any machine has memory for."""


@dataclass(frozen=True)
class SegmenterSettings:
    """Backbone, head, optimiser and augmentation of one segmenter.

    The defaults are Mask2Former's own for ADE20K with ResNet-50; a backbone can have others (docs/papers.md).
    """

    backbone: str
    """Backbone of the network: ``resnet-mini``, ``swin-mini``, ``resnet-50``, ``swin-tiny`` or
    ``swin-base``."""
    architecture: str = "mask2former"
    """Mask2Former (``mask2former``), its authors' own implementation (``mask2former-official``), or a per-pixel
    classifier, which has no queries and no points (``pixel``)."""
    engine: str = "seediff"
    """The training loop: this package's (``seediff``) or detectron2's (``detectron2``). docs/detectron2.md says which
    engine trains which architecture."""
    pretrained: str | None = None
    """Hub id (``id@revision`` too) or folder of the backbone's weights; null for random ones."""
    freeze_at: Annotated[int, Ge(0), Le(5)] = 0
    """Stages of the backbone that keep their pretrained weights, its stem counted as the first (detectron2's
    ``FREEZE_AT``)."""
    queries: Annotated[int, Ge(1), Le(10_000)] = 100
    """Queries of the decoder."""
    points: Annotated[int, Ge(1), Le(10_000_000)] = 12544
    """Points at which masks are compared."""
    iterations: Iterations = 160_000
    """Iterations of the training."""
    batch_size: AtOnce = 16
    """Images in each iteration."""
    learning_rate: Positive = 1e-4
    """Rises linearly over ``warmup`` iterations and falls as (1 - t / iterations) ** ``power``."""
    backbone_lr_factor: NotNegative = 0.1
    """The backbone's learning rate as a multiple of the others'."""
    weight_decay: NotNegative = 0.05
    """Of AdamW."""
    warmup: Annotated[int, Ge(0), Le(1_000_000_000)] = 0
    """Iterations of the linear warm-up."""
    power: NotNegative = 0.9
    """Of the polynomial decay."""
    clip: Positive = 0.01
    """The largest norm of the gradients."""
    crop: Side | tuple[Side, Side] = 512
    """Random crop: the side of a square, or ``[height, width]``; multiples of 32."""
    scale_min: Positive = 0.5
    """The least length of the image's shorter edge, as a multiple of the crop's."""
    scale_max: Annotated[float, Gt(0), Le(100)] = 2.0
    """The largest."""
    flip: Share = 0.5
    """Probability of a horizontal flip."""
    colour_jitter: NotNegative = 1.0
    """Strength of the photometric distortion of SSD (0: none, 1: as in Mask2Former)."""
    test_edge: Annotated[int, Ge(0), Le(16_384)] = 512
    """The shorter edge that images are resized to for prediction (0: as they are)."""
    test_window: Annotated[int, Ge(0), Le(16_384), MultipleOf(32)] = 0
    """Images with a longer edge are predicted window by window, each a square of this side (0: always whole)."""
    checkpoint_every: Iterations = 2000
    """Iterations between states that a killed training goes on from."""

    def __post_init__(self) -> None:
        check_bounds("Segmenter", self)
        if self.backbone not in PRESETS_BY_BACKBONE:
            raise SeediffError(f"Unknown backbone {self.backbone!r}.\n{nearest(self.backbone, PRESETS_BY_BACKBONE)}")
        if self.pretrained == "":
            raise SeediffError("Segmenter: pretrained is '', but must name weights.\nFor none, write null.")
        if {*"{}"} & {*(self.pretrained or "")}:  # wildcards in the workflow's paths
            raise SeediffError(f"Segmenter: pretrained is {self.pretrained!r}, but cannot hold braces.")
        if self.freeze_at and (self.pretrained is None or not self.backbone.startswith("resnet")):
            raise SeediffError(
                f"Segmenter: freeze_at is {self.freeze_at}, but only a pretrained ResNet can keep its first stages.\n"
                "Give 'pretrained' weights of a ResNet, or leave freeze_at out."
            )
        if self.architecture not in ENGINES_OF:
            raise SeediffError(f"Unknown architecture {self.architecture!r}.\n{nearest(self.architecture, ENGINES_OF)}")
        if self.engine not in (engines := ENGINES_OF[self.architecture]):
            raise SeediffError(
                f"Engine {self.engine!r} cannot train architecture {self.architecture!r}.\n"
                f"Use {' or '.join(map(repr, engines))}."
            )
        if self.scale_max < self.scale_min:
            raise SeediffError(f"Segmenter: scale_max {self.scale_max} is below scale_min {self.scale_min}.")

    @property
    def trains_robustly(self) -> bool:
        """Whether ``RobustTraining`` is possible: this package's engine offers it for some architectures."""
        return self.architecture in ROBUST_ARCHITECTURES and self.engine == "seediff"

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of the crop."""
        return self.crop if isinstance(self.crop, tuple) else (self.crop, self.crop)


_MINI: dict[str, Any] = {
    "queries": 16,
    "points": 512,
    "iterations": 800,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "backbone_lr_factor": 1.0,
    "warmup": 30,
    "crop": 64,
    "scale_min": 0.8,
    "scale_max": 1.25,
    "colour_jitter": 0.0,
    "test_edge": 0,
    "checkpoint_every": 200,
}

PRESETS_BY_BACKBONE: dict[str, dict[str, Any]] = {
    "resnet-mini": {**_MINI, "iterations": 700, "learning_rate": 1e-3},
    "swin-mini": _MINI,
    "resnet-50": {"pretrained": "microsoft/resnet-50"},
    "swin-tiny": {"pretrained": "microsoft/swin-tiny-patch4-window7-224"},
    "swin-base": {"pretrained": "microsoft/swin-base-patch4-window12-384-in22k", "crop": 640, "test_edge": 640},
}
"""What differs from Mask2Former's own training on ADE20K with ResNet-50, by backbone (docs/papers.md)."""


def segmenter_settings(backbone: str, **changes: Any) -> SegmenterSettings:
    """The backbone's usual settings with ``changes``; raises ``SeediffError`` for an unknown backbone or key."""
    known = [field.name for field in fields(SegmenterSettings)]
    for key in changes:
        if key not in known:
            raise SeediffError(f"Unknown segmenter setting {key!r}.\n{nearest(key, known)}")
    if backbone not in PRESETS_BY_BACKBONE:
        raise SeediffError(f"Unknown backbone {backbone!r}.\n{nearest(backbone, PRESETS_BY_BACKBONE)}")
    if isinstance(crop := changes.get("crop"), list):  # as YAML and JSON write a pair
        changes["crop"] = tuple(crop)
    return replace(SegmenterSettings(backbone, **PRESETS_BY_BACKBONE[backbone]), **changes)


def as_json(settings: SegmenterSettings) -> dict[str, Any]:
    """The settings as a JSON object; ``segmenter_settings(**as_json(s)) == s``."""
    return asdict(settings)


@dataclass(frozen=True)
class RobustTraining:
    """Reliability-aware co-training, with attn2mask's values (BECO's, where it gives none).

    docs/methods/robust-training.md has the equations.
    """

    reliability: Literal["hard", "soft"] = "hard"
    """A pixel's label is relied on wholly or not at all (``hard``, BECO), or as far as its rank goes (``soft``)."""
    share: Threshold = 0.5
    """The part of each label's pixels in an image that hard reliability relies on (BECO, attn2mask)."""
    boundary: Annotated[int, Ge(1), Le(100)] = 1
    """Half the width, in pixels, of the boundary around what ClassMix has pasted (BECO)."""
    boundary_weight: Annotated[float, Ge(0), Le(1000)] = 0.2
    """How much more a pixel counts there (BECO)."""
    mix: Share = 0.5
    """Probability of ClassMix for an image (BECO)."""
    mix_after: Annotated[int, Ge(0), Le(1_000_000)] = 1
    """Epochs before it. BECO's networks start from pretrained backbones; from scratch take more."""
    mix_augmentation: Share = 0.0
    """After mixing, images change in brightness, contrast and saturation with 0.8 times this probability, lose their
    colours with 0.2 times and are blurred with 0.5 times it (1: as in BECO's published code)."""
    confidence: Share = 0.95
    """ClassMix's labels are those of which the two networks are together surer than this (BECO)."""

    def __post_init__(self) -> None:
        check_bounds("Robust training", self)
