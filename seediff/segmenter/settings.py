"""What fixes a segmenter and its training: plain values only, so that reading a study never imports torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import inf, isfinite
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from seediff.errors import SeediffError
from seediff.names import nearest
from seediff.settings import MOST_AT_ONCE, Share, Threshold, check_bounds

LARGEST = 1_000_000_000
_MOST = {
    "queries": 10_000, "points": 10_000_000, "batch_size": MOST_AT_ONCE, "crop": 8192, "scale_max": 100,
    "test_edge": 16_384, "test_window": 16_384,
}  # fmt: skip
"""What is more than any machine has memory for; other whole numbers can be ``LARGEST`` at most."""

ENGINES_OF = {"mask2former": ("seediff", "detectron2"), "pixel": ("seediff",), "mask2former-official": ("detectron2",)}
"""Architecture -> the engines that can train it (``registry`` has what these names stand for)."""
ROBUST_ARCHITECTURES = ("mask2former", "pixel")
"""The architectures whose networks can learn by robust training, with the engine ``seediff``."""

_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "str | None": (str, type(None)),
    "int | tuple[int, int]": (int, tuple),
}


@dataclass(frozen=True)
class SegmenterSettings:
    """Backbone, head, optimiser and augmentation of one segmenter.

    The defaults are Mask2Former's own for ADE20K with ResNet-50; a backbone can have others (docs/papers.md).
    """

    backbone: str
    """Backbone of the network: ``resnet-mini``, ``swin-mini``, ``resnet-50`` or ``swin-base``."""
    architecture: str = "mask2former"
    """Mask2Former (``mask2former``), its authors' own implementation (``mask2former-official``), or a per-pixel
    classifier, which has no queries and no points (``pixel``)."""
    engine: str = "seediff"
    """The training loop: this package's (``seediff``) or detectron2's (``detectron2``). docs/detectron2.md says which
    engine trains which architecture."""
    pretrained: str | None = None
    """Hub id (``id@revision`` too) or folder of the backbone's weights; null for random ones."""
    queries: int = 100
    """Queries of the decoder."""
    points: int = 12544
    """Points at which masks are compared."""
    iterations: int = 160_000
    """Iterations of the training."""
    batch_size: int = 16
    """Images in each iteration."""
    learning_rate: float = 1e-4
    """Rises linearly over ``warmup`` iterations and falls as (1 - t / iterations) ** ``power``."""
    backbone_lr_factor: float = 0.1
    """The backbone's learning rate as a multiple of the others'."""
    weight_decay: float = 0.05
    """Of AdamW."""
    warmup: int = 0
    """Iterations of the linear warm-up."""
    power: float = 0.9
    """Of the polynomial decay."""
    clip: float = 0.01
    """The largest norm of the gradients."""
    crop: int | tuple[int, int] = 512
    """Random crop: the side of a square, or ``[height, width]``; multiples of 32."""
    scale_min: float = 0.5
    """The least length of the image's shorter edge, as a multiple of the crop's."""
    scale_max: float = 2.0
    """The largest."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    colour_jitter: float = 1.0
    """Strength of the photometric distortion of SSD (0: none, 1: as in Mask2Former)."""
    test_edge: int = 512
    """The shorter edge that images are resized to for prediction (0: as they are)."""
    test_window: int = 0
    """Images with a longer edge are predicted window by window, each a square of this side (0: always whole)."""
    checkpoint_every: int = 2000
    """Iterations between states that a killed training goes on from."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_kind(field.name, str(field.type), getattr(self, field.name))
        self._check_signs()
        self._check_choices()
        self._check_sizes()

    def _check_signs(self) -> None:
        positive = ("queries", "points", "iterations", "batch_size", "learning_rate", "clip", "scale_min")
        for name in (*positive, "checkpoint_every"):
            if getattr(self, name) <= 0:
                raise SeediffError(f"Segmenter setting {name} is {getattr(self, name)}, but has to be above 0.")
        for name in (
            "backbone_lr_factor",
            "weight_decay",
            "warmup",
            "power",
            "colour_jitter",
            "test_edge",
            "test_window",
        ):
            if getattr(self, name) < 0:
                raise SeediffError(f"Segmenter setting {name} is {getattr(self, name)}, but cannot be negative.")

    def _check_choices(self) -> None:
        if self.backbone not in PRESETS_BY_BACKBONE:
            raise SeediffError(f"Unknown backbone {self.backbone!r}.\n{nearest(self.backbone, PRESETS_BY_BACKBONE)}")
        if self.pretrained == "":
            raise SeediffError("Segmenter setting pretrained is '', but has to name weights.\nFor none, write null.")
        if {*"{}"} & {*(self.pretrained or "")}:  # wildcards in the workflow's paths
            raise SeediffError(f"Segmenter setting pretrained is {self.pretrained!r}, but cannot hold braces.")
        if self.architecture not in ENGINES_OF:
            raise SeediffError(f"Unknown architecture {self.architecture!r}.\n{nearest(self.architecture, ENGINES_OF)}")
        if self.engine not in (engines := ENGINES_OF[self.architecture]):
            raise SeediffError(
                f"Engine {self.engine!r} cannot train architecture {self.architecture!r}.\n"
                f"Use {' or '.join(map(repr, engines))}."
            )

    def _check_sizes(self) -> None:
        if not _is_crop(self.crop):
            raise SeediffError(
                f"Segmenter setting crop is {self.crop}, but has to be a multiple of 32, or two: [height, width]."
            )
        if self.scale_max < self.scale_min:
            raise SeediffError(f"Segmenter setting scale_max {self.scale_max} is below scale_min {self.scale_min}.")
        if self.test_window % 32:
            raise SeediffError(f"Segmenter setting test_window is {self.test_window}, but has to be a multiple of 32.")
        if not 0 <= self.flip <= 1:
            raise SeediffError(f"Segmenter setting flip is {self.flip}, but is a probability.")

    @property
    def trains_robustly(self) -> bool:
        """Whether ``RobustTraining`` is possible: this package's engine offers it for some architectures."""
        return self.architecture in ROBUST_ARCHITECTURES and self.engine == "seediff"

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of the crop."""
        return self.crop if isinstance(self.crop, tuple) else (self.crop, self.crop)


def _check_kind(name: str, kind: str, value: Any) -> None:
    """A value of its type, finite, and no larger than makes sense; of a pair, both."""
    if isinstance(value, bool) or not isinstance(value, _KINDS[kind]):
        raise SeediffError(f"Segmenter setting {name} is {value!r}, but has to be of type {kind}.")
    if isinstance(value, float) and not isfinite(value):
        raise SeediffError(f"Segmenter setting {name} is {value}, but has to be finite.")
    for number in value if isinstance(value, tuple) else (value,):
        most = _MOST.get(name, LARGEST if isinstance(number, int) else inf)
        if isinstance(number, (int, float)) and number > most:
            raise SeediffError(f"Segmenter setting {name} is {number:,}, but can be {most:,} at most.")


def _is_crop(crop: int | tuple[Any, ...]) -> bool:
    sides = crop if isinstance(crop, tuple) else (crop, crop)
    return len(sides) == 2 and all(type(side) is int and side > 0 and side % 32 == 0 for side in sides)


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
    confidence: Share = 0.95
    """ClassMix's labels are those of which the two networks are together surer than this (BECO)."""

    def __post_init__(self) -> None:
        check_bounds("Robust training", self)
