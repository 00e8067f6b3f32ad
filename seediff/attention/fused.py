"""Summing heads on a GPU in one kernel, from the log-sum-exp that fused attention computes anyway.

    total = sum_h exp(Q_h K_h^T / sqrt(d) - lse_h)

The products never leave the chip: only the (n, m) sum and its maximum are written. Needs Triton, which comes with GPU
builds of torch.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.attention import SDPBackend

from seediff.attention import head_sums
from seediff.attention.accumulator import Fill

LOG2_E = 1.4426950408889634
BLOCK = 128


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **rest: Any,
) -> tuple[Tensor, Fill]:
    """As ``head_sums.attend``, with the kernel that ``scaled_dot_product_attention`` would choose.

    Kernels that do not return their log-sum-exp, and calls with a bias, are left to ``head_sums``.
    """
    chosen = torch._fused_sdp_choice(query, key, value, attn_mask, dropout_p, is_causal, **rest)
    kernel = KERNELS.get(chosen)
    if kernel is None or attn_mask is not None or query.shape[-1] % 8:
        return head_sums.attend(query, key, value, attn_mask, dropout_p, is_causal, **rest)
    output, lse = kernel(query, key, value, dropout_p, is_causal, **rest)

    def fill(row: int, total: Tensor) -> Tensor:
        return sum_heads_from_lse(query[row], key[row], lse[row], total)

    return output, fill


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


def sum_heads_from_lse(query: Tensor, key: Tensor, lse: Tensor, total: Tensor) -> Tensor:
    """Fill ``total`` (n, m), float32, with the sum over heads; returns its maximum, a scalar.

    ``query``: (heads, n, d); ``key``: (heads, m, d), with any strides; ``lse``: (heads, n).
    """
    heads, positions, width = query.shape
    tokens = key.shape[1]
    peak = torch.zeros((), device=total.device)
    _sum_heads[(triton.cdiv(positions, BLOCK), triton.cdiv(tokens, BLOCK))](
        query, key, lse, total, peak,
        heads, positions, tokens, width, width**-0.5,
        *query.stride(), *key.stride(), *lse.stride(), total.stride(0),
        block=BLOCK, padded=max(16, triton.next_power_of_2(width)), log2_e=LOG2_E, num_warps=8,
    )  # fmt: skip
    return peak


@triton.jit
def _sum_heads(
    query, key, lse, total, peak,
    heads, positions, tokens, width, scale,
    query_head, query_row, query_column, key_head, key_row, key_column, lse_head, lse_row, total_row,
    block: tl.constexpr, padded: tl.constexpr, log2_e: tl.constexpr,
):  # fmt: skip
    """One (block, block) tile of ``total``, all heads."""
    rows = tl.program_id(0) * block + tl.arange(0, block)
    columns = tl.program_id(1) * block + tl.arange(0, block)
    channels = tl.arange(0, padded)
    inside_rows, inside_columns, inside_width = rows < positions, columns < tokens, channels < width
    query += rows[:, None] * query_row + channels[None, :] * query_column
    key += columns[None, :] * key_row + channels[:, None] * key_column
    sums = tl.zeros((block, block), dtype=tl.float32)
    for head in range(heads):
        left = tl.load(query + head * query_head, mask=inside_rows[:, None] & inside_width[None, :], other=0.0)
        right = tl.load(key + head * key_head, mask=inside_columns[None, :] & inside_width[:, None], other=0.0)
        norm = tl.load(lse + head * lse_head + rows * lse_row, mask=inside_rows, other=0.0)
        products = tl.dot(left, right, input_precision="ieee")
        sums += tl.exp2((products * scale - norm[:, None]) * log2_e)
    inside = inside_rows[:, None] & inside_columns[None, :]
    sums = tl.where(inside, sums, 0.0)
    tl.store(total + rows[:, None].to(tl.int64) * total_row + columns[None, :], sums, mask=inside)
    tl.atomic_max(peak, tl.max(sums))
