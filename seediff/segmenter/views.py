"""What a segmenter sees of its training pairs: an endless sequence of augmented views."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from seediff.datasets.augmentation import Augmentation, augmented
from seediff.datasets.pairs import Pairs
from seediff.rng import derive_seed
from seediff.segmenter.augment import augment
from seediff.segmenter.settings import SegmenterSettings


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
