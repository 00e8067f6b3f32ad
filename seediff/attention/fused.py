"""Summing heads on a GPU in one kernel, from the log-sum-exp that fused attention computes anyway.

    total = sum_h exp(scale Q_h K_h^T + bias - lse_h)

The products never leave the chip: only the (n, m) sum and its columns' maxima are written. A kernel of its own gives
the log-sum-exp where fused attention does not: under a mask. Needs Triton, which comes with GPU builds of torch.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend

from seediff.attention.head_sums import Fill, filling

LOG2_E = 1.4426950408889634
BLOCK = 128


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Fill]:
    """As ``head_sums.attend``, with the kernel that ``scaled_dot_product_attention`` would choose."""
    options: dict[str, Any] = {"scale": scale, "enable_gqa": enable_gqa}
    chosen = torch._fused_sdp_choice(query, key, value, attn_mask, dropout_p, is_causal, **options)
    kernel = None if attn_mask is not None or enable_gqa else KERNELS.get(chosen)
    sums = partial(sum_heads, scale=scale)
    if kernel is None:
        output = F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, **options)
        return output, filling(query, key, attn_mask, sums)
    output, lse = kernel(query, key, value, dropout_p, is_causal, scale=scale)
    return output, filling(query, key, None, sums, lse=lse)


def flash(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float, is_causal: bool, **rest: Any
) -> tuple[Tensor, Tensor]:
    kernel = torch.ops.aten._scaled_dot_product_flash_attention
    output, lse = kernel(query, key, value, dropout_p, is_causal, False, **rest)[:2]
    return output, lse


def efficient(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float, is_causal: bool, **rest: Any
) -> tuple[Tensor, Tensor]:
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    output, lse = kernel(query, key, value, None, True, dropout_p, is_causal, **rest)[:2]
    return output, lse[..., : query.shape[2]]  # padded to a multiple of 32


KERNELS = {SDPBackend.FLASH_ATTENTION.value: flash, SDPBackend.EFFICIENT_ATTENTION.value: efficient}


def sum_heads(
    query: Tensor,
    key: Tensor,
    bias: Tensor | None,
    total: Tensor,
    scale: float | None = None,
    lse: Tensor | None = None,
) -> Tensor:
    """As ``head_sums.sum_heads``; ``lse``: (heads, n), the log-sum-exp of each query's logits, if it is known."""
    heads, positions, width = query.shape
    tokens, shared = key.shape[1], heads // len(key)
    scale = width**-0.5 if scale is None else scale
    masked, biased = (bias is not None and (bias.dtype == torch.bool) == boolean for boolean in (True, False))
    bias = total if bias is None else bias.view(torch.uint8) if masked else bias
    strides = *query.stride(), *key.stride(), *(bias.stride() if masked or biased else (0, 0, 0))
    sizes = heads, positions, tokens, width, shared, scale
    options: dict[str, Any] = {"masked": masked, "biased": biased, "block": BLOCK, "log2_e": LOG2_E, "num_warps": 8}
    options["padded"] = max(16, triton.next_power_of_2(width))
    rows = triton.cdiv(positions, BLOCK)
    if lse is None:
        lse = torch.empty(heads, positions, device=total.device)
        _log_sum_exp[(rows, heads)](query, key, bias, lse, *sizes, *strides, *lse.stride(), **options)
    peaks = torch.zeros(tokens, device=total.device)
    grid = rows, triton.cdiv(tokens, BLOCK)
    _sum_heads[grid](query, key, bias, lse, total, peaks, *sizes, *strides, *lse.stride(), total.stride(0), **options)
    return peaks


@triton.jit
def _logits(
    query, key, bias, head, rows, columns, positions, tokens, width, shared, scale,
    query_head, query_row, query_column, key_head, key_row, key_column, bias_head, bias_row, bias_column,
    masked: tl.constexpr, biased: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    """One (block, block) tile of a head's logits; -inf outside the keys."""
    channels = tl.arange(0, padded)
    inside_rows, inside_columns, inside_width = rows < positions, columns < tokens, channels < width
    inside = inside_rows[:, None] & inside_columns[None, :]
    query += head * query_head + rows[:, None] * query_row + channels[None, :] * query_column
    key += (head // shared) * key_head + columns[None, :] * key_row + channels[:, None] * key_column
    left = tl.load(query, mask=inside_rows[:, None] & inside_width[None, :], other=0.0)
    right = tl.load(key, mask=inside_columns[None, :] & inside_width[:, None], other=0.0)
    logits = tl.dot(left, right, input_precision="ieee") * scale
    offsets = head * bias_head + rows[:, None].to(tl.int64) * bias_row + columns[None, :] * bias_column
    if biased:
        logits += tl.load(bias + offsets, mask=inside, other=0.0).to(tl.float32)
    if masked:
        logits = tl.where(tl.load(bias + offsets, mask=inside, other=0) != 0, logits, float("-inf"))
    return tl.where(inside_columns[None, :], logits, float("-inf"))


@triton.jit
def _log_sum_exp(
    query, key, bias, lse,
    heads, positions, tokens, width, shared, scale,
    query_head, query_row, query_column, key_head, key_row, key_column, bias_head, bias_row, bias_column,
    lse_head, lse_row,
    masked: tl.constexpr, biased: tl.constexpr, block: tl.constexpr, padded: tl.constexpr, log2_e: tl.constexpr,
):  # fmt: skip
    """The log-sum-exp of a block of a head's queries."""
    head = tl.program_id(1)
    rows = tl.program_id(0) * block + tl.arange(0, block)
    largest = tl.full((block,), float("-inf"), tl.float32)
    total = tl.zeros((block,), tl.float32)
    for start in range(0, tokens, block):
        logits = _logits(
            query, key, bias, head, rows, start + tl.arange(0, block), positions, tokens, width, shared, scale,
            query_head, query_row, query_column, key_head, key_row, key_column, bias_head, bias_row, bias_column,
            masked, biased, padded,
        )  # fmt: skip
        larger = tl.maximum(largest, tl.max(logits, 1))
        # A row that has seen no key yet has nothing to rescale.
        shift = tl.where(larger == float("-inf"), 0.0, larger)
        total = total * tl.exp2((largest - shift) * log2_e) + tl.sum(tl.exp2((logits - shift[:, None]) * log2_e), 1)
        largest = larger
    tl.store(lse + head * lse_head + rows * lse_row, largest + tl.log2(total) / log2_e, mask=rows < positions)


@triton.jit
def _sum_heads(
    query, key, bias, lse, total, peaks,
    heads, positions, tokens, width, shared, scale,
    query_head, query_row, query_column, key_head, key_row, key_column, bias_head, bias_row, bias_column,
    lse_head, lse_row, total_row,
    masked: tl.constexpr, biased: tl.constexpr, block: tl.constexpr, padded: tl.constexpr, log2_e: tl.constexpr,
):  # fmt: skip
    """One (block, block) tile of ``total``, all heads."""
    rows = tl.program_id(0) * block + tl.arange(0, block)
    columns = tl.program_id(1) * block + tl.arange(0, block)
    inside = (rows < positions)[:, None] & (columns < tokens)[None, :]
    sums = tl.zeros((block, block), dtype=tl.float32)
    for head in range(heads):
        logits = _logits(
            query, key, bias, head, rows, columns, positions, tokens, width, shared, scale,
            query_head, query_row, query_column, key_head, key_row, key_column, bias_head, bias_row, bias_column,
            masked, biased, padded,
        )  # fmt: skip
        norm = tl.load(lse + head * lse_head + rows * lse_row, mask=rows < positions, other=0.0)
        sums += tl.exp2((logits - norm[:, None]) * log2_e)
    sums = tl.where(inside, sums, 0.0)
    tl.store(total + rows[:, None].to(tl.int64) * total_row + columns[None, :], sums, mask=inside)
    tl.atomic_max(peaks + columns, tl.max(sums, 0), mask=columns < tokens)
