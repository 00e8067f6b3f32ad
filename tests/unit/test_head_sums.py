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


def explicit(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    logits = query.double() @ key.double().transpose(1, 2) / query.shape[2] ** 0.5
    return (logits if bias is None else logits + bias.double()).softmax(-1).sum(0)


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
            peak = head_sums.sum_heads(query, key, bias if biased else None, total)
        torch.testing.assert_close(total, expected, rtol=2e-5, atol=1e-7)
        assert peak == total.max()


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
from seediff.attention.fused import sum_heads_from_lse
from tests.unit.test_head_sums import draw_layer, explicit

for number, (shape, dtype) in enumerate([
    ((1, 1, 1, 8), torch.float32), ((3, 100, 77, 40), torch.float32), ((2, 256, 256, 64), torch.float32),
    ((5, 130, 129, 16), torch.float32), ((5, 144, 77, 80), torch.float16), ((20, 64, 64, 160), torch.float16),
]):
    query, key, _ = draw_layer(shape, dtype, number)
    lse = (query.double() @ key.double().transpose(1, 2) / shape[3] ** 0.5).logsumexp(-1).float()
    total = torch.full(shape[1:3], torch.nan)
    peak = sum_heads_from_lse(query, key, lse, total)
    torch.testing.assert_close(total, explicit(query, key, None).float(), rtol=1e-4, atol=1e-7)
    assert peak == total.max(), (peak, total.max())
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
