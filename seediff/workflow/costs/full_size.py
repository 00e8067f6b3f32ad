"""Prices of a study at full scale: Stable Diffusion 2 at 512 pixels, and backbones of full size.

They are floating-point operations counted by ``benchmarks/flops.py``, and seconds and bytes measured on one core.
Operations become hours at a sustained speed that the reader chooses: no GPU was timed.
"""

from __future__ import annotations

from dataclasses import dataclass

from seediff.workflow.costs.prices import Cost

UNET_TFLOP, TEXT_TFLOP, DECODER_TFLOP = 0.804, 0.045, 2.515
"""Stable Diffusion 2 at 512 pixels: one prompt at one timestep, one prompt, one image."""
ENCODER_TFLOP, ADAPTING_TFLOP = 1.117, 1.727
"""One image encoded; the UNet forward and backward, its weights frozen."""
ADAPTER_PARAMETERS = 207_488
"""Parameters of an adapter of all attention layers, per rank."""
RECORDING = 1.13
"""A UNet call with recording takes at most this many times as long as a call without."""
REFINE_SECONDS = 0.2
"""One mask at 512 pixels on one core: reading, PAMR with ten rounds, writing."""
FILTER_SECONDS = 0.003
"""One mask at 512 pixels read and measured on one core, without CLIP."""
IMAGE_BYTES, MASK_BYTES, SCORE_BYTES = 450e3, 6e3, 2 * 64 * 64
"""A PNG of a photograph at 512 pixels, its mask, one variant's score; the first two are guesses."""


@dataclass(frozen=True)
class Network:
    """TFLOP of one 512 x 512 crop, ``forward`` alone and in ``training`` (forward and backward); its ``parameters``."""

    forward: float
    training: float
    parameters: float


_MASK2FORMER = {
    "resnet-50": Network(0.133, 0.397, 44.0e6),
    "swin-tiny": Network(0.138, 0.415, 47.4e6),
    "swin-base": Network(0.275, 0.824, 106.9e6),
}
_PER_PIXEL = {
    "resnet-50": Network(0.043, 0.128, 23.6e6),
    "swin-tiny": Network(0.051, 0.153, 27.6e6),
    "swin-base": Network(0.187, 0.561, 86.9e6),
}
NETWORKS = {
    f"{architecture} {backbone}": network
    for architecture, networks in [
        ("mask2former", _MASK2FORMER),
        ("mask2former-official", _MASK2FORMER),
        ("pixel", _PER_PIXEL),
    ]
    for backbone, network in networks.items()
}
"""By architecture and backbone."""


def _of_head(name: str) -> float:
    """TFLOP of training the head alone: the backbone, which a per-pixel classifier is all but, learns nothing."""
    backbone = _PER_PIXEL[name.split()[-1]]
    return NETWORKS[name].training - (backbone.training - backbone.forward)


PRICES = {
    "UNet call": Cost(gpu_tflop=UNET_TFLOP * RECORDING),
    "prompt": Cost(gpu_tflop=TEXT_TFLOP),
    "drawn image": Cost(gpu_tflop=DECODER_TFLOP),
    "encoded image": Cost(gpu_tflop=ENCODER_TFLOP),
    "adapting call": Cost(gpu_tflop=ADAPTING_TFLOP),
    "mask": Cost(core_seconds=REFINE_SECONDS),
    "measured mask": Cost(core_seconds=FILTER_SECONDS),
    "stored image": Cost(bytes=IMAGE_BYTES),
    "stored score": Cost(bytes=SCORE_BYTES),
    "stored mask": Cost(bytes=MASK_BYTES),
    "stored adapter rank": Cost(bytes=4 * ADAPTER_PARAMETERS),
    **{f"crop learnt by {name}": Cost(gpu_tflop=network.training) for name, network in NETWORKS.items()},
    **{f"crop learnt by head of {name}": Cost(gpu_tflop=_of_head(name)) for name in NETWORKS},
    **{f"crop seen by {name}": Cost(gpu_tflop=network.forward) for name, network in NETWORKS.items()},
    **{f"stored network {name}": Cost(bytes=4 * network.parameters) for name, network in NETWORKS.items()},
}
"""Of every unit of work that costs more than minutes in all."""
