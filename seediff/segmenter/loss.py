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

from seediff.datasets.classes import IGNORE_LABEL
from seediff.errors import SeediffError

CLASS_WEIGHT, MASK_WEIGHT, DICE_WEIGHT = 2.0, 5.0, 5.0
NO_OBJECT_WEIGHT = 0.1
OVERSAMPLING = 3
IMPORTANCE = 0.75
TOGETHER = 2**21
"""Mask logits (8 MiB) that are compared at once, within the cache: all layers of a small model, or a single one of a
large model."""
BEYOND = -1
"""The label of the border around an image."""


@dataclass(frozen=True)
class Targets:
    """``framed``: labels as ``frame`` pads them; ``classes``: those present in each image, (T_i,) long each."""

    framed: Tensor
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
    check_highest(max((int(found[-1]) for found in classes if len(found)), default=0), num_classes)
    return Targets(frame(labels), classes)


def check_highest(label: int, num_classes: int) -> None:
    """Raise ``SeediffError`` unless the highest label of a batch is a class."""
    if label >= num_classes:
        raise SeediffError(
            f"A training mask holds label {label}, but the segmenter has only classes 0 to {num_classes - 1}.\n"
            f"Use {IGNORE_LABEL} for pixels to ignore."
        )


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
    size = max(1, TOGETHER // layers[0][1].numel())
    parts = [_layers_loss(layers[k : k + size], targets, points, mean) for k in range(0, len(layers), size)]
    return {
        "class": CLASS_WEIGHT * torch.stack([part[0] for part in parts]).sum(),
        "mask": MASK_WEIGHT * torch.stack([part[1] for part in parts]).sum(),
        "dice": DICE_WEIGHT * torch.stack([part[2] for part in parts]).sum(),
    }


def _layers_loss(
    layers: Sequence[tuple[Tensor, Tensor]], targets: Targets, points: int, mean: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Several layers at once: row l * n + i is what layer l says of image i."""
    classes = torch.cat([logits for logits, _ in layers]).float()
    masks = torch.cat([logits for _, logits in layers]).float()
    row, query, label = match(classes, masks, targets, points)
    image = row % len(targets.classes)
    mask_loss, dice_loss = _mask_losses(masks[row, query], targets.framed, image, label, points)
    total, weight = _class_loss(classes, row, query, label)
    # Every layer has as many pairs, and classes of the same weights: one normaliser serves all.
    pairs = mean(torch.tensor(len(row) / len(layers), device=masks.device)).clamp(min=1)
    return total / mean(weight / len(layers)), mask_loss / pairs, dice_loss / pairs


@torch.no_grad()
def match(classes: Tensor, masks: Tensor, targets: Targets, points: int) -> tuple[Tensor, Tensor, Tensor]:
    """The assignment of least cost between queries and targets: row, query and label of every pair, (M,) each.

    Row k of ``classes`` (rows, Q, C + 1) and ``masks`` (rows, Q, h, w) is about image k modulo the number of images.
    """
    present = targets.classes * (len(masks) // len(targets.classes))
    cost = _matching_cost(classes, masks, targets, points).cpu()
    pairs = [linear_sum_assignment(costs[:, : len(wanted)]) for costs, wanted in zip(cost, present, strict=True)]
    device = masks.device
    row = torch.cat([torch.full((len(rows),), index) for index, (rows, _) in enumerate(pairs)]).to(device)
    query = torch.cat([torch.from_numpy(rows) for rows, _ in pairs]).to(device)
    label = torch.cat([wanted[columns] for wanted, (_, columns) in zip(present, pairs, strict=True)])
    return row, query, label


def _matching_cost(classes: Tensor, masks: Tensor, targets: Targets, points: int) -> Tensor:
    """(rows, Q, T), T the largest number of targets of an image; columns beyond an image's own mean nothing."""
    image = torch.arange(len(masks), device=masks.device) % len(targets.classes)
    wanted = torch.nn.utils.rnn.pad_sequence(targets.classes, batch_first=True)[image]
    coordinates = torch.rand(len(masks), points, 2, device=masks.device)
    logits = sample_logits(masks, coordinates)
    truth, weight = sample_labels(targets.framed, coordinates, wanted, image)
    target, weight = (truth * weight[:, None]).transpose(1, 2), weight[:, :, None]
    # Cross-entropy of logit x and target y is softplus(x) - x y, and softplus(x) = -log(sigmoid(-x)).
    complement = logits.neg().sigmoid_()
    overlap = 2 * (target.sum(1, keepdim=True) - complement @ target)
    size = weight.sum(1, keepdim=True) - complement @ weight + target.sum(1, keepdim=True)
    smallest = torch.finfo(logits.dtype).tiny
    entropy = -(complement.clamp_(min=smallest).log_() @ weight) - logits @ target
    of_class = -classes.softmax(-1).gather(2, wanted[:, None].expand(-1, classes.shape[1], -1))
    dice = 1 - (overlap + 1) / (size + 1)
    entropy = entropy / weight.sum(1, keepdim=True).clamp(min=1)
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


def _mask_losses(masks: Tensor, framed: Tensor, image: Tensor, label: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and dice, summed over the matched masks (M, h, w), at uncertain and at random points."""
    masks = masks[:, None]
    with torch.no_grad():
        coordinates = _uncertain_points(masks, framed, image, points)
        truth, weight = sample_labels(framed, coordinates, label[:, None], image)
        truth = truth[:, 0]
    logits = sample_logits(masks, coordinates)[:, 0]
    entropy = F.binary_cross_entropy_with_logits(logits, truth, weight, reduction="none")
    mask_loss = (entropy.sum(-1) / weight.sum(-1).clamp(min=1)).sum()
    probability = logits.sigmoid() * weight
    overlap = 2 * (probability * truth).sum(-1)
    size = probability.sum(-1) + (truth * weight).sum(-1)
    return mask_loss, (1 - (overlap + 1) / (size + 1)).sum()


def _uncertain_points(masks: Tensor, framed: Tensor, image: Tensor, points: int) -> Tensor:
    """(M, P, 2): of 3 P random points the 3/4 P valid ones whose logit is nearest 0, and 1/4 P random ones."""
    candidates = torch.rand(len(masks), OVERSAMPLING * points, 2, device=masks.device)
    certainty = sample_logits(masks, candidates)[:, 0].abs()
    certainty.masked_fill_(ignored_at(framed, candidates, image), torch.inf)
    chosen = certainty.topk(int(IMPORTANCE * points), largest=False, sorted=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    return torch.cat([uncertain, torch.rand(len(masks), points - chosen.shape[1], 2, device=masks.device)], 1)


# --- masks and labels at points: (x, y) in [0, 1)^2 of the image -----------------------------------------------------


def frame(labels: Tensor) -> Tensor:
    """Labels (n, H, W) with a border of ``BEYOND`` around each image: (n, H + 2, W + 2) int16."""
    return F.pad(labels.to(torch.int16), [1, 1, 1, 1], value=BEYOND)


def sample_logits(masks: Tensor, coordinates: Tensor) -> Tensor:
    """Bilinear samples (n, Q, P) of masks (n, Q, h, w) at ``coordinates`` (n, P, 2); zero beyond the border."""
    return F.grid_sample(masks, 2 * coordinates[:, :, None] - 1, align_corners=False).squeeze(3)


def sample_labels(framed: Tensor, coordinates: Tensor, wanted: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """What the masks of the ``wanted`` classes (m, T) are at ``coordinates`` (m, P, 2), and each point's weight.

    Row k looks at ``framed[image[k]]``. Returns targets (m, T, P) in [0, 1], interpolated between valid pixels only,
    and weights (m, P): 0 where the pixel under the point is ignored, 1 elsewhere.
    """
    x, y = _places(framed, coordinates, -0.5)
    left, top = x.floor(), y.floor()
    x, y = x - left, y - top
    width = framed.shape[2]
    first = _positions(framed, image, top, left)
    corners = [_look_up(framed, first + step) for step in (0, 1, width, width + 1)]
    shares = [(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]
    ignored, truth = torch.zeros_like(x), torch.zeros_like(x)[:, None]
    for share, corner in zip(shares, corners, strict=True):
        ignored = ignored + share * (corner == IGNORE_LABEL)
        truth = truth + share[:, None] * (corner[:, None] == wanted[:, :, None])
    valid = (1 - ignored).clamp(min=1e-6)
    upper, lower = (torch.where(x < 0.5, corners[at], corners[at + 1]) for at in (0, 2))
    weight = (torch.where(y < 0.5, upper, lower) != IGNORE_LABEL).to(truth.dtype)
    return truth / valid[:, None], weight


def ignored_at(framed: Tensor, coordinates: Tensor, image: Tensor) -> Tensor:
    """Whether the pixels under the points are ignored, (m, P)."""
    x, y = _places(framed, coordinates, 0.0)
    return _look_up(framed, _positions(framed, image, y, x)) == IGNORE_LABEL


def _places(framed: Tensor, coordinates: Tensor, shift: float) -> tuple[Tensor, Tensor]:
    """Points in pixels of the framed labels, whose first pixel inside the frame begins at 1."""
    height, width = framed.shape[1] - 2, framed.shape[2] - 2
    return coordinates[..., 0] * width + (1 + shift), coordinates[..., 1] * height + (1 + shift)


def _positions(framed: Tensor, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Where pixels (m, P) of ``framed[image]`` are in the flattened labels."""
    height, width = framed.shape[1:]
    return (image[:, None].int() * height + rows.int()) * width + columns.int()


def _look_up(framed: Tensor, positions: Tensor) -> Tensor:
    return framed.flatten().index_select(0, positions.flatten()).view(positions.shape)
