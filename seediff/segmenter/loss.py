"""Mask2Former's set loss (Cheng et al. 2022, Section 3.4), in which ignored pixels take no part.

The published loss sees every pixel that is not of a class as a negative of that class's mask, pixels labelled 255
included. Here a point on an ignored pixel has weight 0 in the matching cost, in both mask losses and in the choice
of uncertain points, and the target at a valid point is interpolated from valid pixels alone. Without ignored pixels
this is the published loss. A query without a target is taught "no object" either way: a class that lies wholly
under ignored pixels is not a target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from seediff.errors import SeediffError
from seediff.label_values import IGNORE_LABEL

CLASS_WEIGHT, MASK_WEIGHT, DICE_WEIGHT = 2.0, 5.0, 5.0
NO_OBJECT_WEIGHT = 0.1
OVERSAMPLING = 3
IMPORTANCE = 0.75


@dataclass(frozen=True)
class Targets:
    """``labels``: (n, H, W) long; ``classes``: the classes present in each image, (T_i,) long each."""

    labels: Tensor
    classes: list[Tensor]

    @property
    def count(self) -> int:
        return sum(map(len, self.classes))


def make_targets(labels: Tensor, num_classes: int) -> Targets:
    """One target for every class present in an image; ``labels``: (n, H, W) integers, 255 = ignore."""
    labels = labels.long()
    present = torch.zeros(len(labels), IGNORE_LABEL + 1, dtype=torch.bool, device=labels.device)
    present.scatter_(1, labels.flatten(1), True)
    classes = [row.nonzero()[:, 0] for row in present[:, :IGNORE_LABEL]]
    highest = max((int(found[-1]) for found in classes if len(found)), default=0)
    if highest >= num_classes:
        raise SeediffError(
            f"A training mask holds label {highest}, but the segmenter has only classes 0 to {num_classes - 1}.\n"
            f"Use {IGNORE_LABEL} for pixels to ignore."
        )
    return Targets(labels, classes)


def alone(value: Tensor) -> Tensor:
    """The mean over one process."""
    return value


def set_loss(
    layers: Sequence[tuple[Tensor, Tensor]], targets: Targets, points: int, mean: Callable[[Tensor], Tensor] = alone
) -> dict[str, Tensor]:
    """The weighted loss parts ``class``, ``mask`` and ``dice``, each summed over all decoder layers.

    ``layers``: (class logits (n, Q, C + 1), mask logits (n, Q, h, w)) per layer, "no object" last among the classes.
    ``points``: the number of points sampled, from torch's global generator, for the matching and for each mask.
    ``mean``: the mean of a tensor over all processes that share the batch; the mean of their losses is then that of
    the batch as a whole.
    """
    parts = [_layer_loss(classes.float(), masks.float(), targets, points, mean) for classes, masks in layers]
    return {
        "class": CLASS_WEIGHT * torch.stack([part[0] for part in parts]).sum(),
        "mask": MASK_WEIGHT * torch.stack([part[1] for part in parts]).sum(),
        "dice": DICE_WEIGHT * torch.stack([part[2] for part in parts]).sum(),
    }


def _layer_loss(
    classes: Tensor, masks: Tensor, targets: Targets, points: int, mean: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    image, query, label = match(classes, masks, targets, points)
    mask_loss, dice_loss = _mask_losses(masks[image, query], targets.labels, image, label, points)
    pairs = mean(torch.tensor(float(len(image)), device=masks.device)).clamp(min=1)
    total, weight = _class_loss(classes, image, query, label)
    return total / mean(weight), mask_loss / pairs, dice_loss / pairs


@torch.no_grad()
def match(classes: Tensor, masks: Tensor, targets: Targets, points: int) -> tuple[Tensor, Tensor, Tensor]:
    """The assignment of least cost between queries and targets: image, query and label of every pair, (M,) each."""
    cost = _matching_cost(classes, masks, targets, points).cpu()
    pairs = [linear_sum_assignment(one[:, : len(present)]) for one, present in zip(cost, targets.classes, strict=True)]
    device = masks.device
    image = torch.cat([torch.full((len(rows),), index) for index, (rows, _) in enumerate(pairs)]).to(device)
    query = torch.cat([torch.from_numpy(rows) for rows, _ in pairs]).to(device)
    label = torch.cat([present[columns] for present, (_, columns) in zip(targets.classes, pairs, strict=True)])
    return image, query, label


def _matching_cost(classes: Tensor, masks: Tensor, targets: Targets, points: int) -> Tensor:
    """(n, Q, T) with T the largest number of targets of an image; columns beyond an image's own mean nothing."""
    wanted = torch.nn.utils.rnn.pad_sequence(targets.classes, batch_first=True)
    coordinates = torch.rand(len(masks), points, 2, device=masks.device)
    logits = sample_logits(masks, coordinates)
    truth, weight = sample_labels(targets.labels, coordinates, wanted)
    weighted = truth * weight[:, None]
    # Cross-entropy of logit x and target y is softplus(x) - x y.
    entropy = (F.softplus(logits) @ weight[:, :, None]) - logits @ weighted.transpose(1, 2)
    probability = logits.sigmoid()
    overlap = 2 * probability @ weighted.transpose(1, 2)
    size = probability @ weight[:, :, None] + weighted.sum(-1)[:, None]
    of_class = -classes.softmax(-1).gather(2, wanted[:, None].expand(-1, classes.shape[1], -1))
    dice = 1 - (overlap + 1) / (size + 1)
    entropy = entropy / weight.sum(-1).clamp(min=1)[:, None, None]
    cost = CLASS_WEIGHT * of_class + MASK_WEIGHT * entropy + DICE_WEIGHT * dice
    largest = torch.finfo(cost.dtype).max
    return cost.nan_to_num(nan=largest, posinf=largest, neginf=largest)


def _class_loss(classes: Tensor, image: Tensor, query: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy over all queries, and their weights, both summed; those without a target are "no object", at a
    tenth of the weight."""
    no_object = classes.shape[-1] - 1
    wanted = torch.full(classes.shape[:2], no_object, device=classes.device)
    wanted[image, query] = label
    weight = torch.ones(no_object + 1, device=classes.device)
    weight[no_object] = NO_OBJECT_WEIGHT
    total = F.cross_entropy(classes.flatten(0, 1), wanted.flatten(), weight, reduction="sum")
    return total, weight[wanted].sum()


def _mask_losses(masks: Tensor, labels: Tensor, image: Tensor, label: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and dice, summed over the matched masks (M, h, w), at uncertain and at random points."""
    masks = masks[:, None]
    with torch.no_grad():
        coordinates = _uncertain_points(masks, labels, image, points)
        truth, weight = sample_labels(labels, coordinates, label[:, None], image)
        truth = truth[:, 0]
    logits = sample_logits(masks, coordinates)[:, 0]
    entropy = F.binary_cross_entropy_with_logits(logits, truth, weight, reduction="none")
    mask_loss = (entropy.sum(-1) / weight.sum(-1).clamp(min=1)).sum()
    probability = logits.sigmoid() * weight
    overlap = 2 * (probability * truth).sum(-1)
    size = probability.sum(-1) + (truth * weight).sum(-1)
    return mask_loss, (1 - (overlap + 1) / (size + 1)).sum()


def _uncertain_points(masks: Tensor, labels: Tensor, image: Tensor, points: int) -> Tensor:
    """(M, P, 2): of 3 P random points the 3/4 P valid ones whose logit is nearest 0, and 1/4 P random ones."""
    candidates = torch.rand(len(masks), OVERSAMPLING * points, 2, device=masks.device)
    certainty = sample_logits(masks, candidates)[:, 0].abs()
    certainty[_nearest_labels(labels, candidates, image) == IGNORE_LABEL] = torch.inf
    chosen = certainty.topk(int(IMPORTANCE * points), largest=False, sorted=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    return torch.cat([uncertain, torch.rand(len(masks), points - chosen.shape[1], 2, device=masks.device)], 1)


def sample_logits(masks: Tensor, coordinates: Tensor) -> Tensor:
    """Bilinear samples (n, Q, P) of masks (n, Q, h, w) at (x, y) in [0, 1]^2, (n, P, 2); zero beyond the border."""
    return F.grid_sample(masks, 2 * coordinates[:, :, None] - 1, align_corners=False).squeeze(3)


def sample_labels(
    labels: Tensor, coordinates: Tensor, wanted: Tensor, image: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What the masks of the ``wanted`` classes (m, T) are at ``coordinates`` (m, P, 2), and each point's weight.

    Row k looks at ``labels[image[k]]`` (default: row k). Returns targets (m, T, P) in [0, 1], interpolated between
    valid pixels only, and weights (m, P): 0 where the pixel under the point is ignored, 1 elsewhere.
    """
    image = torch.arange(len(labels), device=labels.device) if image is None else image
    corners, shares = _corners(labels, coordinates, image)
    ignored = (shares * (corners == IGNORE_LABEL)).sum(-1)
    shares = shares / (1 - ignored).clamp(min=1e-6)[..., None]
    truth = ((corners[:, None] == wanted[:, :, None, None]) * shares[:, None]).sum(-1)
    weight = (_nearest_labels(labels, coordinates, image) != IGNORE_LABEL).to(truth.dtype)
    return truth, weight


def _corners(labels: Tensor, coordinates: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Labels of the four pixels around each point and their bilinear shares, (m, P, 4) both; 0 beyond the border."""
    height, width = labels.shape[1:]
    x, y = coordinates[..., 0] * width - 0.5, coordinates[..., 1] * height - 0.5
    left, top = x.floor(), y.floor()
    columns = torch.stack([left, left + 1, left, left + 1], -1)
    rows = torch.stack([top, top, top + 1, top + 1], -1)
    shares = (1 - (x[..., None] - columns).abs()) * (1 - (y[..., None] - rows).abs())
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows = columns.clamp(0, width - 1).long(), rows.clamp(0, height - 1).long()
    return _look_up(labels, image[:, None, None], rows, columns), shares * inside


def _nearest_labels(labels: Tensor, coordinates: Tensor, image: Tensor) -> Tensor:
    """Labels (m, P) of the pixels under the points."""
    height, width = labels.shape[1:]
    columns = (coordinates[..., 0] * width).long().clamp(max=width - 1)
    rows = (coordinates[..., 1] * height).long().clamp(max=height - 1)
    return _look_up(labels, image[:, None], rows, columns)


def _look_up(labels: Tensor, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``labels[image, rows, columns]``, several times as fast on a CPU."""
    position = (image * labels.shape[1] + rows) * labels.shape[2] + columns
    return labels.flatten().index_select(0, position.flatten()).view(position.shape)
