"""ClassMix (Olsson et al. 2021) with online labels, as BECO has it: half of another image's objects pasted over one.

What is pasted and all labels of a mixed image follow from what the networks see by now, no longer from the masks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from seediff.datasets.label_values import BACKGROUND_LABEL, IGNORE_LABEL
from seediff.segmenter.robust.lessons import Lesson
from seediff.segmenter.robust.settings import RobustTraining


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
