"""What co-training learns from: views with the reliability of their labels, a weight for each label, and ClassMix.

ClassMix (Olsson et al. 2021) is BECO's, with online labels: half of another image's objects are pasted over an image.
What is pasted, and all labels of a mixed image, follow from what the networks predict at that time, not from the masks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from seediff.datasets.classes import BACKGROUND_LABEL, IGNORE_LABEL
from seediff.datasets.images import Pairs
from seediff.errors import SeediffError
from seediff.masks.reliability import LEVELS
from seediff.segmenter.settings import RobustTraining
from seediff.segmenter.views import Views


@dataclass(frozen=True)
class ReliabilityViews(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Views with the reliability of their labels, (h, w) uint8: 1 to 255, and 0 beyond the image.

    ``uncertainty``: the pairs of ``views`` with 255 - reliability in place of labels. Whatever augmentation does to
    labels is right for it: what lies beyond the image becomes 255, and an occluding patch 0, as it is background for
    certain. The same random numbers make the same view of both.
    """

    views: Views
    uncertainty: Pairs

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        image, labels = self.views[number]
        _, uncertainty = replace(self.views, pairs=self.uncertainty)[number]
        return image, labels, IGNORE_LABEL - uncertainty


@dataclass(frozen=True)
class WeightedBatch:
    """A batch of views, all (n, H, W) but the images.

    ``images``: (n, H, W, 3) uint8. ``labels``: long, 255 for none. ``weights``: float in [0, 1], of each label in the
    loss. ``known``: bool, False beyond the image, where nothing is to be learnt. ``boundary``: float, 1 at the edges of
    what was pasted.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor
    known: Tensor
    boundary: Tensor

    @property
    def peer_weights(self) -> Tensor:
        """Weights of the other network's labels: 1 - weights within the image."""
        return (1 - self.weights) * self.known


def weighted(images: Tensor, labels: Tensor, levels: Tensor, robust: RobustTraining) -> WeightedBatch:
    """What ``ReliabilityViews`` gives, as a batch, with labels weighted as the settings say."""
    labels, weights = labels.long(), label_weights(labels, levels, robust)
    return WeightedBatch(images, labels, weights, levels > 0, torch.zeros_like(weights))


def label_weights(labels: Tensor, levels: Tensor, robust: RobustTraining) -> Tensor:
    """The weight of each label, float in [0, 1]; 0 where it is 255."""
    weights = WEIGHTINGS[robust.reliability]((levels.float() - 1) / LEVELS, robust.share)
    return weights.clamp(min=0) * (labels != IGNORE_LABEL)


def _hard(reliability: Tensor, share: float) -> Tensor:
    """1 for the most reliable ``share`` of each label's pixels, else 0 (BECO's M)."""
    return (reliability > 1 - share).float()


def _soft(reliability: Tensor, share: float) -> Tensor:
    return reliability


WEIGHTINGS = {"hard": _hard, "soft": _soft}


def check_reliable(pairs: Pairs, uncertainty: Pairs, robust: RobustTraining) -> None:
    """Raise ``SeediffError`` if every label of the training set has weight 0."""
    for index in range(len(pairs)):
        levels = IGNORE_LABEL - np.asarray(uncertainty[index][1])
        if label_weights(torch.from_numpy(pairs[index][1]), torch.from_numpy(levels), robust).any():
            return
    raise SeediffError(
        "No pixel of the training set is reliable, so there is nothing to learn from.\n"
        "Lower the refinement's threshold or raise its uncertain_from, or raise 'share' of the recipe's 'robust'."
    )


# --- ClassMix --------------------------------------------------------------------------------------------------------


def online(batch: WeightedBatch, probabilities: Tensor, confidence: float) -> WeightedBatch:
    """The batch with labels from probabilities (n, C, H, W): weight 1 where they are above ``confidence``, else 0."""
    best, labels = probabilities.max(1)
    sure = (best > confidence) & batch.known
    return replace(batch, labels=labels.masked_fill(~batch.known, IGNORE_LABEL), weights=sure.float())


def mixed(given: WeightedBatch, seen: WeightedBatch, robust: RobustTraining) -> WeightedBatch:
    """The batch in which each image of ``given`` is, with probability ``mix``, mixed by its labels in ``seen``.

    ``seen``: the same images with online labels. Image i gets objects of image i + n / 2. Random numbers are torch's.
    """
    partner = torch.arange(len(given.images)).roll(-(len(given.images) // 2))
    chosen = (torch.rand(len(given.images)) < robust.mix).to(given.images.device)
    other = WeightedBatch(*(part[partner] for part in _parts(seen)))
    pasted = torch.stack([_half_of_the_objects(labels, sure) for labels, sure in zip(other.labels, other.weights)])
    over = [torch.where(_like(pasted, theirs), theirs, own) for own, theirs in zip(_parts(seen), _parts(other))]
    mix = replace(WeightedBatch(*over), boundary=boundary(pasted, robust.boundary))
    return WeightedBatch(*(torch.where(_like(chosen, new), new, own) for own, new in zip(_parts(given), _parts(mix))))


def _parts(batch: WeightedBatch) -> tuple[Tensor, ...]:
    return batch.images, batch.labels, batch.weights, batch.known, batch.boundary


def _like(choice: Tensor, part: Tensor) -> Tensor:
    """The choice with as many axes as what is chosen from."""
    return choice.view(*choice.shape, *[1] * (part.ndim - choice.ndim))


def _half_of_the_objects(labels: Tensor, sure: Tensor) -> Tensor:
    """Where the sure labels (H, W) are of a random half of the classes in them, rounded up, background not counted."""
    certain = labels.masked_fill(sure == 0, BACKGROUND_LABEL)
    classes = certain.unique()
    classes = classes[classes != BACKGROUND_LABEL]
    half = torch.randperm(len(classes))[: (len(classes) + 1) // 2]
    return torch.isin(certain, classes[half.to(classes.device)])


def boundary(pasted: Tensor, size: int) -> Tensor:
    """1 within ``size`` pixels of the border of pasted regions (n, H, W) bool, on either side of it, else 0."""
    region = pasted.float()[:, None]
    dilated = F.max_pool2d(region, 2 * size + 1, 1, size)
    eroded = -F.max_pool2d(-region, 2 * size + 1, 1, size)
    return (dilated - eroded)[:, 0]


# --- changes after mixing ---------------------------------------------------------------------------------------------

_GREY = (0.299, 0.587, 0.114)
_BLUR = (1, 4, 6, 4, 1)


def strongly_changed(images: Tensor, strength: float) -> Tensor:
    """Images (n, H, W, 3) uint8 as BECO's published code shows them after mixing; labels stay theirs.

    ``strength``: the multiple of its probabilities. Brightness and contrast change by up to a fifth, saturation by up
    to three tenths; hue stays. Random numbers are torch's.
    """

    def drawn(reach: float) -> Tensor:
        return torch.empty(len(images), 1, 1, 1).uniform_(-reach, reach).to(images.device)

    def chosen(probability: float) -> Tensor:
        return (torch.rand(len(images), 1, 1, 1) < strength * probability).to(images.device)

    pixels = images.float()
    centre = pixels.mean((1, 2, 3), keepdim=True)
    contrasted = (pixels - centre) * (1 + drawn(0.2)) + centre + 255 * drawn(0.2)
    grey = (contrasted * torch.tensor(_GREY, device=images.device)).sum(-1, keepdim=True)
    pixels = torch.where(chosen(0.8), grey + (contrasted - grey) * (1 + drawn(0.3)), pixels)
    grey = (pixels * torch.tensor(_GREY, device=images.device)).sum(-1, keepdim=True)
    pixels = torch.where(chosen(0.2), grey.expand_as(pixels), pixels)
    return torch.where(chosen(0.5), _blurred(pixels), pixels).clamp(0, 255).round().to(torch.uint8)


def _blurred(pixels: Tensor) -> Tensor:
    """(n, H, W, 3) convolved with a Gaussian of 5 x 5 pixels."""
    row = torch.tensor(_BLUR, dtype=pixels.dtype, device=pixels.device) / sum(_BLUR)
    channels = F.pad(pixels.permute(0, 3, 1, 2), [2, 2, 2, 2], mode="replicate")
    across = F.conv2d(channels, row.view(1, 1, 1, 5).expand(3, 1, 1, 5), groups=3)
    return F.conv2d(across, row.view(1, 1, 5, 1).expand(3, 1, 5, 1), groups=3).permute(0, 2, 3, 1)
