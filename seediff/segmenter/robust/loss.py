"""The loss of co-training (BECO, Rong et al. 2023).

Each network learns from the labels as far as they are relied on, and from the other's argmax as far as they are not.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from seediff.segmenter.backends import Mean
from seediff.segmenter.loss import alone
from seediff.segmenter.robust.heads import Head, cross_entropy
from seediff.segmenter.robust.lessons import Lesson
from seediff.segmenter.settings import SegmenterSettings


def cotraining_loss(
    networks: Sequence[nn.Module],
    lesson: Lesson,
    head: Head,
    boundary_weight: float,
    settings: SegmenterSettings,
    mean: Mean = alone,
) -> dict[str, Tensor]:
    """The head's own parts and ``peer``, each summed over the two networks."""
    answers = [head.answer(network, lesson.images) for network in networks]
    seen = [head.log_probabilities(answer, tuple(lesson.labels.shape[1:])) for answer in answers]
    total: dict[str, Tensor] = {}
    for answer, own, others in zip(answers, seen, reversed(seen), strict=True):
        parts = head.supervised(answer, own, lesson, boundary_weight, settings, mean)
        parts["peer"] = head.weight * cross_entropy(own, others.argmax(1), lesson.doubt)
        total = {name: part + total.get(name, 0) for name, part in parts.items()}
    return total
