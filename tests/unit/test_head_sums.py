"""Both ways to sum heads, and the GPU's kernel under Triton's interpreter, against an explicit softmax in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from seediff.attention import head_sums

DTYPES = {torch.float32: 2e-6, torch.bfloat16: 2e-6, torch.float16: 2e-6}


def draw_layer(shape: tuple[int, int, int, int], dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and bias of a layer; heads interleaved in memory, as a UNet's are."""
    heads, positions, tokens, width = shape
    generator = torch.Generator().manual_seed(seed)
    query = 3 * torch.randn(positions, heads, width, generator=generator)
    key = torch.randn(tokens, heads, width, generator=generator)
    bias = torch.randn(heads, positions, tokens, generator=generator)
    return query.to(dtype).transpose(0, 1), key.to(dtype).transpose(0, 1), bias


def explicit(query: Tensor, key: Tensor, bias: Tensor | None, scale: float | None = None) -> Tensor:
    """In float64; a key of fewer heads is shared by as many of the query's."""
    key = key.repeat_interleave(len(query) // len(key), 0)
    logits = query.double() @ key.double().transpose(1, 2) * (scale or query.shape[2] ** -0.5)
    if bias is not None:
        logits = logits.masked_fill(~bias, -torch.inf) if bias.dtype == torch.bool else logits + bias.double()
    return logits.softmax(-1).sum(0)


MASKS = {
    "none": lambda bias: None,
    "added": lambda bias: bias,
    "added to a row": lambda bias: bias[:, :1],
    "boolean": lambda bias: bias[..., :1, :].gt(0) | (torch.arange(bias.shape[-1]) == 0),
    "boolean of two dimensions": lambda bias: bias[0, 0].gt(0) | (torch.arange(bias.shape[-1]) == 0),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("shared", [1, 2])
def test_what_attention_may_be_given_is_part_of_its_probabilities(mask: str, scale: float | None, shared: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query, value = torch.randn(2, 2, 4, 9, 8, generator=generator)[0], torch.randn(2, 4, 6, 8, generator=generator)
    key = torch.randn(2, 4, 6, 8, generator=generator)
    given = MASKS[mask](torch.randn(2, 4, 9, 6, generator=generator))
    few = key[:, ::shared], value[:, ::shared]
    output, fill = head_sums.attend(query, *few, given, scale=scale, enable_gqa=shared > 1)
    plain = F.scaled_dot_product_attention(query, *few, given, scale=scale, enable_gqa=shared > 1)
    assert torch.equal(output, plain)
    for row, queries in ((0, slice(0, 9)), (1, slice(2, 7))):
        total = torch.empty(queries.stop - queries.start, 6)
        peaks = fill(row, queries, total)
        bias = None if given is None else given.broadcast_to(2, 4, 9, 6)[row, :, queries]
        torch.testing.assert_close(total, explicit(query[row, :, queries], few[0][row], bias, scale).float())
        assert torch.equal(peaks, total.amax(0))


shapes = st.tuples(st.integers(1, 7), st.integers(1, 40), st.integers(1, 90), st.integers(1, 33))


@settings(deadline=None)
@given(shapes, st.sampled_from([*DTYPES]), st.booleans(), st.sampled_from([1, 100, 1 << 18]), st.integers(0, 99))
def test_sums_of_any_shape_in_tiles_of_any_size(
    shape: tuple[int, int, int, int], dtype: torch.dtype, biased: bool, tile: int, seed: int
) -> None:
    query, key, bias = draw_layer(shape, dtype, seed)
    expected = explicit(query, key, bias if biased else None).float()
    for fill in (head_sums._fill_by_head, head_sums._fill_all_heads):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(head_sums, "CACHE_TILE", tile)
            patch.setattr(head_sums, "DEVICE_TILE", tile)
            patch.setattr(head_sums, "_fill_by_head", fill)
            total = torch.full(shape[1:3], torch.nan)
            peaks = head_sums.sum_heads(query, key, bias if biased else None, total)
        torch.testing.assert_close(total, expected, rtol=2e-5, atol=1e-7)
        assert torch.equal(peaks, total.amax(0))


def test_sums_go_straight_into_a_view() -> None:
    query, key, _ = draw_layer((2, 6, 5, 4), torch.float32, 0)
    whole = torch.zeros(40)
    head_sums.sum_heads(query, key, None, whole[:30].view(6, 5))
    torch.testing.assert_close(whole[:30].view(6, 5), explicit(query, key, None).float())
    assert not whole[30:].any()


needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")

# The interpreter computes with NumPy, which has no bfloat16.
INTERPRETED = """
import torch
from seediff.attention.fused import sum_heads
from tests.unit.test_head_sums import draw_layer, explicit

def check(query, key, bias, scale, lse):
    total = torch.full((query.shape[1], key.shape[1]), torch.nan)
    peaks = sum_heads(query, key, bias, total, scale, lse)
    torch.testing.assert_close(total, explicit(query, key, bias, scale).float(), rtol=1e-4, atol=1e-7)
    assert torch.equal(peaks, total.amax(0)), (peaks, total.amax(0))

for number, (shape, dtype) in enumerate([
    ((1, 1, 1, 8), torch.float32), ((3, 100, 77, 40), torch.float32), ((2, 256, 256, 64), torch.float32),
    ((5, 130, 129, 16), torch.float32), ((5, 144, 77, 80), torch.float16), ((20, 64, 64, 160), torch.float16),
]):
    query, key, bias = draw_layer(shape, dtype, number)
    lse = (query.double() @ key.double().transpose(1, 2) / shape[3] ** 0.5).logsumexp(-1).float()
    check(query, key, None, None, lse)
    check(query, key, None, 0.3, None)
    check(query, key, bias, None, None)
    check(query, key, bias[:, :, :1].transpose(1, 2).mT.expand(shape[:3]), None, None)
    seen = bias > 0
    seen[..., 0] = True
    check(query, key, seen, 0.3, None)
    check(query[:, shape[1] // 2 :], key, seen[:, shape[1] // 2 :], None, None)
    if shape[0] % 2 == 0:
        check(query, key[: shape[0] // 2], None, None, None)
"""


@needs_triton
def test_the_kernel_for_gpus_computes_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs_triton
@pytest.mark.parametrize("kernel", ["flash", "efficient"])
def test_gpu_kernels_give_the_log_sum_exp_of_every_position(kernel: str) -> None:
    from seediff.attention import fused

    query, key, value = (torch.empty(2, 3, n, 64, dtype=torch.bfloat16, device="meta") for n in (100, 77, 77))
    output, lse = getattr(fused, kernel)(query, key, value, 0.0, False)
    assert output.shape == query.shape and lse.shape == (2, 3, 100)
