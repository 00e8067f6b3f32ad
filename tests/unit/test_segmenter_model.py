"""The segmenter's architecture, initialisation and optimiser groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ResNetBackbone, ResNetConfig, SwinBackbone, SwinConfig
from transformers.models.swin.modeling_swin import SwinLayer

from seediff.diffusion.releases import swin_feedforward
from seediff.errors import SeediffError
from seediff.segmenter import mask2former, pixel
from seediff.segmenter.backbones import BACKBONES, drop_both_paths, normalize
from seediff.segmenter.mask2former import backbone, build, predict_layers
from seediff.segmenter.settings import PRESETS_BY_BACKBONE, as_json, segmenter_settings
from seediff.segmenter.train import parameter_groups

TINY = {"queries": 4, "points": 32}


@pytest.fixture(scope="module", params=["resnet-mini", "swin-mini"])
def model(request):
    torch.manual_seed(0)
    return build(segmenter_settings(request.param, **TINY), 5)


def test_every_layer_predicts(model):
    layers = predict_layers(model, torch.randn(2, 3, 64, 32))
    assert len(layers) == model.config.decoder_layers
    for classes, masks in layers:
        assert classes.shape == (2, 4, 6) and masks.shape == (2, 4, 16, 8)


def test_the_head_is_drawn_as_the_authors_do(model):
    decoder = model.model.pixel_level_module.decoder
    convolution = decoder.output_convolutions[0][0]
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(1 / (9 * 64)), rel=0.05)
    layer = decoder.encoder.layers[0]
    assert layer.fc1.weight.std().item() == pytest.approx(math.sqrt(2 / sum(layer.fc1.weight.shape)), rel=0.05)
    assert layer.fc1.bias.abs().max() > 0
    attention = model.model.transformer_module.decoder.layers[0].self_attn
    assert attention.q_proj.weight.std().item() == pytest.approx(math.sqrt(2 / (4 * 64)), rel=0.05)
    assert model.class_predictor.weight.std().item() == pytest.approx(math.sqrt(1 / (3 * 64)), rel=0.2)
    assert model.model.transformer_module.queries_features.weight.std().item() == pytest.approx(1, rel=0.2)


def test_every_trainable_parameter_is_in_one_group(model):
    groups = parameter_groups(model, backbone(model), segmenter_settings("swin-mini", backbone_lr_factor=0.1))
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters())


EXAMPLES = {
    "model.pixel_level_module.encoder.embedder.embedder.convolution.weight": (0.1, 0.05),
    "model.pixel_level_module.encoder.embedder.embedder.normalization.weight": (0.1, 0.0),
    "relative_position_bias_table": (0.1, 0.0),
    "layernorm_before.weight": (0.1, 0.0),
    "model.pixel_level_module.decoder.adapter_1.0.weight": (1.0, 0.05),
    "model.pixel_level_module.decoder.adapter_1.1.weight": (1.0, 0.0),
    "model.pixel_level_module.decoder.level_embed": (1.0, 0.0),
    "model.transformer_module.level_embed.weight": (1.0, 0.0),
    "model.transformer_module.queries_features.weight": (1.0, 0.0),
    "model.transformer_module.decoder.layers.0.final_layer_norm.bias": (1.0, 0.0),
    "model.transformer_module.decoder.layers.0.fc1.weight": (1.0, 0.05),
    "class_predictor.bias": (1.0, 0.05),
}
"""Ends of parameter names, with the fraction of the learning rate and the weight decay they get."""


def test_norms_and_embeddings_do_not_decay_and_the_backbone_learns_slowly(model):
    groups = parameter_groups(model, backbone(model), segmenter_settings("swin-mini", backbone_lr_factor=0.1))
    where = {id(parameter): (g["lr_factor"], g["weight_decay"]) for g in groups for parameter in g["params"]}
    seen = {}
    for name, parameter in model.named_parameters():
        for end in EXAMPLES:
            if name.endswith(end):
                seen[end] = where[id(parameter)]
    assert len(seen) >= 10 and seen == {end: EXAMPLES[end] for end in seen}


def test_normalize_takes_out_the_mean():
    images = torch.tensor(np.array([124, 116, 104], np.uint8)).expand(1, 2, 2, 3)
    pixels = normalize(images)
    assert pixels.shape == (1, 3, 2, 2) and pixels.abs().max() < 0.01


def test_pretrained_backbone_is_loaded_and_its_batch_norm_frozen(tmp_path, monkeypatch):
    """A ResNet saved by transformers itself, in a local folder."""
    plan = BACKBONES["resnet-mini"]
    source = ResNetBackbone(ResNetConfig(**plan, out_features=["stage1", "stage2", "stage3", "stage4"]))
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    source.save_pretrained(tmp_path)
    model = build(segmenter_settings("resnet-mini", pretrained=str(tmp_path), **TINY), 5).train()
    encoder = model.model.pixel_level_module.encoder
    expected = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    encoder(torch.randn(2, 3, 32, 32))
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    frozen = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert frozen and not any(module.training or module.weight.requires_grad for module in frozen)
    assert any(parameter.requires_grad for parameter in encoder.parameters())


def swin_layer(rate: float) -> nn.Module:
    """The last layer of a Swin with that rate of dropped paths, in training."""
    config = SwinConfig(image_size=32, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4, drop_path_rate=rate)
    backbone = SwinBackbone(config)
    drop_both_paths(backbone)
    return [module for module in backbone.modules() if isinstance(module, SwinLayer)][-1].train()


def second_branch(layer: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What the layer adds to the output of its first branch."""
    first = []
    handle = layer.layernorm_after.register_forward_pre_hook(lambda module, given: first.append(given[0]))
    output = layer(inputs, (4, 4))[0]
    handle.remove()
    return output - first[0]


def test_swin_drops_its_second_branch_too():
    """Of each image by itself, at the layer's rate, and what is kept is scaled so that the mean stays the same."""
    torch.manual_seed(0)
    layer, inputs = swin_layer(0.4), torch.randn(1, 16, 16)
    whole = second_branch(layer.eval(), inputs)
    with torch.no_grad():
        layer.train()(inputs.repeat(4000, 1, 1), (4, 4))
        first = layer.attention.register_forward_hook(lambda module, given, output: (output[0] * 0, *output[1:]))
        dropped = second_branch(layer, inputs.repeat(4000, 1, 1))
        expected = second_branch(layer.eval(), inputs)
        first.remove()
    kept = dropped.abs().sum((1, 2)) > 0
    assert kept.float().mean().item() == pytest.approx(0.6, abs=0.03)
    assert torch.allclose(dropped[kept], (expected / 0.6).expand_as(dropped[kept]), atol=1e-5)
    assert torch.equal(second_branch(layer.eval(), inputs), whole)


def test_swin_without_dropped_paths_draws_no_random_numbers():
    layer = swin_layer(0.0)
    before = torch.get_rng_state()
    layer(torch.randn(1, 16, 16, generator=torch.Generator()), (4, 4))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("architecture", [mask2former, pixel])
def test_every_architecture_drops_both_branches(architecture, monkeypatch):
    monkeypatch.setitem(BACKBONES, "swin-mini", {**BACKBONES["swin-mini"], "drop_path_rate": 0.5})
    model = architecture.empty(segmenter_settings("swin-mini", **TINY), 5)
    layers = [module for module in model.modules() if isinstance(module, SwinLayer)]
    assert [len(swin_feedforward(layer)._forward_hooks) for layer in layers] == [0] + [1] * (len(layers) - 1)


def test_missing_backbone_weights_are_an_error(tmp_path):
    with pytest.raises(SeediffError, match="could not be loaded"):
        build(segmenter_settings("resnet-mini", pretrained=str(tmp_path)), 5)


@pytest.mark.parametrize("backbone", PRESETS_BY_BACKBONE)
def test_settings_survive_json(backbone):
    settings = segmenter_settings(backbone, iterations=7)
    assert segmenter_settings(**as_json(settings)) == settings


@pytest.mark.parametrize(
    "backbone, changes, message",
    [
        ("swin-mimi", {}, "swin-mini"),
        ("swin-mini", {"querries": 3}, "queries"),
        ("swin-mini", {"crop": 48}, "multiple of 32"),
        ("swin-mini", {"points": 0}, "from 1 to 10,000,000"),
        ("swin-mini", {"weight_decay": -1}, "a finite number, 0 or more"),
        ("swin-mini", {"scale_max": 0.1}, "below scale_min"),
        ("swin-mini", {"flip": 2}, "from 0 to 1"),
        ("swin-mini", {"learning_rate": "1e-4"}, "a finite number above 0"),
        ("swin-mini", {"iterations": 10.5}, "a whole number"),
        ("swin-mini", {"queries": True}, "a whole number"),
    ],
)
def test_bad_settings_are_errors(backbone, changes, message):
    with pytest.raises(SeediffError, match=message):
        segmenter_settings(backbone, **changes)
