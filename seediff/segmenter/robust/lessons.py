"""What two networks learn from: views with their reliability, how far each label is relied on, and ClassMix.

ClassMix (Olsson et al. 2021) is that of BECO, with online labels: half of another image's objects pasted over an image.
What is pasted and all labels of a mixed image follow from what the networks see by now, no longer from the masks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from seediff.datasets.label_values import BACKGROUND_LABEL, IGNORE_LABEL
from seediff.datasets.pairs import Pairs
from seediff.errors import SeediffError
from seediff.masks.reliability import LEVELS
from seediff.segmenter.robust.settings import RobustTraining
from seediff.segmenter.views import Views

Rated = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class RatedViews(Dataset[Rated]):
    """Views with the reliability of their labels, (h, w) uint8: 1 to 255, and 0 beyond the image.

    ``doubts`` are the pairs of ``views`` with 255 less their reliability in place of labels. Whatever augmentation does
    to labels is right for doubts: what lies beyond the image becomes 255, and an occluding patch 0, as it certainly is
    background. The same random numbers make the same view of both.
    """

    views: Views
    doubts: Pairs

    def __getitem__(self, number: int) -> Rated:
        image, labels = self.views[number]
        _, doubt = replace(self.views, pairs=self.doubts)[number]
        return image, labels, IGNORE_LABEL - doubt


@dataclass(frozen=True)
class Lesson:
    """A batch of views, all (n, H, W) but the images.

    ``images``: (n, H, W, 3) uint8. ``labels``: long, 255 for none. ``trust``: float in [0, 1], how far the label is
    relied on. ``known``: bool, False beyond the image, where nothing is to be learnt. ``boundary``: float, 1 at the
    edges of what was pasted.
    """

    images: Tensor
    labels: Tensor
    trust: Tensor
    known: Tensor
    boundary: Tensor

    @property
    def doubt(self) -> Tensor:
        """How far the label is left to the other network: 1 - trust within the image."""
        return (1 - self.trust) * self.known


def lesson(images: Tensor, labels: Tensor, levels: Tensor, robust: RobustTraining) -> Lesson:
    """What ``RatedViews`` gives, as a batch, with the labels relied on as the settings say."""
    labels, trust = labels.long(), trust_in(labels, levels, robust)
    return Lesson(images, labels, trust, levels > 0, torch.zeros_like(trust))


def trust_in(labels: Tensor, levels: Tensor, robust: RobustTraining) -> Tensor:
    """How far each label is relied on, float in [0, 1]; not at all where it is 255."""
    trust = RELIANCE[robust.reliability]((levels.float() - 1) / LEVELS, robust.share)
    return trust.clamp(min=0) * (labels != IGNORE_LABEL)


def _hard(reliability: Tensor, share: float) -> Tensor:
    """Wholly on the top ``share`` of each label's pixels, on others not at all (BECO's M)."""
    return (reliability > 1 - share).float()


def _soft(reliability: Tensor, share: float) -> Tensor:
    return reliability


RELIANCE = {"hard": _hard, "soft": _soft}


def check_reliable(pairs: Pairs, doubts: Pairs, robust: RobustTraining) -> None:
    """Raise ``SeediffError`` unless some label of the training set is relied on."""
    for index in range(len(pairs)):
        levels = IGNORE_LABEL - np.asarray(doubts[index][1])
        if trust_in(torch.from_numpy(pairs[index][1]), torch.from_numpy(levels), robust).any():
            return
    raise SeediffError(
        "No pixel of the training set is reliable, so there is nothing to learn from.\n"
        "Lower the refinement's threshold or raise its uncertain_from, or raise 'share' of the recipe's 'robust'."
    )


# --- ClassMix --------------------------------------------------------------------------------------------------------


def online(lesson: Lesson, probabilities: Tensor, confidence: float) -> Lesson:
    """The lesson with labels from probabilities (n, C, H, W): relied on where they are above ``confidence``."""
    best, labels = probabilities.max(1)
    sure = (best > confidence) & lesson.known
    return replace(lesson, labels=labels.masked_fill(~lesson.known, IGNORE_LABEL), trust=sure.float())


def mixed(given: Lesson, seen: Lesson, robust: RobustTraining) -> Lesson:
    """The lesson in which each image of ``given`` is, with probability ``mix``, mixed by its labels in ``seen``.

    ``seen``: the same images with online labels. Image i gets objects of image i + n / 2. Random numbers are torch's.
    """
    partner = torch.arange(len(given.images)).roll(-(len(given.images) // 2))
    chosen = (torch.rand(len(given.images)) < robust.mix).to(given.images.device)
    other = Lesson(*(part[partner] for part in _parts(seen)))
    pasted = torch.stack([_half_of_the_objects(labels, sure) for labels, sure in zip(other.labels, other.trust)])
    over = [torch.where(_like(pasted, theirs), theirs, own) for own, theirs in zip(_parts(seen), _parts(other))]
    mix = replace(Lesson(*over), boundary=boundary(pasted, robust.boundary))
    return Lesson(*(torch.where(_like(chosen, new), new, own) for own, new in zip(_parts(given), _parts(mix))))


def _parts(lesson: Lesson) -> tuple[Tensor, ...]:
    return lesson.images, lesson.labels, lesson.trust, lesson.known, lesson.boundary


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
