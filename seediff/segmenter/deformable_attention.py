"""Multi-scale deformable attention (Zhu et al. 2021, Eq. 3) on a CPU, as a sparse matrix.

Every query and head looks at a few places of each level, every place at four pixels: a row of a sparse matrix whose
columns are all pixels, heads and levels, with ``levels * points * 4`` entries. The output is its product with the
values; the gradients are the transposed product and a product sampled at the entries. Nothing of the size of
all samples times all channels is ever made, which the usual formulation by ``grid_sample`` does several times.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from transformers import Mask2FormerForUniversalSegmentation
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
)

# Of sparse tensors, only a product that is tested against the dense one is used here.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)

Shapes = list[tuple[int, int]]
"""(height, width) of each level."""


class DeformableAttention(Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention):
    """transformers' module, with its sampling done as above wherever the values are on a CPU."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        position_embeddings: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes_list: Shapes | None = None,
        level_start_index: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor]:
        if hidden_states.device.type != "cpu":
            given = (hidden_states, attention_mask, encoder_hidden_states, encoder_attention_mask)
            positions = (position_embeddings, reference_points, spatial_shapes_list, level_start_index)
            return super().forward(*given, *positions, output_attentions)
        assert encoder_hidden_states is not None and reference_points is not None and spatial_shapes_list is not None
        queries = hidden_states if position_embeddings is None else hidden_states + position_embeddings
        value = self.value_proj(encoder_hidden_states)
        if attention_mask is not None:
            value = value.masked_fill(attention_mask[..., None], 0.0)
        batch, places, _ = value.shape
        value = value.view(batch, places, self.n_heads, -1)
        shape = (*queries.shape[:2], self.n_heads, self.n_levels, self.n_points)
        offsets = self.sampling_offsets(queries).view(*shape, 2)
        attention = self.attention_weights(queries).view(*shape[:3], -1).softmax(-1).view(shape)
        sizes = offsets.new_tensor([(width, height) for height, width in spatial_shapes_list])
        at = (reference_points * sizes - 0.5)[:, :, None, :, None] + offsets
        return self.output_proj(deform(value, at, attention, spatial_shapes_list)), attention


def install(model: Mask2FormerForUniversalSegmentation) -> None:
    """Let every layer of the model's pixel decoder attend this way, by the weights it has."""
    for layer in model.model.pixel_level_module.decoder.encoder.layers:
        theirs = layer.self_attn
        with torch.device("meta"):
            ours = DeformableAttention(theirs.d_model, theirs.n_heads, theirs.n_levels, theirs.n_points)
        ours.load_state_dict(theirs.state_dict(), assign=True)
        layer.self_attn = ours


def deform(value: Tensor, at: Tensor, attention: Tensor, shapes: Shapes) -> Tensor:
    """The values at ``at``, interpolated bilinearly (zero beyond a level's border) and summed with ``attention``.

    ``value``: (n, places of all levels, heads, d); ``at``: (n, queries, heads, levels, points, 2), (x, y) in pixels of
    the level, the first pixel's centre at 0; ``attention``: (n, queries, heads, levels, points).
    Returns (n, queries, heads * d). There have to be as many places as a query looks at, times heads and images.
    """
    return _Deform.apply(value, at, attention, shapes)


class _Deform(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, at: Tensor, attention: Tensor, shapes: Shapes) -> Tensor:
        x, y = _axes(at, shapes)
        index = _indices(x, y, shapes, value.shape).flatten(3).flatten(0, 2)
        weight = torch.stack([b * a for b in (attention * y.near, attention * y.far) for a in (x.near, x.far)], 3)
        weight = weight.flatten(3).flatten(0, 2)
        flat = value.reshape(-1, value.shape[3])
        ctx.save_for_backward(flat, index, weight, at, attention)
        ctx.shapes, ctx.shape = shapes, value.shape
        output = F.embedding_bag(index, flat, mode="sum", per_sample_weights=weight)
        return output.view(*at.shape[:2], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        flat, index, weight, at, attention = ctx.saved_tensors
        gradient = gradient.reshape(len(index), -1)
        of_value = _entries(index, weight, len(flat)).T @ gradient.numpy()
        x, y = _axes(at, ctx.shapes)
        shape = (*attention.shape[:3], 4, *attention.shape[3:])
        a, b, c, d = _sampled_product(index, gradient, flat).view(shape).unbind(3)
        near_row, far_row = a * x.near + b * x.far, c * x.near + d * x.far
        of_attention = near_row * y.near + far_row * y.far
        # A share gains what the other loses; it stays 0 for a pixel beyond the border.
        of_y = far_row * y.far_inside - near_row * y.near_inside
        of_x = (b * y.near + d * y.far) * x.far_inside - (a * y.near + c * y.far) * x.near_inside
        of_at = torch.stack([of_x * attention, of_y * attention], -1)
        return torch.from_numpy(of_value).view(ctx.shape), of_at, of_attention, None


@dataclass(frozen=True)
class _Axis:
    """The two pixels around each place along one axis, and their shares in the value; zero beyond the border."""

    pixel: Tensor
    near: Tensor
    far: Tensor
    near_inside: Tensor
    far_inside: Tensor


def _axes(at: Tensor, shapes: Shapes) -> tuple[_Axis, _Axis]:
    x, y = at.unbind(-1)
    heights, widths = at.new_tensor(shapes).T[:, :, None]
    return _axis(x, widths), _axis(y, heights)


def _axis(place: Tensor, size: Tensor) -> _Axis:
    pixel = place.floor()
    share = place - pixel
    near_inside = ((pixel >= 0) & (pixel < size)).to(place.dtype)
    far_inside = ((pixel >= -1) & (pixel < size - 1)).to(place.dtype)
    return _Axis(pixel, (1 - share) * near_inside, share * far_inside, near_inside, far_inside)


def _indices(x: _Axis, y: _Axis, shapes: Shapes, value: torch.Size) -> Tensor:
    """Rows of the values, flattened to (n * places * heads, d): (n, queries, heads, 4, levels, points) int32."""
    batch, places, heads, _ = value
    heights, widths = torch.tensor(shapes, dtype=torch.int32).T[:, :, None]
    starts = torch.tensor([0, *(height * width for height, width in shapes[:-1])]).cumsum(0)
    base = ((torch.arange(batch)[:, None, None] * places + starts) * heads)[:, None] + torch.arange(heads)[:, None]
    column, row = x.pixel.int(), y.pixel.int()
    columns = [pixel.clamp_min(0).minimum(widths - 1) * heads for pixel in (column, column + 1)]
    rows = [pixel.clamp_min(0).minimum(heights - 1) * (widths * heads) for pixel in (row, row + 1)]
    rows = [start + base.int()[..., None] for start in rows]
    return torch.stack([start + step for start in rows for step in columns], 3)


def _entries(index: Tensor, weight: Tensor, columns: int) -> csr_array:
    """The sparse matrix (rows, columns) of ``weight`` (rows, entries of a row) at ``index``."""
    starts = _starts(index).numpy()
    return csr_array((weight.numpy().ravel(), index.numpy().ravel(), starts), (len(index), columns))


def _sampled_product(index: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """``left @ right.T`` at the entries ``index`` of each row."""
    entries = torch.zeros(index.numel(), dtype=left.dtype)
    size = (len(index), len(right))
    pattern = torch.sparse_csr_tensor(_starts(index), index.flatten(), entries, size, check_invariants=False)
    return torch.sparse.sampled_addmm(pattern, left, right.T, beta=0).values()


def _starts(index: Tensor) -> Tensor:
    return torch.arange(0, index.numel() + 1, index.shape[1], dtype=index.dtype)
