"""Random denoisers of random sizes against the explicit softmax of ``test_families``."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seediff.attention.recording import record_denoiser
from seediff.attention.tokens import without_tokens
from tests.attention_oracle import Sequence, expected, oracle
from tests.tiny_networks import lively
from tests.tiny_text import WIDTH

few = settings(max_examples=4, deadline=None, derandomize=True, database=None)
sides = st.integers(3, 11)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def assert_recorded(denoiser: Any, sequence: Sequence, images: int, tokens: int, call: Callable[[int], Any]) -> None:
    """Two calls by hand; every row is an image."""
    with oracle(SimpleNamespace(transformer=denoiser)) as found, record_denoiser(denoiser) as listener, torch.no_grad():
        for timestep in (900, 100):
            call(timestep)
    for image, maps in enumerate(listener.maps([without_tokens("", tokens)] * images)):
        ours = {("cross", h * w): each for (h, w), each in maps.cross_attention.items()}
        ours |= {("self", h * w): each for (h, w), each in maps.self_attention.items()}
        theirs = expected(found, sequence, image, images, maps)
        assert ours.keys() == theirs.keys()
        for kind, each in ours.items():
            torch.testing.assert_close(each.double(), theirs[kind], atol=1e-5, rtol=0)


@st.composite
def unets(draw: st.DrawFn) -> dict[str, Any]:
    """One to three levels, each with or without attention, at least one with it."""
    attends = draw(st.lists(st.booleans(), min_size=1, max_size=3).filter(any))
    heads = [draw(st.sampled_from([1, 2, 3, 4])) for _ in attends]
    down = ["CrossAttnDownBlock2D" if attending else "DownBlock2D" for attending in attends]
    up = ["CrossAttnUpBlock2D" if attending else "UpBlock2D" for attending in reversed(attends)]
    return {
        "block_out_channels": tuple(4 * number for number in heads),
        "attention_head_dim": tuple(heads),  # diffusers reads these as numbers of heads
        "layers_per_block": draw(st.integers(1, 2)),
        "transformer_layers_per_block": draw(st.integers(1, 2)),
        "down_block_types": tuple(down),
        "up_block_types": tuple(up),
        "use_linear_projection": draw(st.booleans()),
        "mid_block_type": draw(st.sampled_from(["UNetMidBlock2DCrossAttn", None])),
        "norm_num_groups": 2,
        "cross_attention_dim": WIDTH,
        "sample_size": 8,
    }


@few
@given(unets(), sides, sides, st.integers(1, 3), st.integers(1, 9))
def test_random_unets(config: dict[str, Any], height: int, width: int, images: int, tokens: int) -> None:
    unet = lively(lambda: diffusers.UNet2DConditionModel(**config))
    text = noise(images, tokens, WIDTH)
    latents = noise(images, 4, height, width)
    sequence = Sequence("first", is_joint=False)
    assert_recorded(
        unet, sequence, images, tokens, lambda timestep: unet(latents, timestep, encoder_hidden_states=text)
    )


@few
@given(st.integers(1, 3), st.integers(1, 4), st.booleans(), sides, sides, st.integers(1, 3), st.integers(1, 9))
def test_random_transformers_of_sd3(
    layers: int, heads: int, dual: bool, height: int, width: int, images: int, tokens: int
) -> None:
    transformer = lively(
        lambda: diffusers.SD3Transformer2DModel(
            sample_size=32,
            pos_embed_max_size=16,
            in_channels=4,
            out_channels=4,
            num_layers=layers,
            num_attention_heads=heads,
            attention_head_dim=8,
            caption_projection_dim=8 * heads,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=8,
            dual_attention_layers=(0,) if dual and layers > 1 else (),
        )
    )
    latents, text = noise(images, 4, 2 * height, 2 * width), noise(images, tokens, WIDTH)
    pooled = noise(images, 8)
    sequence = Sequence("first", filled=1)
    assert_recorded(
        transformer,
        sequence,
        images,
        tokens,
        lambda timestep: transformer(latents, text, pooled, torch.full((images,), timestep)),
    )


@few
@given(st.integers(0, 2), st.integers(1, 2), st.integers(1, 4), sides, sides, st.integers(1, 3), st.integers(1, 9))
def test_random_transformers_of_flux(
    layers: int, single: int, heads: int, height: int, width: int, images: int, tokens: int
) -> None:
    transformer = lively(
        lambda: diffusers.FluxTransformer2DModel(
            in_channels=16,
            num_layers=layers,
            num_single_layers=single,
            num_attention_heads=heads,
            attention_head_dim=16,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=8,
            axes_dims_rope=(4, 4, 8),
        )
    )
    rows = torch.stack(torch.meshgrid(torch.arange(1), torch.arange(height), torch.arange(width), indexing="ij"), -1)
    given_always = {
        "hidden_states": noise(images, height * width, 16),
        "encoder_hidden_states": noise(images, tokens, WIDTH),
        "pooled_projections": noise(images, 8),
        "img_ids": rows.flatten(0, 2),
        "txt_ids": torch.zeros(tokens, 3),
    }

    def call(timestep: int) -> None:
        transformer(**given_always, timestep=torch.full((images,), timestep / 1000))

    assert_recorded(transformer, Sequence("first"), images, tokens, call)
