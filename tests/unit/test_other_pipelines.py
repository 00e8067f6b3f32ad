"""Pipelines that cannot draw images, or whose attention cannot be recorded: each is refused by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    MotionAdapter,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from diffusers.models.attention_processor import AttnProcessor2_0
from transformers import CLIPTextModelWithProjection

import seediff
from seediff.attention.recording import record_attention
from seediff.cli import main
from seediff.diffusion.loading import MOVED, SD2_BASE
from seediff.embedded.pipeline import TEXT_WIDTH, build_scheduler, build_text_encoder, build_tokenizer
from seediff.errors import SeediffError
from seediff.filtering.clip import load_clip
from seediff.segmenter.backbones import load_pretrained
from seediff.segmenter.settings import segmenter_settings
from tests.unit.test_recording import assert_equal_to_oracle, sharpened, softmax_oracle

TOKENIZER = build_tokenizer()


def unet(**changes: Any) -> UNet2DConditionModel:
    sizes = {"sample_size": 16, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2}
    attention = {"cross_attention_dim": TEXT_WIDTH, "attention_head_dim": (1, 2)}
    return UNet2DConditionModel(**{**sizes, **blocks, **attention, **changes})


def sdxl_unet(width: int, numbers: int) -> UNet2DConditionModel:
    embedded = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
    inputs = 4 * numbers + projected().config.projection_dim
    return unet(cross_attention_dim=width, projection_class_embeddings_input_dim=inputs, **embedded)


def vae() -> AutoencoderKL:
    return AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, layers_per_block=1, sample_size=16)


def projected() -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection(build_text_encoder(TOKENIZER).config)


def plain(kind: type = StableDiffusionPipeline, network: Any = None) -> Any:
    parts = vae(), build_text_encoder(TOKENIZER), TOKENIZER, network or unet(), build_scheduler()
    pipe = kind(*parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sdxl_without_sizes() -> Any:
    """As a folder would be in which the UNet has been exchanged."""
    encoders = build_text_encoder(TOKENIZER), projected(), TOKENIZER, TOKENIZER
    return StableDiffusionXLPipeline(vae(), *encoders, unet(cross_attention_dim=2 * TEXT_WIDTH), build_scheduler())


def sdxl_refiner() -> Any:
    parts = vae(), None, projected(), None, TOKENIZER, sdxl_unet(TEXT_WIDTH, 5), build_scheduler()
    return StableDiffusionXLImg2ImgPipeline(*parts, requires_aesthetics_score=True)


def unconditional() -> Any:
    """Its parts have the right names."""
    pipe = plain()
    pipe.register_modules(
        unet=UNet2DModel(
            block_out_channels=(4,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            norm_num_groups=2,
            sample_size=16,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
        )
    )
    return pipe


OTHERS: dict[str, tuple[Callable[[], Any], str]] = {
    "refiner": (sdxl_refiner, "holds a StableDiffusionXLImg2ImgPipeline, which is not drawn with"),
    "inpainting": (
        lambda: plain(StableDiffusionInpaintPipeline, unet(in_channels=9)),
        "holds a StableDiffusionInpaintPipeline, which is not drawn with",
    ),
    "editing": (
        lambda: plain(StableDiffusionInstructPix2PixPipeline, unet(in_channels=8)),
        "holds a StableDiffusionInstructPix2PixPipeline, which is not drawn with",
    ),
    "channels": (lambda: plain(network=unet(in_channels=9)), "takes 9 channels"),
    "sizes": (lambda: plain(network=sdxl_unet(TEXT_WIDTH, 6)), "than its pipeline has (addition_embed_type)"),
    "no sizes": (sdxl_without_sizes, "than its pipeline has (addition_embed_type)"),
    "classes": (lambda: plain(network=unet(num_class_embeds=3)), "than its pipeline has (num_class_embeds)"),
    "width": (lambda: plain(network=unet(cross_attention_dim=8)), "reads prompts of 8 numbers a token"),
    "unconditional": (unconditional, "is a UNet2DModel, where Stable Diffusion 1 and 2 has a UNet2DConditionModel"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_of_another_pipeline(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, message = OTHERS[name]
    build().save_pretrained(tmp_path / "model")
    with pytest.raises(SeediffError) as raised:
        seediff.load(tmp_path / "model")
    assert message in str(raised.value) and len(str(raised.value).splitlines()) == 2
    options = ("--class", "cat", "--number", "1", "--steps", "1", "--output", str(tmp_path / "out"))
    assert main(["generate", "--model", str(tmp_path / "model"), *options]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_an_index_without_a_part(tmp_path: Path) -> None:
    plain().save_pretrained(tmp_path / "model")
    index = json.loads((tmp_path / "model" / "model_index.json").read_text())
    del index["text_encoder"]
    (tmp_path / "model" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(SeediffError, match="holds a StableDiffusionPipeline, without a part 'text_encoder'"):
        seediff.load(tmp_path / "model")


def draw(pipe: Any, **options: Any) -> Any:
    with record_attention(pipe) as recording:
        pipe("a photo of a cat", num_inference_steps=1, output_type="latent", **options)
    return recording.maps


def compiled() -> Any:
    pipe = plain()
    pipe.unet = torch.compile(pipe.unet, backend="eager")
    return pipe


def compiled_in_place() -> Any:
    pipe = plain()
    pipe.unet.compile(backend="eager")
    return pipe


def compiled_in_parts() -> Any:
    pipe = plain()
    pipe.unet.mid_block.compile(backend="eager")
    return pipe


@pytest.mark.parametrize("build", [plain, compiled, compiled_in_place, compiled_in_parts])
def test_a_compiled_unet_runs_as_it_was_written_while_it_is_recorded(build: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    pipe = build()
    (maps,) = draw(pipe, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    (expected,) = draw(plain(), generator=torch.Generator().manual_seed(0))
    assert maps.self_attention.keys() == expected.self_attention.keys() != set()
    assert all(torch.equal(maps.self_attention[size], ours) for size, ours in expected.self_attention.items())


def test_a_video_has_no_maps() -> None:
    motion = {"block_out_channels": (8, 16), "motion_layers_per_block": 1, "motion_num_attention_heads": 1}
    adapter = MotionAdapter(**motion, motion_norm_num_groups=4)
    pipe = AnimateDiffPipeline(vae(), build_text_encoder(TOKENIZER), TOKENIZER, unet(), adapter, build_scheduler())
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(SeediffError, match="attention of a UNetMotionModel cannot be recorded"):
        draw(pipe, num_frames=2)


def test_a_pipeline_without_a_tokenizer_of_its_own() -> None:
    with pytest.raises(SeediffError, match="StableDiffusionXLImg2ImgPipeline has no tokenizer"):
        draw(sdxl_refiner())


def test_a_unet_that_is_none() -> None:
    pipe = plain()
    pipe.unet = torch.nn.Linear(1, 1)
    with pytest.raises(SeediffError, match="attention of a Linear cannot be recorded"):
        draw(pipe)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_perturbed_rows_are_not_the_images_own(guidance: float) -> None:
    """Perturbed-attention guidance (PAG) adds rows that have the prompt, and look at nothing but themselves."""
    pipe = plain(StableDiffusionPAGPipeline, sharpened(unet()))
    options = {"guidance_scale": guidance, "prompt": ["a cat", "a bus"], "num_inference_steps": 1}
    noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with softmax_oracle(pipe.unet) as layers, record_attention(pipe) as recording:
        pipe(latents=noise, pag_scale=3.0, output_type="latent", **options)
    first = 2 if guidance > 1 else 0
    assert len(layers["cross", 16][0]) == first + 4
    own = {at: [layer[first : first + 2] for layer in found] for at, found in layers.items()}
    for image, maps in enumerate(recording.maps):
        assert_equal_to_oracle(maps, own, image)


def test_processors_may_be_replaced_within_the_block() -> None:
    pipe = plain()
    with record_attention(pipe) as recording:
        pipe.unet.set_attn_processor(AttnProcessor2_0())
        pipe("a photo of a cat", num_inference_steps=1, output_type="latent")
    assert recording.maps


def test_another_unet_within_the_block_is_said() -> None:
    pipe = plain()
    with record_attention(pipe):
        pipe.unet = unet()
        with pytest.raises(SeediffError, match="called, but not the denoiser that it had when the with-block began"):
            pipe("a photo of a cat", num_inference_steps=1, output_type="latent")


def test_another_pipeline_with_the_same_unet_is_refused() -> None:
    pipe, other = plain(), plain()
    other.unet = pipe.unet
    with record_attention(pipe) as recording:
        pipe("a photo of a cat", num_inference_steps=1, output_type="latent")
        alone = recording.maps[0]
        with pytest.raises(SeediffError, match="called by something else than the pipeline that is being recorded"):
            other("a photo of a bus", num_inference_steps=1, output_type="latent")
    assert all(torch.equal(alone.self_attention[size], ours) for size, ours in recording.maps[0].self_attention.items())


@pytest.mark.parametrize(
    "load",
    [
        lambda: seediff.load("someone/some-model"),
        lambda: load_clip("someone/clip"),
        lambda: load_pretrained(torch.nn.Linear(1, 1), segmenter_settings("resnet-50")),
        lambda: load_pretrained(torch.nn.Linear(1, 1), segmenter_settings("swin-base")),
    ],
)
def test_a_missing_network_is_reported(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SeediffError, match=r"hub cannot be reached: there is no network.*\nGive a local folder"):
        load()


def test_a_hub_that_no_name_server_knows_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        from socket import gaierror

        try:
            raise gaierror(-2, "Name or service not known")
        except gaierror as error:
            raise OSError("Cannot load model: the model is not fully cached locally") from error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unknown)
    with pytest.raises(SeediffError, match="there is no network"):
        seediff.load("someone/some-model")


@pytest.mark.parametrize(("model", "is_told"), [("stabilityai/stable-diffusion-2", True), (SD2_BASE, False)])
def test_where_stable_diffusion_2_has_gone(model: str, is_told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise OSError("Repository Not Found " + "x " * 1000)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", gone)
    with pytest.raises(SeediffError) as raised:
        seediff.load(model)
    first, second = str(raised.value).splitlines()
    assert (second == MOVED) == is_told
    assert first.endswith("x ...") and len(first) < 600, "what is cut off says so"
