"""What a segmenter sees of its training pairs: an endless sequence of views, augmented as Mask2Former's are.

Scale, crop, colour, flip: image and labels together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from seediff.datasets.augmentation import Augmentation, augmented
from seediff.datasets.classes import IGNORE_LABEL
from seediff.datasets.images import Array, Pair, Pairs, resize_pair
from seediff.rng import derive_seed
from seediff.segmenter.settings import SegmenterSettings

PADDING_GREY = 128


@dataclass(frozen=True)
class Views(Dataset[tuple[Tensor, Tensor]]):
    """View k is the same whoever computes it, and when: an image (h, w, 3) and its labels (h, w), uint8.

    (h, w) is the ``crop_size`` of the settings.
    """

    pairs: Pairs
    settings: SegmenterSettings
    augmentation: Augmentation
    rng_seed: int

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        epoch, position = divmod(number, len(self.pairs))
        index = int(_order(self.rng_seed, epoch, len(self.pairs))[position])
        rng = np.random.default_rng(derive_seed(self.rng_seed, "view", number))
        image, labels = augment(rng, *augmented(rng, self.pairs, index, self.augmentation), self.settings)
        return torch.from_numpy(image), torch.from_numpy(labels)


@lru_cache(maxsize=2)
def _order(rng_seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng(derive_seed(rng_seed, "epoch", epoch)).permutation(count)


def augment(rng: Generator, image: Array, labels: Array, settings: SegmenterSettings) -> Pair:
    """A random view of an image (H, W, 3) and its labels (H, W): both of the size ``settings.crop_size``.

    What lies beyond the image is grey and labelled 255.
    """
    image, labels = random_scale(rng, image, labels, settings)
    image, labels = random_crop(rng, image, labels, settings.crop_size)
    if settings.colour_jitter > 0:
        image = jitter_colours(rng, image, settings.colour_jitter)
    if rng.random() < settings.flip:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return pad(image, labels, settings.crop_size)


def random_scale(rng: Generator, image: Array, labels: Array, settings: SegmenterSettings) -> Pair:
    """Resize so that the shorter edge is a random multiple of the crop's."""
    edge = min(settings.crop_size) * rng.uniform(settings.scale_min, settings.scale_max)
    ratio = edge / min(labels.shape)
    return resize_pair(image, labels, tuple(max(round(length * ratio), 1) for length in labels.shape))


def random_crop(rng: Generator, image: Array, labels: Array, size: tuple[int, int]) -> Pair:
    """A random window of at most ``size`` (height, width) pixels."""
    top, left = (int(rng.integers(0, max(length - side, 0) + 1)) for length, side in zip(labels.shape, size))
    window = slice(top, top + size[0]), slice(left, left + size[1])
    return image[window], labels[window]


def pad(image: Array, labels: Array, size: tuple[int, int]) -> Pair:
    """Fill up to ``size`` (height, width) on the right and below, with grey and with label 255."""
    height, width = labels.shape
    padded = np.full((*size, 3), PADDING_GREY, np.uint8)
    padded_labels = np.full(size, IGNORE_LABEL, np.uint8)
    padded[:height, :width], padded_labels[:height, :width] = image, labels
    return padded, padded_labels


def jitter_colours(rng: Generator, image: Array, strength: float) -> Array:
    """The photometric distortion of SSD (Liu et al. 2016): brightness, contrast, saturation and hue.

    Each is applied half of the time, contrast before or after the other colours; ``strength`` scales all amounts.
    """
    contrast_first = rng.random() < 0.5
    pixels = image.astype(np.float32)
    pixels = pixels + _sometimes(rng, 32 * strength)
    if contrast_first:
        pixels = pixels * (1 + _sometimes(rng, 0.5 * strength))
    pixels = _jitter_hue(rng, _as_uint8(pixels), strength).astype(np.float32)
    if not contrast_first:
        pixels = pixels * (1 + _sometimes(rng, 0.5 * strength))
    return _as_uint8(pixels)


def _jitter_hue(rng: Generator, image: Array, strength: float) -> Array:
    """Scale the saturation by up to half and turn the hue by up to a tenth of the circle."""
    saturation, turn = 1 + _sometimes(rng, 0.5 * strength), _sometimes(rng, 0.1 * 256 * strength)
    hsv = np.asarray(Image.fromarray(image).convert("HSV")).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + turn) % 256
    hsv[..., 1] *= saturation
    return np.asarray(Image.fromarray(_as_uint8(hsv), mode="HSV").convert("RGB"))


def _sometimes(rng: Generator, amount: float) -> float:
    """A number in [-amount, amount] half of the time, else 0."""
    value = rng.uniform(-amount, amount)
    return float(value) if rng.random() < 0.5 else 0.0


def _as_uint8(pixels: NDArray[np.float32]) -> Array:
    return np.clip(pixels, 0, 255).astype(np.uint8)
