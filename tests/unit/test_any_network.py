"""However a denoiser is changed, its calls are recorded exactly or refused by name; the recording leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from diffusers import hooks as diffusers_hooks
from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig

from seediff.attention.recording import denoiser_of, record_attention, record_denoiser
from seediff.errors import SeediffError
from tests.attention_oracle import oracle
from tests.own_rows import GUIDED, LAST, Own, assert_recorded, built, drawing
from tests.tiny_networks import unet
from tests.tiny_pipelines import FAMILIES
from tests.tiny_text import WIDTH
from tests.unit.test_recording import parts_of

SMALL = {"height": 16, "width": 24}
OPTIONS = {"stable_diffusion": {**SMALL, **GUIDED}, "flux": {**SMALL, "max_sequence_length": 20}}
OWN = {"stable_diffusion": Own(1, LAST), "flux": Own()}
BOTH = tuple(OPTIONS)


@pytest.fixture(autouse=True)
def own_backend() -> Iterator[None]:
    """A model's set_attention_backend changes that of all models."""
    with attention_backend(AttentionBackendName.NATIVE):
        yield


def offload(pipe: Any) -> None:
    cpu_offload(denoiser_of(pipe), "cpu")


def offload_each(pipe: Any) -> None:
    for module in denoiser_of(pipe).modules():
        if next(module.parameters(recurse=False), None) is not None:
            add_hook_to_module(module, AlignDevicesHook("cpu", io_same_device=True))


def offload_groups(pipe: Any) -> None:
    cpu = torch.device("cpu")
    denoiser_of(pipe).enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")


def add_lora(pipe: Any) -> None:
    config = LoraConfig(r=2, lora_alpha=1, target_modules=["to_q", "to_k"], init_lora_weights=False)
    denoiser_of(pipe).add_adapter(config)


def store_smaller(pipe: Any) -> None:
    denoiser_of(pipe).enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)


def of_vae(pipe: Any) -> None:
    pipe.vae.enable_tiling()
    pipe.vae.enable_slicing()


def compile_whole(pipe: Any) -> None:
    name = "unet" if hasattr(pipe, "unet") else "transformer"
    setattr(pipe, name, torch.compile(getattr(pipe, name), backend="eager"))


def compile_blocks(pipe: Any) -> None:
    denoiser_of(pipe).compile_repeated_blocks(backend="eager", fullgraph=True)


def fuse(pipe: Any) -> None:
    denoiser_of(pipe).fuse_qkv_projections()


def halve(pipe: Any) -> None:
    pipe.to(torch.float16)


CHANGES: list[tuple[str, Callable[[Any], None]]] = [
    ("stable_diffusion", offload_each),
    ("stable_diffusion", add_lora),
    ("stable_diffusion", of_vae),
    ("stable_diffusion", fuse),
    ("stable_diffusion", halve),
    ("flux", offload),
    ("flux", offload_groups),
    ("flux", add_lora),
    ("flux", store_smaller),
    ("flux", fuse),
    ("flux", halve),
    ("flux", lambda pipe: pipe.to(torch.bfloat16)),
    ("flux", lambda pipe: denoiser_of(pipe).enable_gradient_checkpointing()),
    ("flux", lambda pipe: denoiser_of(pipe).set_attention_backend("_native_math")),
]


@pytest.mark.parametrize(("name", "change"), CHANGES)
def test_changes_that_leave_attention_in_place(name: str, change: Callable[[Any], None]) -> None:
    pipe = FAMILIES[name]()
    change(pipe)
    before = parts_of(pipe) if name == "stable_diffusion" else {}
    assert_recorded(name, pipe, drawing(pipe, **OPTIONS[name]), OWN[name])
    assert before == (parts_of(pipe) if before else {})


def test_hooks_that_are_added_meanwhile_stay() -> None:
    pipe, draw = FAMILIES["flux"](), drawing(built("flux"), **OPTIONS["flux"])
    layer = pipe.transformer.transformer_blocks[0].attn
    with record_attention(pipe) as recording:
        add_hook_to_module(layer, AlignDevicesHook("cpu", io_same_device=True))
        image = drawing(pipe, **OPTIONS["flux"])()
    (maps,) = recording.maps
    assert "forward" in vars(layer) and torch.equal(image, draw())
    later = drawing(pipe, **OPTIONS["flux"], prompt="a bus")()
    assert torch.equal(later, drawing(built("flux"), **OPTIONS["flux"], prompt="a bus")())
    assert torch.equal(recording.maps[0].cross_attention[4, 6], maps.cross_attention[4, 6])


@pytest.mark.parametrize("change", [compile_whole, compile_blocks])
def test_a_compiled_transformer_runs_as_it_was_written(change: Callable[[Any], None]) -> None:
    pipe = FAMILIES["flux"]()
    draw = drawing(pipe, **OPTIONS["flux"])
    plain = draw()
    change(pipe)
    with oracle(pipe), record_attention(pipe) as recording:
        image = draw()
    assert recording.maps and torch.equal(plain, image)


def test_free_u_leaves_attention_in_place() -> None:
    pipe = FAMILIES["stable_diffusion"]()
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    assert_recorded("stable_diffusion", pipe, drawing(pipe, **SMALL, **GUIDED), Own(1, LAST))


def image_prompt(unet: Any, width: int) -> dict[str, Any]:
    """Random weights of an IP-Adapter with four tokens."""
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    layers = [unet.get_submodule(name.removesuffix(".processor")) for name in names]
    projection = {"proj.weight": torch.randn(4 * width, 16), "proj.bias": torch.zeros(4 * width)}
    norm = {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}
    keys = {f"{2 * at + 1}.to_k_ip.weight": torch.randn(layer.to_k.weight.shape) for at, layer in enumerate(layers)}
    values = {name.replace("_k_", "_v_"): torch.randn(weight.shape) for name, weight in keys.items()}
    return {"image_proj": projection | norm, "ip_adapter": keys | values}


@pytest.mark.parametrize(("name", "width"), [("stable_diffusion", WIDTH), ("stable_diffusion_xl", 2 * WIDTH)])
def test_an_image_prompt_beside_the_text(name: str, width: int) -> None:
    pipe = FAMILIES[name]()
    pipe.load_ip_adapter(image_prompt(pipe.unet, width), subfolder=None, weight_name=None, image_encoder_folder=None)
    embeds = torch.cat([torch.zeros(1, 1, 16), torch.randn(1, 1, 16)])
    options = {**SMALL, **GUIDED, "ip_adapter_image_embeds": [embeds]}
    assert_recorded(name, pipe, drawing(pipe, **options), Own(1, LAST))
    with record_attention(pipe), pytest.raises(SeediffError, match="2 times at once, each time with something else"):
        drawing(pipe, prompt="sand", **options)()  # as the negative one: only the image prompt tells them apart


def use_plain_processors(pipe: Any) -> None:
    pipe.unet.set_attn_processor(AttnProcessor())


def merge_tokens(pipe: Any) -> None:
    """Every second of two rows and columns, so that as many are left as the next level has."""
    for name, module in pipe.unet.named_modules():
        if name.endswith("attn1"):
            module.forward = merged(module.forward)


def merged(forward: Callable[..., Any]) -> Callable[..., Any]:
    def attend(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        found: torch.Tensor = forward(hidden[:, ::4].contiguous(), *args, **kwargs)
        return found.repeat_interleave(4, 1)[:, : hidden.shape[1]]

    return attend


def tile(pipe: Any) -> None:
    """Attention within halves of the image, which go into the batch."""
    for name, module in pipe.unet.named_modules():
        if name.endswith("attn1"):
            module.forward = tiled(module.forward)


def tiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    def attend(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        batch, positions, width = hidden.shape
        found: torch.Tensor = forward(hidden.reshape(2 * batch, positions // 2, width), *args, **kwargs)
        return found.reshape(batch, positions, width)

    return attend


def reuse_blocks(pipe: Any) -> None:
    """As DeepCache does it: what a block gave is given again."""
    block = pipe.unet.up_blocks[0]
    forward, kept = block.forward, list[Any]()

    def cached(*args: Any, **kwargs: Any) -> Any:
        kept.append(kept[0] if kept else forward(*args, **kwargs))
        return kept[-1]

    block.forward = cached


def drop_guidance(pipe: Any) -> None:
    """As FasterCache does it: a layer is given the half of the batch that has the prompt."""
    for name, module in pipe.unet.named_modules():
        if name.endswith("transformer_blocks.0"):
            module.forward = halved(module.forward)


def halved(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(hidden: torch.Tensor, encoder_hidden_states: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        found = forward(hidden[1:], encoder_hidden_states=encoder_hidden_states[1:], **kwargs)
        return torch.cat([found, found])

    return run


def broadcast(pipe: Any) -> None:
    ranges = {"spatial_attention_block_skip_range": 2, "spatial_attention_timestep_skip_range": (-1, 1001)}
    blocks = {"spatial_attention_block_identifiers": ("attentions", "transformer_blocks")}
    config = diffusers_hooks.PyramidAttentionBroadcastConfig(**ranges, **blocks, current_timestep_callback=lambda: 500)
    diffusers_hooks.apply_pyramid_attention_broadcast(denoiser_of(pipe), config)


def cache_first_block(pipe: Any) -> None:
    config = diffusers_hooks.FirstBlockCacheConfig(threshold=1e9)
    diffusers_hooks.apply_first_block_cache(denoiser_of(pipe), config)


def skip_layers(pipe: Any) -> None:
    config = diffusers_hooks.LayerSkipConfig([0], fqn="transformer_blocks")
    diffusers_hooks.apply_layer_skip(denoiser_of(pipe), config)


def use_flex(pipe: Any) -> None:
    denoiser_of(pipe).set_attention_backend("flex")


UNHEARD = r"was heard 0 times; its attention is computed by"
REFUSED: list[tuple[str, Callable[[Any], None], str]] = [
    ("stable_diffusion", use_plain_processors, rf"20 of 20 .* {UNHEARD} AttnProcessor\."),
    ("stable_diffusion_xl", lambda pipe: pipe.enable_attention_slicing(1), rf"{UNHEARD} SlicedAttnProcessor"),
    (
        "stable_diffusion",
        merge_tokens,
        r"attn1 attends with 24 positions that look at 24, where 96 of image \(8 x 12\)",
    ),
    ("stable_diffusion", tile, r"attn1 attends for 4 rows of a batch, where 2 were expected"),
    ("stable_diffusion", drop_guidance, r"attn1 attends for 1 rows of a batch, where 2 were expected"),
    ("stable_diffusion", reuse_blocks, rf"4 of 20 .* up_blocks\.0.* {UNHEARD} AttnProcessor2_0"),
    ("stable_diffusion", broadcast, rf"{UNHEARD} AttnProcessor2_0"),
    ("flux", broadcast, rf"{UNHEARD} FluxAttnProcessor"),
    ("flux", cache_first_block, rf"2 of 3 .* {UNHEARD} FluxAttnProcessor"),
    ("flux", skip_layers, rf"transformer_blocks\.0\.attn {UNHEARD} FluxAttnProcessor"),
    ("flux", use_flex, rf"3 of 3 .* {UNHEARD} FluxAttnProcessor"),
]


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize(("name", "change", "message"), REFUSED)
def test_changes_of_attention_are_refused_by_name(name: str, change: Callable[[Any], None], message: str) -> None:
    pipe = FAMILIES[name]()
    change(pipe)
    options = {**OPTIONS.get(name, {**SMALL, **GUIDED}), "num_inference_steps": 2}
    with pytest.raises(SeediffError, match=message) as raised, record_attention(pipe):
        drawing(pipe, **options)()
    assert len(str(raised.value).splitlines()) == 2


class Interrupted(BaseException):
    """As KeyboardInterrupt, no Exception."""


@pytest.mark.parametrize("error", [ZeroDivisionError, Interrupted])
def test_a_layer_that_stops_the_call_leaves_no_trace(error: type[BaseException]) -> None:
    pipe = FAMILIES["stable_diffusion"]()
    before, draw = parts_of(pipe), drawing(pipe, **SMALL, **GUIDED)

    def stop(*_: Any) -> None:
        raise error

    with record_attention(pipe) as recording:
        hook = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.register_forward_hook(stop)
        with pytest.raises(error):
            draw()
        hook.remove()
        with pytest.raises(SeediffError, match="stopped before its end"):
            _ = recording.maps
        draw()
        assert recording.maps
    assert parts_of(pipe) == before


def test_two_pipelines_may_be_recorded_at_once() -> None:
    pipes = {name: built(name) for name in BOTH}
    alone = {}
    for name, pipe in pipes.items():
        (alone[name],) = assert_recorded(name, pipe, drawing(pipe, **OPTIONS[name]), OWN[name])
    with ExitStack() as stack:
        recordings = {name: stack.enter_context(record_attention(pipe)) for name, pipe in pipes.items()}
        for name, pipe in pipes.items():
            drawing(pipe, **OPTIONS[name])()
        for name, recording in recordings.items():
            (maps,) = recording.maps
            size = max(maps.cross_attention)
            assert torch.equal(maps.cross_attention[size], alone[name].cross_attention[size])


def test_a_denoiser_called_by_hand_is_refused() -> None:
    pipe = built("flux")
    with record_attention(pipe), pytest.raises(SeediffError, match="called by something else than the pipeline"):
        pipe.transformer(
            hidden_states=torch.zeros(1, 24, 16),
            timestep=torch.ones(1),
            guidance=torch.ones(1),
            encoder_hidden_states=torch.zeros(1, 20, WIDTH),
            pooled_projections=torch.zeros(1, WIDTH),
            img_ids=torch.zeros(24, 3),
            txt_ids=torch.zeros(20, 3),
        )


@pytest.mark.parametrize("in_place", [True, False])
def test_a_callback_that_changes_the_text_is_refused(in_place: bool) -> None:
    pipe = built("stable_diffusion")

    def change(_: Any, __: int, ___: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        text = tensors["prompt_embeds"]
        return {"prompt_embeds": text.mul_(2) if in_place else text * 2}

    options = {"callback_on_step_end": change, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    message = r"those from number 0 on are not what encode_prompt made for 1 images"
    for guidance in (1.0, 4.0):
        with record_attention(pipe), pytest.raises(SeediffError, match=message):
            drawing(pipe, **SMALL, **options, num_inference_steps=2, guidance_scale=guidance)()


def test_maps_may_be_read_during_the_call() -> None:
    pipe, seen = built("stable_diffusion"), list[Any]()

    def look(*_: Any) -> dict[str, Any]:
        seen.append(recording.maps[0].cross_attention[8, 12])
        return {}

    with record_attention(pipe) as recording:
        drawing(pipe, **SMALL, **GUIDED, num_inference_steps=2, callback_on_step_end=look)()
    assert torch.equal(seen[1], recording.maps[0].cross_attention[8, 12]) and not torch.equal(seen[0], seen[1])
    draw = drawing(pipe, **SMALL, **GUIDED, num_inference_steps=2)
    (first,) = assert_recorded("stable_diffusion", pipe, draw, Own(1, LAST, [0]), timesteps=[501])
    torch.testing.assert_close(seen[0], first.cross_attention[8, 12])


@pytest.mark.parametrize(("places", "names"), [((), {"is_causal": True}), ((None, 0.0, True), {})])
def test_attention_to_earlier_positions_alone_is_refused(places: tuple[Any, ...], names: dict[str, Any]) -> None:
    pipe = FAMILIES["stable_diffusion"]()

    def look_back(layer: Any, hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        heads = [part(hidden).unflatten(-1, (layer.heads, -1)).mT for part in (layer.to_q, layer.to_k, layer.to_v)]
        return torch.nn.functional.scaled_dot_product_attention(*heads, *places, **names).mT.flatten(2)

    pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor = look_back
    with record_attention(pipe), pytest.raises(SeediffError, match=r"mid_block.*attn1 looks at earlier positions only"):
        drawing(pipe, **SMALL)()


def test_a_unet_with_layers_of_another_kind_is_refused() -> None:
    pipe = FAMILIES["stable_diffusion"]()
    pipe.unet = unet(
        down_block_types=("SimpleCrossAttnDownBlock2D",) * 3,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D",) * 3,
    )
    message = r"this UNet2DConditionModel cannot be recorded: it has no layer that looks at text as those of Stable"
    with pytest.raises(SeediffError, match=message), record_attention(pipe):
        pass


def test_a_denoiser_without_a_text_is_refused() -> None:
    transformer = built("sd3").transformer
    given = {"hidden_states": torch.zeros(1, 4, 8, 8), "timestep": torch.ones(1)}
    with record_denoiser(transformer), pytest.raises(SeediffError, match="called without encoder_hidden_states"):
        transformer(**given, pooled_projections=torch.zeros(1, 32))
