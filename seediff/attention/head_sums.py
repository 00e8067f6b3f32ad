"""Attention probabilities summed over heads, computed again because the fused kernel does not return them.

    total = sum_h softmax(scale Q_h K_h^T + bias)

A CPU works in tiles that fit into its cache, so a tile costs only one addition beyond its product and exponentials.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F


class Fill(Protocol):
    """Fills ``total`` (queries, keys) with the attention of a batch row's queries, summed over heads or of a single
    one; returns the maximum of each key's column."""

    def __call__(self, row: int, queries: slice, total: Tensor, head: int | None = None) -> Tensor: ...


CACHE_TILE = 1 << 18
"""Probabilities a CPU works on at a time: 1 MiB, about the second-level cache of a core."""
LEAST_SUM = 1e-15
"""What Sana adds to the sum that it divides by."""
DEVICE_TILE = 1 << 24
"""The same elsewhere, where few large kernels are fast: 64 MiB."""


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
    """What ``scaled_dot_product_attention`` returns, and a function that fills a map with its probabilities."""
    output = F.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )
    return output, filling(query, key, attn_mask, partial(sum_heads, scale=scale))


def filling(
    query: Tensor, key: Tensor, attn_mask: Tensor | None, sums: Callable[..., Tensor], **by_query: Tensor
) -> Fill:
    """Fills a map by ``sums`` of the batch row's queries, keys and mask, and of what each query has besides."""
    mask = None if attn_mask is None else attn_mask.broadcast_to(*query.shape[:3], key.shape[2])

    def fill(row: int, queries: slice, total: Tensor, head: int | None = None) -> Tensor:
        of_query, of_key = heads_of(head, query.shape[1] // key.shape[1])
        own = row, of_query, queries
        rest = {name: tensor[own] for name, tensor in by_query.items()}
        return sums(query[own], key[row, of_key], None if mask is None else mask[own], total, **rest)

    return fill


def heads_of(head: int | None, shared: int) -> tuple[slice, slice]:
    """A head of the query, or all, and of the key, each head of which as many as ``shared`` of the query's have."""
    if head is None:
        return slice(None), slice(None)
    return slice(head, head + 1), slice(head // shared, head // shared + 1)


def linear(query: Tensor, key: Tensor) -> Fill:
    """The same for linear attention (Sana): q_i k_j / sum_j q_i k_j of rectified (batch, heads, n, d)."""
    product = _product if query.device.type == "cpu" else F.linear

    def fill(row: int, queries: slice, total: Tensor, head: int | None = None) -> Tensor:
        total.zero_()
        heads, _ = heads_of(head, 1)
        for of_query, of_key in zip(query[row, heads, queries].float(), key[row, heads].float(), strict=True):
            products = product(of_query.contiguous(), of_key.contiguous())
            total += products / (products.sum(-1, keepdim=True) + LEAST_SUM)
        return total.amax(0)

    return fill


def sum_heads(query: Tensor, key: Tensor, bias: Tensor | None, total: Tensor, scale: float | None = None) -> Tensor:
    """Fill ``total`` (n, m), float32, with the sum over heads; returns each column's maximum, (m,).

    ``query``: (heads, n, d); ``key``: (heads, m, d), or fewer heads, each for as many of the query's; ``bias``: (heads,
    n, m), added to the logits or, if it is boolean, True where a key is seen; ``scale``: d ** -0.5 if not given. Any
    floating type; computed in float32.
    """
    scale = query.shape[2] ** -0.5 if scale is None else scale
    query, key = (query.to(total.dtype) * scale).contiguous(), key.to(total.dtype).contiguous()
    fill = _fill_by_head if total.device.type == "cpu" else _fill_all_heads
    return fill(query, key, bias, total)


def _fill_by_head(query: Tensor, key: Tensor, bias: Tensor | None, total: Tensor) -> Tensor:
    rows, shared = max(1, CACHE_TILE // total.shape[1]), len(query) // len(key)
    peaks = []
    for start in range(0, len(total), rows):
        here = slice(start, start + rows)
        part = total[here].zero_()
        for head in range(len(query)):
            logits = _product(query[head, here], key[head // shared])
            if bias is not None:
                _add_bias(logits, bias[head, here])
            part += logits.softmax(-1)
        peaks.append(part.amax(0))
    return torch.stack(peaks).amax(0)


def _fill_all_heads(query: Tensor, key: Tensor, bias: Tensor | None, total: Tensor) -> Tensor:
    columns = key.repeat_interleave(len(query) // len(key), 0).transpose(1, 2)
    rows = max(1, DEVICE_TILE // (len(query) * total.shape[1]))
    for start in range(0, len(total), rows):
        here = slice(start, start + rows)
        logits = query[:, here] @ columns
        if bias is not None:
            _add_bias(logits, bias[:, here])
        torch.sum(logits.softmax(-1), 0, out=total[here])
    return total.amax(0)


def _add_bias(logits: Tensor, bias: Tensor) -> None:
    if bias.dtype == torch.bool:
        logits.masked_fill_(~bias, -torch.inf)
    else:
        logits += bias


def _by_onednn(rows: Tensor, columns: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(rows, columns, None, "none", [], ""))


_product: Callable[[Tensor, Tensor], Tensor] = _by_onednn if torch.backends.mkldnn.is_available() else F.linear
"""rows (n, d) times columns (m, d) transposed, on a CPU. The BLAS that torch links does not use AVX-512 on processors
of other makers than its own; oneDNN does, and is twice as fast there (docs/performance.md)."""
