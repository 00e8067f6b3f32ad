"""Count what the full-size models compute: python benchmarks/flops.py

The diffusion model is only traced, on tensors without content. The segmenter's masked attention depends on its own
masks, so it is run for real: a minute or two on one core.

A multiplication and an addition are two operations. Convolutions and matrix products count, those inside of attention
included; element-wise work and the sampling of deformable attention (under 0.001 TFLOP) do not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

from seediff.segmenter import pixel
from seediff.segmenter.mask2former import empty, predict_layers
from seediff.segmenter.settings import segmenter_settings
from tests.full_size.architectures import TOKENS, autoencoder, text_encoder, unet

CLASSES = 21
LATENTS = (1, 4, 64, 64)
CROP = (1, 3, 512, 512)
BACKBONES = "resnet-50", "swin-tiny", "swin-base"


def teraflops(compute: Callable[[], object]) -> float:
    """Attention is taken apart, for the counter knows not every fused kernel."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        compute()
    return counter.get_total_flops() / 1e12


def unet_call() -> float:
    text = torch.empty(1, TOKENS, 1024)
    model = unet()
    return teraflops(lambda: model(torch.empty(LATENTS), torch.tensor(500), encoder_hidden_states=text))


def text_encoding() -> float:
    model = text_encoder()
    return teraflops(lambda: model(torch.zeros(1, TOKENS, dtype=torch.long)))


def decoding() -> float:
    model = autoencoder()
    return teraflops(lambda: model.decode(torch.empty(LATENTS)))


def encoding() -> float:
    model = autoencoder()
    return teraflops(lambda: model.encode(torch.empty(CROP)))


def adapter_step() -> float:
    """Forward and backward of one image through frozen weights; the adapter's own few per mille are left out."""
    latents, text = torch.empty(LATENTS, requires_grad=True), torch.empty(1, TOKENS, 1024)
    model = unet().requires_grad_(False)
    with torch.enable_grad():
        return teraflops(lambda: model(latents, torch.tensor(500), encoder_hidden_states=text).sample.sum().backward())


def mask2former(backbone: str) -> tuple[float, float]:
    """Forward and backward of one crop."""
    model = empty(segmenter_settings(backbone), CLASSES).train()
    return forward_and_backward(lambda: total(predict_layers(model, torch.randn(CROP))))


def per_pixel(backbone: str) -> tuple[float, float]:
    model = pixel.empty(segmenter_settings(backbone, architecture="pixel"), CLASSES).train()
    return forward_and_backward(lambda: model(torch.randn(CROP)).sum())


def forward_and_backward(loss: Callable[[], Tensor]) -> tuple[float, float]:
    losses: list[Tensor] = []
    forward = teraflops(lambda: losses.append(loss()))
    return forward, teraflops(losses[0].backward)


def total(layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Stands in for the loss, which costs next to nothing."""
    return torch.stack([logits.sum() for layer in layers for logits in layer]).sum()


def rows() -> Iterator[tuple[str, float]]:
    with FakeTensorMode(), torch.no_grad():
        yield "Stable Diffusion 2 UNet, one prompt, one timestep", unet_call()
        yield "Stable Diffusion 2 text encoder, one prompt", text_encoding()
        yield "Stable Diffusion 2 decoder, 512 x 512", decoding()
        yield "Stable Diffusion 2 encoder, 512 x 512", encoding()
        yield "Stable Diffusion 2 UNet, frozen, forward and backward", adapter_step()
    for name, count in (("Mask2Former", mask2former), ("Per-pixel classifier", per_pixel)):
        for backbone in BACKBONES:
            forward, backward = count(backbone)
            yield f"{name} {backbone}, 512 x 512, forward", forward
            yield f"{name} {backbone}, 512 x 512, backward", backward


if __name__ == "__main__":
    for name, count in rows():
        print(f"{name:56} {count:6.3f} TFLOP", flush=True)
