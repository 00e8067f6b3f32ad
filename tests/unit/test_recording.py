"""Recorded attention against an explicit softmax, layer by layer, in tiny real pipelines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor

from seediff.attention.maps import AttentionMaps
from seediff.attention.recording import record_attention, record_denoiser
from seediff.attention.tokens import tokenize
from seediff.embedded.pipeline import TEXT_WIDTH, build_scheduler, build_text_encoder, build_tokenizer
from seediff.errors import SeediffError

Layers = dict[tuple[str, int], list[Tensor]]


def even_unet() -> UNet2DConditionModel:
    """Cross-attention at every level, one layer a block, heads that double downwards."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16, 16),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(1, 2, 4),  # the number of heads at each level
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
    )


def odd_unet() -> UNet2DConditionModel:
    """No transformer at the top, two layers a block, head counts that are no powers of two, linear projections."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 12, 24),
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(1, 3, 6),
        norm_num_groups=4,
        use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )


def build_pipe(unet: UNet2DConditionModel) -> StableDiffusionPipeline:
    tokenizer = build_tokenizer()
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, layers_per_block=1, sample_size=16)
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=sharpened(unet),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sharpened(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Larger queries, so that attention is far from uniform and mistakes show."""
    for module in attention_layers(unet).values():
        with torch.no_grad():
            module.to_q.weight *= 6
    return unet


def attention_layers(unet: UNet2DConditionModel) -> dict[str, Attention]:
    return {name: module for name, module in unet.named_modules() if name.endswith(("attn1", "attn2"))}


@pytest.fixture(scope="module", params=[even_unet, odd_unet])
def pipe(request: pytest.FixtureRequest) -> StableDiffusionPipeline:
    torch.manual_seed(0)
    return build_pipe(request.param())


@pytest.fixture(scope="module")
def plain_pipe() -> StableDiffusionPipeline:
    torch.manual_seed(1)
    return build_pipe(even_unet())


@contextmanager
def softmax_oracle(unet: UNet2DConditionModel) -> Iterator[Layers]:
    """Every layer's head-averaged softmax for the whole batch (batch, n, m), in float64, from its inputs alone."""
    layers: Layers = defaultdict(list)

    def observe(module: Attention, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden, text = args[0], kwargs.get("encoder_hidden_states")
        context = hidden if text is None else text
        heads = module.heads
        query = module.to_q(hidden).double().unflatten(-1, (heads, -1))
        key = module.to_k(context).double().unflatten(-1, (heads, -1))
        logits = torch.einsum("bnhd,bmhd->bhnm", query, key) / query.shape[-1] ** 0.5
        bias = kwargs.get("attention_mask")
        if bias is not None:
            logits = logits + bias.double()[:, None]
        layers["self" if text is None else "cross", round(hidden.shape[1] ** 0.5)].append(logits.softmax(-1).mean(1))

    hooks = [layer.register_forward_pre_hook(observe, with_kwargs=True) for layer in attention_layers(unet).values()]
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()


def averaged(layers: Layers, kind: str, side: int, row: int) -> Tensor:
    """Eq. 5 for batch row ``row``."""
    maps = [layer[row] / layer[row].max() for layer in layers[kind, side]]
    return sum(maps) / len(maps)


def assert_equal_to_oracle(maps: AttentionMaps, layers: Layers, row: int, tolerance: float = 1e-5) -> None:
    recorded = {("cross", h): m for (h, _), m in maps.cross_attention.items()}
    recorded |= {("self", h): m for (h, _), m in maps.self_attention.items()}
    assert recorded.keys() == layers.keys()
    for (kind, side), tensor in recorded.items():
        assert tensor.dtype == torch.float32 and tensor.min() >= 0 and tensor.max() <= 1 + 1e-6
        assert tensor.std() > 0.1 * tensor.mean()  # or the comparison would say little
        torch.testing.assert_close(tensor.double(), averaged(layers, kind, side, row), atol=tolerance, rtol=0)


def assert_same_maps(first: AttentionMaps, second: AttentionMaps, tolerance: float = 1e-5) -> None:
    assert (first.text, first.latent_size) == (second.text, second.latent_size)
    for kind in ("cross_attention", "self_attention"):
        ours, theirs = getattr(first, kind), getattr(second, kind)
        assert ours.keys() == theirs.keys()
        for r in ours:
            torch.testing.assert_close(ours[r], theirs[r], atol=tolerance, rtol=0)


def latents(count: int, side: int = 16, rng_seed: int = 3) -> Tensor:
    return torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(rng_seed))


def sample(pipe: StableDiffusionPipeline, prompt: Any, noise: Tensor, **options: Any) -> Tensor:
    """Images (n, 3, side, side) in [0, 1]."""
    options = {"num_inference_steps": 2, "guidance_scale": 5.0} | options
    side = noise.shape[-1]
    return pipe(prompt, latents=noise.clone(), height=side, width=side, output_type="pt", **options).images


@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize("guidance", [5.0, 1.0])
def test_maps_equal_an_explicit_softmax(pipe: StableDiffusionPipeline, side: int, guidance: float) -> None:
    prompts = ["a photo of a cat", "a bus on sand"]
    with softmax_oracle(pipe.unet) as layers, record_attention(pipe) as recorded:
        sample(pipe, prompts, latents(2, side), guidance_scale=guidance)
    first = 2 if guidance > 1 else 0  # diffusers puts the unconditional half first
    assert layers["self", side // 2][0].shape[0] == first + 2
    for image, maps in enumerate(recorded.maps):
        assert maps.prompt == prompts[image] and maps.latent_size == (side, side)
        assert_equal_to_oracle(maps, layers, first + image)


def test_recording_leaves_the_image_alone(pipe: StableDiffusionPipeline) -> None:
    noise = latents(1)
    before = sample(pipe, "a cat", noise)
    with record_attention(pipe):
        during = sample(pipe, "a cat", noise)
    torch.testing.assert_close(during, before, atol=1e-4, rtol=0)


@pytest.mark.parametrize("guidance", [5.0, 1.0])
def test_a_batch_records_what_single_images_would(pipe: StableDiffusionPipeline, guidance: float) -> None:
    prompts = ["a photo of a cat", "a bus and a sheep", "a person at night"]
    noise = latents(6)
    with record_attention(pipe) as recorded:
        sample(pipe, prompts, noise, num_images_per_prompt=2, guidance_scale=guidance)
        together = recorded.maps
    assert [maps.prompt for maps in together] == [prompt for prompt in prompts for _ in range(2)]
    for image, maps in enumerate(together):
        with record_attention(pipe) as recorded:
            sample(pipe, maps.prompt, noise[image : image + 1], guidance_scale=guidance)
        assert_same_maps(maps, recorded.maps[0], tolerance=1e-4)


def test_tokens_are_the_pieces_of_the_text_encoder(plain_pipe: StableDiffusionPipeline) -> None:
    with record_attention(plain_pipe) as recorded:
        sample(plain_pipe, "a zebra cat", latents(1), num_inference_steps=1)
    (maps,) = recorded.maps
    assert maps.tokens[:4] == ("<|startoftext|>", "a</w>", "z", "e")
    assert maps.tokens[6:8] == ("a</w>", "cat</w>") and set(maps.tokens[8:]) == {"<|endoftext|>"}
    assert all(tensor.shape == (h * w, len(maps.tokens)) for (h, w), tensor in maps.cross_attention.items())
    assert maps.for_word("zebra").cross_attention[8, 8].shape == (8, 8)


@pytest.mark.parametrize("vectors", [1, 2, 4])
def test_a_textual_inversion_has_the_maps_of_all_its_vectors(vectors: int) -> None:
    torch.manual_seed(0)
    pipe = build_pipe(even_unet())
    pipe.load_textual_inversion({"<cat-toy>": torch.randn(vectors, TEXT_WIDTH)}, token="<cat-toy>")
    with softmax_oracle(pipe.unet) as layers, record_attention(pipe) as recorded:
        sample(pipe, "a <cat-toy> and a cat", latents(1), num_inference_steps=1)
    (maps,) = recorded.maps
    assert maps.prompt == "a <cat-toy> and a cat" and maps.tokens[2] == "<cat-toy>"
    for word, columns in (("<cat-toy>", range(2, 2 + vectors)), ("cat", range(4 + vectors, 5 + vectors))):
        expected = averaged(layers, "cross", 8, 1)[:, columns].mean(1)
        torch.testing.assert_close(
            maps.for_word(word).cross_attention[8, 8].flatten().double(), expected, atol=1e-5, rtol=0
        )


def test_a_pipeline_without_its_tokenizer_is_an_error() -> None:
    pipe = build_pipe(even_unet())
    pipe.tokenizer = None  # as the SDXL refiner has it
    with pytest.raises(SeediffError, match="has no tokenizer"), record_attention(pipe):
        pass


def test_a_tokenizer_without_a_limit_is_an_error() -> None:
    pipe = build_pipe(even_unet())
    pipe.tokenizer.model_max_length = int(1e30)
    with record_attention(pipe), pytest.raises(SeediffError, match="does not say how many tokens it keeps"):
        sample(pipe, "a cat", latents(1))


def test_a_second_call_starts_afresh(plain_pipe: StableDiffusionPipeline) -> None:
    with record_attention(plain_pipe) as recorded:
        sample(plain_pipe, ["a cat", "a bus"], latents(2, side=32))
        sample(plain_pipe, "a sheep", latents(1))
    with record_attention(plain_pipe) as alone:
        sample(plain_pipe, "a sheep", latents(1))
    (again,), (once,) = recorded.maps, alone.maps
    assert_same_maps(again, once, tolerance=0)


def test_guidance_may_end_during_the_call(plain_pipe: StableDiffusionPipeline) -> None:
    def stop_guidance(pipe: Any, step: int, timestep: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        pipe._guidance_scale = 0.0
        return {"prompt_embeds": tensors["prompt_embeds"].chunk(2)[-1]} if step == 0 else {}

    options = {"callback_on_step_end": stop_guidance, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    with softmax_oracle(plain_pipe.unet) as layers, record_attention(plain_pipe) as recorded:
        sample(plain_pipe, "a cat", latents(1), **options)
    assert {len(layer) for layer in layers["self", 4]} == {2, 1}
    conditional = {where: [layer[-1:] for layer in found] for where, found in layers.items()}
    assert_equal_to_oracle(recorded.maps[0], conditional, 0)


def test_a_unet_run_by_hand_is_recorded_whole(pipe: StableDiffusionPipeline) -> None:
    prompts = ["a cat", "a bus", "a sheep"]
    tokenized = tokenize(pipe, prompts)
    text = torch.randn(3, len(tokenized[0].tokens), TEXT_WIDTH, generator=torch.Generator().manual_seed(0))
    with softmax_oracle(pipe.unet) as layers, record_denoiser(pipe.unet) as listener, torch.inference_mode():
        for timestep in (100, 700):
            pipe.unet(latents(3), timestep, encoder_hidden_states=text)
    for image, maps in enumerate(listener.maps(tokenized)):
        assert maps.prompt == prompts[image]
        assert_equal_to_oracle(maps, layers, image)


def test_attention_masks_are_part_of_the_softmax(pipe: StableDiffusionPipeline) -> None:
    tokenized = tokenize(pipe, ["a cat", "a bus"])
    text = torch.randn(2, len(tokenized[0].tokens), TEXT_WIDTH, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, len(tokenized[0].tokens))
    mask[0, 5:] = 0
    with softmax_oracle(pipe.unet) as layers, record_denoiser(pipe.unet) as listener, torch.no_grad():
        output = pipe.unet(latents(2), 5, encoder_hidden_states=text, encoder_attention_mask=mask).sample
    for image, maps in enumerate(listener.maps(tokenized)):
        assert_equal_to_oracle(maps, layers, image)
        assert all(bool(m[:, 5:].any()) == (image == 1) for m in maps.cross_attention.values())
    with torch.no_grad():
        plain = pipe.unet(latents(2), 5, encoder_hidden_states=text, encoder_attention_mask=mask).sample
    torch.testing.assert_close(output, plain)


def test_inference_mode_and_gradients_may_alternate(plain_pipe: StableDiffusionPipeline) -> None:
    text = torch.zeros(1, 24, TEXT_WIDTH)
    with record_denoiser(plain_pipe.unet) as listener:
        with torch.inference_mode():
            plain_pipe.unet(latents(1), 5, encoder_hidden_states=text)
        plain_pipe.unet(latents(1), 5, encoder_hidden_states=text).sample.mean().backward()
    plain_pipe.unet.zero_grad()
    assert not listener.maps(tokenize(plain_pipe, ["a cat"]))[0].self_attention[8, 8].requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_accumulate_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    pipe = build_pipe(even_unet()).to(dtype)
    text = torch.randn(2, 24, TEXT_WIDTH, generator=torch.Generator().manual_seed(0)).to(dtype)
    with softmax_oracle(pipe.unet) as layers, record_denoiser(pipe.unet) as listener, torch.no_grad():
        for timestep in (0, 300, 600, 900):
            pipe.unet(latents(2).to(dtype), timestep, encoder_hidden_states=text)
    for image, maps in enumerate(listener.maps(tokenize(pipe, ["a cat"] * 2))):
        assert_equal_to_oracle(maps, layers, image, tolerance=5e-5)  # the half kernels' exp has 20 bits


def test_no_map_is_kept_for_a_layer_or_a_step(plain_pipe: StableDiffusionPipeline) -> None:
    with record_attention(plain_pipe) as recorded:
        sample(plain_pipe, "a cat", latents(1), num_inference_steps=3)
        held = recorded._listener.accumulator
        shapes = sorted(tuple(sums.shape) for sums in held._sums.values())
        assert shapes == sorted((r * r, m) for r in (4, 8, 16) for m in (r * r, 24))
        assert held._scratch.numel() == 256 * 256


def parts_of(pipe: StableDiffusionPipeline) -> dict[str, Any]:
    """All that a recording touches: forwards, hooks and processors of every module, and the classes that it swaps."""
    unet = pipe.unet
    forwards = {name: vars(module).get("forward") for name, module in unet.named_modules()}
    hooks = {
        name: (len(module._forward_pre_hooks), len(module._forward_hooks)) for name, module in unet.named_modules()
    }
    processors = {name: id(processor) for name, processor in unet.attn_processors.items()}
    kinds = type(pipe), type(pipe.tokenizer), "encode_prompt" in vars(pipe), "decode" in vars(pipe.vae)
    return {"forwards": forwards, "hooks": hooks, "processors": processors, "kinds": kinds}


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_everything_is_put_back_even_after_an_exception(
    plain_pipe: StableDiffusionPipeline, error: type[BaseException]
) -> None:
    before = parts_of(plain_pipe)
    with pytest.raises(error), record_attention(plain_pipe):
        during = parts_of(plain_pipe)
        assert all(during[key] != before[key] for key in ("forwards", "hooks", "kinds"))
        raise error
    assert parts_of(plain_pipe) == before


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_call_that_was_stopped_has_no_maps(plain_pipe: StableDiffusionPipeline, error: type[BaseException]) -> None:
    def stop(*_: Any) -> dict[str, Any]:
        raise error

    with record_attention(plain_pipe) as recorded:
        with pytest.raises(error):
            sample(plain_pipe, "a cat", latents(1), callback_on_step_end=stop)
        with pytest.raises(SeediffError, match="stopped before its end"):
            _ = recorded.maps
        sample(plain_pipe, "a cat", latents(1), num_inference_steps=1)
        assert recorded.maps


def test_a_pipelines_own_encode_prompt_is_put_back(plain_pipe: StableDiffusionPipeline) -> None:
    own = plain_pipe.encode_prompt
    plain_pipe.encode_prompt = own
    with record_attention(plain_pipe) as recorded:
        sample(plain_pipe, "a cat", latents(1), num_inference_steps=1)
    assert recorded.maps and vars(plain_pipe).pop("encode_prompt") is own


def test_one_recording_inside_another_is_an_error(plain_pipe: StableDiffusionPipeline) -> None:
    with record_attention(plain_pipe) as recorded:
        with pytest.raises(SeediffError, match="being recorded already"), record_attention(plain_pipe):
            pass
        with pytest.raises(SeediffError, match="being recorded already"), record_denoiser(plain_pipe.unet):
            pass
        sample(plain_pipe, "a cat", latents(1), num_inference_steps=1)
        assert recorded.maps


def test_maps_before_sampling_are_an_error(plain_pipe: StableDiffusionPipeline) -> None:
    with record_attention(plain_pipe) as recorded, pytest.raises(SeediffError, match="No attention has been recorded"):
        _ = recorded.maps


def test_embeddings_without_text_are_an_error(plain_pipe: StableDiffusionPipeline) -> None:
    embeds = torch.zeros(1, 24, TEXT_WIDTH)
    with record_attention(plain_pipe), pytest.raises(SeediffError, match="Pass the text as prompt"):
        sample(plain_pipe, None, latents(1), prompt_embeds=embeds, negative_prompt_embeds=embeds)


@pytest.mark.parametrize(("height", "width"), [(8, 32), (22, 17), (30, 9)])
def test_images_of_any_size_equal_an_explicit_softmax(
    pipe: StableDiffusionPipeline, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(3))
    options = {"latents": noise, "height": 8 * height, "width": 8 * width, "num_inference_steps": 2}
    monkeypatch.setattr(pipe, "vae_scale_factor", 8)  # or latents of such sides could not be asked for
    with softmax_oracle(pipe.unet) as layers, record_attention(pipe) as recorded:
        pipe(["a cat", "a bus on sand"], output_type="latent", **options)
    halves = [(-(-height // 2**level), -(-width // 2**level)) for level in range(3)]
    for image, maps in enumerate(recorded.maps):
        assert maps.latent_size == (height, width) and {*maps.self_attention} <= {*halves}
        for kind, found in (("cross", maps.cross_attention), ("self", maps.self_attention)):
            for (h, w), ours in found.items():
                expected = averaged(layers, kind, round((h * w) ** 0.5), 2 + image)
                torch.testing.assert_close(ours.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("shape", "message"), [((2, 32), "one size at a time"), ((4, 16), "one batch at a time")])
def test_another_batch_in_one_recording_is_an_error(
    plain_pipe: StableDiffusionPipeline, shape: tuple[int, int], message: str
) -> None:
    with record_denoiser(plain_pipe.unet) as listener, torch.no_grad():
        plain_pipe.unet(latents(2), 5, encoder_hidden_states=torch.zeros(2, 24, TEXT_WIDTH))
        with pytest.raises(SeediffError, match=message):
            plain_pipe.unet(latents(*shape), 5, encoder_hidden_states=torch.zeros(shape[0], 24, TEXT_WIDTH))
        listener.restart()
        plain_pipe.unet(latents(*shape), 5, encoder_hidden_states=torch.zeros(shape[0], 24, TEXT_WIDTH))
        prompts = ["a cat"] * shape[0]
        assert len(listener.maps(tokenize(plain_pipe, prompts))) == shape[0]


def test_prompts_that_are_not_the_recorded_ones_are_an_error(plain_pipe: StableDiffusionPipeline) -> None:
    with record_denoiser(plain_pipe.unet) as listener, torch.no_grad():
        plain_pipe.unet(latents(2), 5, encoder_hidden_states=torch.zeros(2, 24, TEXT_WIDTH))
    tokenized = tokenize(plain_pipe, ["a cat", "a bus"])
    with pytest.raises(SeediffError, match="Recorded 2 images"):
        listener.maps(tokenized[:1])
    with pytest.raises(SeediffError, match=r"\[24\] tokens"):
        listener.maps([replace(prompt, tokens=prompt.tokens[:5], spans=prompt.spans[:5]) for prompt in tokenized])


def test_attention_that_is_not_fused_is_an_error(plain_pipe: StableDiffusionPipeline) -> None:
    plain_pipe.unet.set_attn_processor(AttnProcessor())
    try:
        with (
            record_attention(plain_pipe),
            pytest.raises(SeediffError, match=r"heard 0 times; .* by AttnProcessor\.\nOnly PyTorch's"),
        ):
            sample(plain_pipe, "a cat", latents(1))
    finally:
        plain_pipe.unet.set_attn_processor(AttnProcessor2_0())


def test_a_thing_without_unet_is_an_error() -> None:
    message = "DDIMScheduler has no unet or transformer"
    with pytest.raises(SeediffError, match=message), record_attention(DDIMScheduler()):
        pass
