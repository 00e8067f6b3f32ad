"""What masks and labels are at points: (x, y) in [0, 1)^2 of the image, as Mask2Former's loss samples them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from seediff.datasets.label_values import IGNORE_LABEL

BEYOND = -1


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
