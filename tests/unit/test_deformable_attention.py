"""Deformable attention as a sparse matrix against transformers' own, values and gradients, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
    multi_scale_deformable_attention,
)

from seediff.segmenter.deformable_attention import DeformableAttention, Shapes, deform, install
from seediff.segmenter.mask2former import build, predict_layers
from seediff.segmenter.settings import segmenter_settings


def theirs(value: Tensor, at: Tensor, attention: Tensor, shapes: Shapes) -> Tensor:
    sizes = at.new_tensor([(width, height) for height, width in shapes])[:, None]
    return multi_scale_deformable_attention(value, shapes, (at + 0.5) / sizes, attention)


def outcome(way: Callable[..., Tensor], inputs: list[Tensor], shapes: Shapes) -> list[Tensor]:
    """Output and the gradients of all inputs."""
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    output = way(*inputs, shapes)
    upstream = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view(output.shape)
    return [output, *torch.autograd.grad((output * upstream).sum(), inputs)]


def random_inputs(images: int, queries: int, heads: int, points: int, width: int, shapes: Shapes) -> list[Tensor]:
    generator = torch.Generator().manual_seed(queries)
    options = {"generator": generator, "dtype": torch.float64}
    places = sum(height * width for height, width in shapes)
    sizes = torch.tensor([(width, height) for height, width in shapes], dtype=torch.float64)[:, None]
    # Also beyond the border, where pixels count as zero.
    at = (1.6 * torch.rand(images, queries, heads, len(shapes), points, 2, **options) - 0.3) * sizes - 0.5
    return [
        torch.randn(images, places, heads, width, **options),
        at,
        torch.rand(images, queries, heads, len(shapes), points, **options),
    ]


sides = st.integers(1, 7)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5),
    st.lists(st.tuples(sides, sides), min_size=1, max_size=3),
)  # fmt: skip
def test_any_shape(images: int, queries: int, heads: int, points: int, width: int, shapes: Shapes) -> None:
    assume(len(shapes) * points * 4 <= images * heads * sum(height * width for height, width in shapes))
    inputs = random_inputs(images, queries, heads, points, width, shapes)
    for ours, expected in zip(outcome(deform, inputs, shapes), outcome(theirs, inputs, shapes), strict=True):
        torch.testing.assert_close(ours, expected)


def test_places_on_pixel_centres_and_borders() -> None:
    """Where a share is exactly 0 or 1, its slope is still that of the pixels on either side."""
    shapes = [(4, 8)]
    xs, ys = torch.meshgrid(torch.arange(-2.0, 10.0), torch.arange(-2.0, 6.0), indexing="xy")
    at = torch.stack([xs, ys], -1).double().view(1, -1, 1, 1, 1, 2)
    inputs = [torch.randn(1, 32, 1, 2, dtype=torch.float64), at, torch.ones(at.shape[:-1], dtype=torch.float64)]
    for ours, expected in zip(outcome(deform, inputs, shapes), outcome(theirs, inputs, shapes), strict=True):
        torch.testing.assert_close(ours, expected)


def test_every_layer_of_the_segmenter_attends_this_way_and_says_the_same() -> None:
    torch.manual_seed(0)
    model = build(segmenter_settings("swin-mini"), 3).eval()
    layers = model.model.pixel_level_module.decoder.encoder.layers
    assert [type(layer.self_attn) for layer in layers] == [DeformableAttention] * len(layers)
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        ours = predict_layers(model, images)
        for layer in layers:
            layer.self_attn.__class__ = Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention
        expected = predict_layers(model, images)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_installing_keeps_the_weights_and_the_random_numbers() -> None:
    model = build(segmenter_settings("resnet-mini"), 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    install(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert [*model.state_dict()] == [*before]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_mask_hides_places() -> None:
    torch.manual_seed(0)
    attention = DeformableAttention(8, 2, 1, 2)
    hidden = torch.randn(1, 6, 8)
    call = {
        "encoder_hidden_states": hidden,
        "position_embeddings": torch.randn(1, 6, 8),  # has no effect in a new segmenter, whose offsets' weights are 0
        "reference_points": torch.rand(1, 6, 1, 2),
        "spatial_shapes_list": [(2, 3)],
    }
    hidden_places = torch.tensor([[True, True, False, True, False, True]])
    ours, _ = attention(hidden, attention_mask=hidden_places, **call)
    expected, _ = super(DeformableAttention, attention).forward(hidden, attention_mask=hidden_places, **call)
    torch.testing.assert_close(ours, expected)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(attention(hidden, **call)[0], expected)
