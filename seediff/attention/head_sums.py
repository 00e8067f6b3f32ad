"""Attention probabilities summed over heads, computed again because the fused kernel does not return them.

    total = sum_h softmax(Q_h K_h^T / sqrt(d) + bias)

A CPU works in tiles that fit into its cache, so a tile costs only one addition beyond its product and exponentials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seediff.attention.accumulator import Fill

CACHE_TILE = 1 << 18
"""Probabilities a CPU works on at a time: 1 MiB, about the second-level cache of a core."""
DEVICE_TILE = 1 << 24
"""The same elsewhere, where few large kernels are fast: 64 MiB."""


def attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *args: Any, **kwargs: Any
) -> tuple[Tensor, Fill]:
    """What ``scaled_dot_product_attention`` returns, and a function that fills a map with its probabilities."""

    def fill(row: int, total: Tensor) -> Tensor:
        bias = None if attn_mask is None else attn_mask.expand(len(query), -1, -1, -1)[row]
        return sum_heads(query[row], key[row], bias, total)

    return F.scaled_dot_product_attention(query, key, value, attn_mask, *args, **kwargs), fill


def sum_heads(query: Tensor, key: Tensor, bias: Tensor | None, total: Tensor) -> Tensor:
    """Fill ``total`` (n, m), float32, with the sum over heads; returns its maximum, a scalar.

    ``query``: (heads, n, d); ``key``: (heads, m, d); ``bias``: (heads or 1, n or 1, m). Any floating type; computed
    in float32.
    """
    heads, positions, width = query.shape
    query, key = (query.to(total.dtype) * width**-0.5).contiguous(), key.to(total.dtype).contiguous()
    biases = None if bias is None else bias.to(total.dtype).expand(heads, positions, -1)
    fill = _fill_by_head if total.device.type == "cpu" else _fill_all_heads
    return fill(query, key, biases, total)


def _fill_by_head(query: Tensor, key: Tensor, bias: Tensor | None, total: Tensor) -> Tensor:
    rows = max(1, CACHE_TILE // total.shape[1])
    peaks = []
    for start in range(0, len(total), rows):
        here = slice(start, start + rows)
        part = total[here].zero_()
        for head in range(len(query)):
            logits = _product(query[head, here], key[head])
            if bias is not None:
                logits += bias[head, here]
            part += logits.softmax(-1)
        peaks.append(part.amax())
    return torch.stack(peaks).amax()


def _fill_all_heads(query: Tensor, key: Tensor, bias: Tensor | None, total: Tensor) -> Tensor:
    columns = key.transpose(1, 2)
    rows = max(1, DEVICE_TILE // (len(query) * total.shape[1]))
    for start in range(0, len(total), rows):
        here = slice(start, start + rows)
        logits = query[:, here] @ columns
        if bias is not None:
            logits += bias[:, here]
        torch.sum(logits.softmax(-1), 0, out=total[here])
    return total.amax()


def _by_onednn(rows: Tensor, columns: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(rows, columns, None, "none", [], ""))


_product: Callable[[Tensor, Tensor], Tensor] = _by_onednn if torch.backends.mkldnn.is_available() else F.linear
"""rows (n, d) times columns (m, d) transposed. The BLAS that torch links does not use AVX-512 on processors of other
makers than its own; oneDNN does, and is twice as fast there (docs/performance.md)."""
