"""Count the memory that full-size models take: python benchmarks/memory.py

Tensors are followed from where they are made to where they are given up, so the peak is that of an allocator that
wastes nothing. Diffusion models are only traced, on tensors without content. Mask2Former's masked attention depends
on its own masks, so it is run for real, at one crop: minutes on one core. Numbers are GiB of float32 beside the
weights, for each image, or each crop of 512 x 512 pixels; of bfloat16 they are half.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.flops import BACKBONES, CLASSES, CROP, LATENTS, total
from seediff.segmenter import pixel
from seediff.segmenter.mask2former import empty, predict_layers
from seediff.segmenter.settings import segmenter_settings
from tests.full_size.architectures import TOKENS, autoencoder, unet


class Peak(TorchDispatchMode):
    """Follows every storage that operations make until nothing refers to it; ``peak``: the most bytes at once."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in (*held.parameters(), *held.buffers()))

    def __torch_dispatch__(self, operation: Any, types: Any, inputs: Any = (), options: Any = None) -> Any:
        made = operation(*inputs, **(options or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and (storage := tensor.untyped_storage()) not in self._known:
                self._known.add(storage)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._give_up, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def _give_up(self, size: int) -> None:
        self.now -= size


def gibibytes(model: nn.Module, compute: Callable[[], object]) -> float:
    """The peak beside the model's own tensors."""
    with Peak(model) as followed:
        compute()
    return followed.peak / 2**30


def learning(model: nn.Module, compute: Callable[[], object]) -> float:
    """The same under autocast, without its copies of the weights, which every image and crop of a batch shares."""
    with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
        return gibibytes(model, compute) - 2 * sum(weight.numel() for weight in model.parameters()) / 2**30


def unet_call() -> float:
    model, text = unet(), torch.empty(1, TOKENS, 1024)
    return gibibytes(model, lambda: model(torch.empty(LATENTS), torch.tensor(500), encoder_hidden_states=text))


def decoding() -> float:
    model = autoencoder()
    return gibibytes(model, lambda: model.decode(torch.empty(LATENTS)))


def encoding() -> float:
    model = autoencoder()
    return gibibytes(model, lambda: model.encode(torch.empty(CROP)))


def adapter_step() -> float:
    """Forward and backward of one image through frozen weights."""
    model, text = unet().requires_grad_(False), torch.empty(1, TOKENS, 1024)

    def step() -> None:
        latents = torch.empty(LATENTS, requires_grad=True)
        model(latents, torch.tensor(500), encoder_hidden_states=text).sample.sum().backward()

    return learning(model, step)


def mask2former(backbone: str, is_training: bool) -> float:
    model = empty(segmenter_settings(backbone), CLASSES).train()
    if is_training:
        return learning(model, lambda: total(predict_layers(model, torch.randn(CROP))).backward())
    with torch.no_grad():
        return gibibytes(model, lambda: predict_layers(model, torch.randn(CROP)))


def per_pixel(backbone: str, is_training: bool) -> float:
    model = pixel.empty(segmenter_settings(backbone, architecture="pixel"), CLASSES).train()
    if is_training:
        return learning(model, lambda: model(torch.randn(CROP)).sum().backward())
    with torch.no_grad():
        return gibibytes(model, lambda: model(torch.randn(CROP)))


def rows() -> Iterator[tuple[str, float]]:
    with FakeTensorMode(), torch.no_grad():
        yield "Stable Diffusion 2 UNet, one prompt", unet_call()
        yield "Stable Diffusion 2 decoder, one image", decoding()
        yield "Stable Diffusion 2 encoder, one image", encoding()
        yield "Stable Diffusion 2 UNet, frozen, forward and backward", adapter_step()
    with FakeTensorMode():
        yield from of_segmenters("Per-pixel classifier", per_pixel)
    yield from of_segmenters("Mask2Former", mask2former)


def of_segmenters(name: str, count: Callable[[str, bool], float]) -> Iterator[tuple[str, float]]:
    for backbone in BACKBONES:
        yield f"{name} {backbone}, one crop, training", count(backbone, True)
        yield f"{name} {backbone}, one crop, prediction", count(backbone, False)


if __name__ == "__main__":
    for name, count in rows():
        print(f"{name:56} {count:6.3f} GiB", flush=True)
