"""Every call of a pipeline is recorded exactly or refused by name: guidance, batches, schedules, other pipelines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image

from seediff.attention.recording import record_attention
from seediff.errors import SeediffError
from tests.own_rows import GUIDED, LAST, PROMPT, Own, assert_recorded, built, drawing, in_form, left_half, picture
from tests.tiny_networks import unet
from tests.tiny_pipelines import CALLS, FAMILIES, call

PROMPTS = [PROMPT, "a photo of a bus on the sand"]
TWO_CALLS = ("flux", "flux2_klein", "chroma", "qwen_image", "kandinsky5", "lumina2", "cogview4")
"""Families whose pipelines call the denoiser once with the prompt and once without."""
SMALL = {"height": 16, "width": 24}


def own_of(name: str, images: int) -> Own:
    """Under guidance, in a single step."""
    if name in TWO_CALLS:
        return Own(images, calls=[0])
    return Own(images, 0 if name == "z_image" else LAST)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "ssd"])  # a smaller SDXL
def test_several_images_of_several_prompts_without_guidance(name: str) -> None:
    pipe, scale = built(name), "true_cfg_scale" if "true_cfg_scale" in CALLS[name] else "guidance_scale"
    steps = 2 if name == "pixart_alpha" else 1  # diffusers' own pipeline fails at a single step
    options = {scale: 1.0, "num_images_per_prompt": 2, "num_inference_steps": steps}
    if name == "lumina2":  # diffusers repeats the mask in another order than the text, and cuts that at wrong places
        with record_attention(pipe), pytest.raises(SeediffError, match=r"attends to 55 vectors .* has 52 tokens"):
            call(name, pipe, PROMPTS, **options)
        return
    maps = assert_recorded(name, pipe, lambda: call(name, pipe, PROMPTS, **options), Own(4))
    assert [each.prompt for each in maps] == [PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[1]]


@pytest.mark.parametrize("name", ["stable_diffusion", "qwen_image", "hunyuan_dit", "sana", "z_image"])
def test_several_images_of_several_prompts_under_guidance(name: str) -> None:
    prompts = [PROMPT, PROMPT] if name == "sana" else PROMPTS
    options = {"num_images_per_prompt": 2, "num_inference_steps": 1}
    assert_recorded(name, built(name), lambda: call(name, built(name), prompts, **options), own_of(name, 4))


@pytest.mark.parametrize("name", ["stable_diffusion", "sd3", "hunyuan_dit", "z_image", "prx"])
def test_a_negative_prompt_that_is_the_prompt_has_the_same_row(name: str) -> None:
    options = {"negative_prompt": "a cat", "num_inference_steps": 1}
    assert_recorded(name, built(name), lambda: call(name, built(name), "a cat", **options), own_of(name, 1))


@pytest.mark.parametrize("name", ["flux", "kandinsky5"])
def test_which_call_is_the_images_is_unknown_if_the_negative_prompt_is_the_prompt(name: str) -> None:
    message = r"with the prompt at timestep .*\n.*guidance by the prompt itself, cannot be recorded"
    with record_attention(built(name)), pytest.raises(SeediffError, match=message):
        call(name, built(name), "a cat", negative_prompt="a cat")


@dataclass(frozen=True)
class Case:
    """A pipeline and a call of it that is recorded exactly; ``own``: the rows that should be."""

    family: str
    own: Own
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    parts: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    timesteps: Any = "all"

    def check(self) -> None:
        changes_layers = self.kind.endswith("PAGPipeline")
        pipe = FAMILIES[self.family]() if changes_layers else built(self.family)
        if self.kind or self.parts(pipe):
            kind = getattr(diffusers, self.kind) if self.kind else type(pipe)
            pipe = in_form(kind, pipe, **self.parts(pipe))
        options = {**CALLS[self.family], **self.options} if self.family not in SIZES else self.options
        assert_recorded(self.family, pipe, drawing(pipe, **options), self.own, timesteps=self.timesteps)


SIZES = ("stable_diffusion", "stable_diffusion_xl", "sd3", "flux")
"""Families whose cases say all that the pipeline is called with."""
SD = {**SMALL, **GUIDED}
FLUX = {**SMALL, "max_sequence_length": 20}
TWO, FOUR = {"num_inference_steps": 2}, {"num_inference_steps": 4}
HALF = {"strength": 0.5, **FOUR}
PICTURE, MASK = {"image": picture(16, 24)}, {"mask_image": left_half(16, 24)}
CONTROL = {**PICTURE, **SD}


def controlled(pipe: Any) -> dict[str, Any]:
    network = diffusers.ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(8, 8))
    return {"controlnet": network}


def controlled_sd3(pipe: Any) -> dict[str, Any]:
    settings = {"num_layers": 1, "num_extra_conditioning_channels": 0}
    return {"controlnet": diffusers.SD3ControlNetModel.from_transformer(pipe.transformer, **settings)}


def controlled_flux(pipe: Any) -> dict[str, Any]:
    heads = {"attention_head_dim": 16, "num_attention_heads": 2}
    layers = {"num_layers": 1, "num_single_layers": 1}
    return {"controlnet": diffusers.FluxControlNetModel.from_transformer(pipe.transformer, **layers, **heads)}


def perturbed(*_: Any) -> dict[str, Any]:
    return {
        "pag_applied_layers": "blocks.1",
        "requires_safety_checker": False,
        "safety_checker": None,
        "feature_extractor": None,
    }


def scheduled(scheduler: str, **settings: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda _: {"scheduler": getattr(diffusers, scheduler)(**settings)}


CASES = {
    "one step of LCM": Case(
        "stable_diffusion",
        Own(),
        {**SMALL, "guidance_scale": 1.0, "num_inference_steps": 1},
        parts=scheduled("LCMScheduler"),
    ),
    "turbo": Case("stable_diffusion_xl", Own(), {**SMALL, "guidance_scale": 0.0, "num_inference_steps": 1}),
    "Heun": Case(
        "stable_diffusion",
        Own(1, LAST),
        {**SD, **TWO},
        parts=scheduled("HeunDiscreteScheduler", num_train_timesteps=100),
    ),
    "KDPM2": Case(
        "stable_diffusion",
        Own(1, LAST),
        {**SD, **TWO},
        parts=scheduled("KDPM2DiscreteScheduler", num_train_timesteps=100),
    ),
    "late Heun": Case(
        "stable_diffusion",
        Own(1, LAST, [1, 2]),
        {**SD, **TWO},
        parts=scheduled("HeunDiscreteScheduler", num_train_timesteps=100),
        timesteps="late",
    ),
    "PNDM": Case(
        "stable_diffusion", Own(1, LAST), {**SD, **FOUR}, parts=scheduled("PNDMScheduler", skip_prk_steps=True)
    ),
    "SDXL's first half, late": Case(
        "stable_diffusion_xl", Own(1, LAST, [1]), {**SD, **FOUR, "denoising_end": 0.5}, timesteps="late"
    ),
    "SDXL's second half, late": Case(
        "stable_diffusion_xl",
        Own(1, LAST, [1]),
        {**PICTURE, **GUIDED, **FOUR, "denoising_start": 0.5},
        "StableDiffusionXLImg2ImgPipeline",
        timesteps="late",
    ),
    "SDXL with another size for guidance": Case(
        "stable_diffusion_xl", Own(1, LAST), {**SD, "negative_original_size": (8, 8), "negative_prompt_2": "a bus"}
    ),
    "cut guidance of Z-Image": Case("z_image", Own(), {"cfg_truncation": 0.4, "num_inference_steps": 3}),
    "cut guidance of Lumina": Case("lumina2", Own(1, 0, [0, 2, 3]), {"cfg_trunc_ratio": 0.4, "num_inference_steps": 3}),
    "another instruction of Lumina's": Case("lumina2", Own(1, 0, [0, 2]), {"system_prompt": "be good"}),
    "no instruction of Sana's": Case("sana", Own(1, LAST), {"complex_human_instruction": None}),
    "another instruction of Sana's": Case("sana", Own(1, LAST), {"complex_human_instruction": ["Draw this: "]}),
    "a reference image of FLUX.2's": Case("flux2_klein", Own(1, 0, [0, 2]), {"image": Image.new("RGB", (64, 64))}),
    "a reference image of FLUX.1's": Case(
        "flux", Own(), {**FLUX, **PICTURE, "_auto_resize": False, "max_area": 16 * 24}, "FluxKontextPipeline"
    ),
    "SD3 without its third encoder": Case(
        "sd3", Own(1, LAST), SD, parts=lambda _: {"text_encoder_3": None, "tokenizer_3": None}
    ),
    "skipped layers": Case(
        "sd3",
        Own(1, LAST, [0, 1]),
        {**SD, **TWO, "skip_guidance_layers": [1], "skip_layer_guidance_start": 0.0, "skip_layer_guidance_stop": 1.0},
    ),
    "SD from a picture": Case(
        "stable_diffusion", Own(1, LAST), {**PICTURE, **GUIDED, **HALF}, "StableDiffusionImg2ImgPipeline"
    ),
    "SD from a picture, late": Case(
        "stable_diffusion",
        Own(1, LAST, [1]),
        {**PICTURE, **GUIDED, **HALF},
        "StableDiffusionImg2ImgPipeline",
        timesteps="late",
    ),
    "Heun from a picture, late": Case(
        "stable_diffusion",
        Own(1, LAST, [1, 2]),
        {**PICTURE, **GUIDED, **HALF},
        "StableDiffusionImg2ImgPipeline",
        scheduled("HeunDiscreteScheduler", num_train_timesteps=100),
        "late",
    ),
    "SD within a picture": Case(
        "stable_diffusion", Own(1, LAST), {**PICTURE, **MASK, **SD}, "StableDiffusionInpaintPipeline"
    ),
    "SD after a control": Case(
        "stable_diffusion", Own(1, LAST), CONTROL, "StableDiffusionControlNetPipeline", controlled
    ),
    "SD after a guessed control": Case(
        "stable_diffusion",
        Own(1, LAST),
        {**CONTROL, "guess_mode": True},
        "StableDiffusionControlNetPipeline",
        controlled,
    ),
    "SDXL after a control": Case(
        "stable_diffusion_xl", Own(1, LAST), CONTROL, "StableDiffusionXLControlNetPipeline", controlled
    ),
    "SD, perturbed": Case("stable_diffusion", Own(1, 1), SD, "StableDiffusionPAGPipeline"),
    "SD, perturbed after a control": Case(
        "stable_diffusion", Own(1, 1), CONTROL, "StableDiffusionControlNetPAGPipeline", controlled
    ),
    "SDXL, perturbed": Case("stable_diffusion_xl", Own(1, 1), SD, "StableDiffusionXLPAGPipeline"),
    "SD3, perturbed": Case("sd3", Own(1, 1), SD, "StableDiffusion3PAGPipeline"),
    "SD3, perturbed alone": Case("sd3", Own(), {**SD, "guidance_scale": 1.0}, "StableDiffusion3PAGPipeline"),
    "PixArt, perturbed": Case("pixart_sigma", Own(1, 1), {}, "PixArtSigmaPAGPipeline", perturbed),
    "Sana, perturbed": Case("sana", Own(1, 1), {}, "SanaPAGPipeline", perturbed),
    "Hunyuan, perturbed": Case("hunyuan_dit", Own(1, 1), {}, "HunyuanDiTPAGPipeline", perturbed),
    "SD3 from a picture, late": Case(
        "sd3", Own(1, LAST, [1]), {**SD, **PICTURE, **HALF}, "StableDiffusion3Img2ImgPipeline", timesteps="late"
    ),
    "SD3 after a control": Case(
        "sd3",
        Own(1, LAST),
        {**SD, "control_image": picture(16, 24)},
        "StableDiffusion3ControlNetPipeline",
        controlled_sd3,
    ),
    "FLUX from a picture, late": Case(
        "flux", Own(1, 0, [1]), {**FLUX, **PICTURE, **HALF}, "FluxImg2ImgPipeline", timesteps="late"
    ),
    "FLUX within a picture": Case("flux", Own(), {**FLUX, **PICTURE, **MASK, **HALF}, "FluxInpaintPipeline"),
    "FLUX after a control": Case(
        "flux", Own(), {**FLUX, "control_image": picture(16, 24)}, "FluxControlNetPipeline", controlled_flux
    ),
    "the last quarter of FLUX": Case("flux", Own(1, 0, [3]), {**FLUX, **FOUR}, timesteps=0.25),
    "late FLUX": Case("flux", Own(1, 0, [2, 3]), {**FLUX, **FOUR}, timesteps="late"),
    "timesteps of FLUX's": Case("flux", Own(1, 0, [1, 3]), {**FLUX, **FOUR}, timesteps=[826, 346]),
    "late Z-Image from a picture": Case(
        "z_image", Own(1, 0, [1]), {**PICTURE, **HALF}, "ZImageImg2ImgPipeline", timesteps="late"
    ),
    "late Z-Image within a picture": Case(
        "z_image", Own(1, 0, [1]), {**PICTURE, **MASK, **HALF}, "ZImageInpaintPipeline", timesteps="late"
    ),
    "late Qwen from a picture": Case(
        "qwen_image", Own(1, 0, [2]), {"image": picture(32, 48), **HALF}, "QwenImageImg2ImgPipeline", timesteps="late"
    ),
    "late Chroma from a picture": Case(
        "chroma", Own(1, 0, [2]), {**PICTURE, **HALF}, "ChromaImg2ImgPipeline", timesteps="late"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_images_own_rows_are_recorded(name: str) -> None:
    CASES[name].check()


class SmallWindows(diffusers.StableDiffusionPanoramaPipeline):
    """Of 8 x 8 latents."""

    def get_views(self, *_: Any, **__: Any) -> list[tuple[int, int, int, int]]:
        return [(0, 8, 0, 8), (0, 8, 4, 12)]


REFUSED: dict[str, tuple[type, str, dict[str, Any], dict[str, Any], str]] = {
    "windows one by one": (
        SmallWindows,
        "stable_diffusion",
        {},
        {**SD, **TWO},
        r"with the prompt at timestep .*\nSeveral calls at a timestep, as of a panorama's windows",
    ),
    "windows at once": (
        SmallWindows,
        "stable_diffusion",
        {},
        {**SD, **TWO, "view_batch_size": 2},
        r"given the prompts 2 times at once, each time with something else: .*\nWindows of a panorama",
    ),
    "timesteps at once": (
        diffusers.StableDiffusionParadigmsPipeline,
        "stable_diffusion",
        {"scheduler": diffusers.DDIMParallelScheduler()},
        {**SD, **TWO},
        r"given the prompts 2 times at once",
    ),
    "guided by its own attention": (
        diffusers.StableDiffusionSAGPipeline,
        "stable_diffusion",
        {},
        {**SD, "sag_scale": 0.0},
        r"mid_block.* was heard 0 times; its attention is computed by CrossAttnStoreProcessor\.\nOnly PyTorch's",
    ),
    "semantic guidance": (
        diffusers.SemanticStableDiffusionPipeline,
        "stable_diffusion",
        {},
        SD,
        r"SemanticStableDiffusionPipeline has no encode_prompt",
    ),
    "edited pictures": (
        diffusers.StableDiffusionInstructPix2PixPipeline,
        "stable_diffusion",
        {"image_encoder": None},
        {**PICTURE, **GUIDED},
        r"StableDiffusionInstructPix2PixPipeline has no encode_prompt",
    ),
    "another second prompt": (
        diffusers.StableDiffusionXLPipeline,
        "stable_diffusion_xl",
        {},
        {**SD, "prompt_2": "a bus"},
        r"given another text as prompt_2: .*\nLeave prompt_2 out",
    ),
    "a timestep that is none": (
        diffusers.FluxPipeline,
        "flux",
        {"timesteps": [900]},
        {**FLUX, **TWO},
        r"Timestep 900 is not one of this run's\.\nThese are 1000, 613\.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_pipeline_that_cannot_be_recorded_is_refused_by_name(name: str) -> None:
    kind, family, parts, options, message = REFUSED[name]
    if kind is diffusers.StableDiffusionInstructPix2PixPipeline:
        parts = {**parts, "unet": unet(in_channels=8)}
    pipe = in_form(kind, FAMILIES[family](), **parts)
    recorded = {"timesteps": parts.get("timesteps", "all")}
    with pytest.raises(SeediffError, match=message) as raised, record_attention(pipe, **recorded):
        drawing(pipe, **options)()
    assert len(str(raised.value).splitlines()) == 2


def test_attend_and_excite_is_refused_by_name() -> None:
    pipe = in_form(diffusers.StableDiffusionAttendAndExcitePipeline, FAMILIES["stable_diffusion"]())
    options = {**SMALL, "guidance_scale": 4.0, "token_indices": [2], "max_iter_to_alter": 0, "attn_res": (8, 12)}
    with pytest.raises(SeediffError, match="computed by AttendExciteAttnProcessor"), record_attention(pipe):
        drawing(pipe, **options)()


def test_a_five_dimensional_latent_is_refused() -> None:
    pipe = FAMILIES["stable_diffusion"]()
    pipe.prepare_latents = lambda *_: torch.zeros(1, 4, 2, 8, 8)
    with pytest.raises(SeediffError, match="the latents have 5 dimensions, as of a video"), record_attention(pipe):
        drawing(pipe, **SMALL)()


def test_a_run_that_is_interrupted_has_no_maps() -> None:
    """Diffusers' own way to stop: the calls that are left are skipped, and the pipeline returns."""
    pipe = built("stable_diffusion")

    def stop(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = step == 1
        return kwargs

    with record_attention(pipe) as recording:
        with pytest.raises(SeediffError, match="stopped after 2 of its 4 timesteps"):
            call("stable_diffusion", pipe, PROMPT, num_inference_steps=4, callback_on_step_end=stop)
        with pytest.raises(SeediffError, match="stopped before its end"):
            _ = recording.maps


@pytest.mark.parametrize("strength", [0.5, 0.8, 0.9])
def test_a_picture_is_drawn_anew_from_a_schedule_that_repeats_a_timestep(strength: float) -> None:
    """PNDM, the scheduler of Stable Diffusion 1, has its second timestep twice."""
    scheduler = diffusers.PNDMScheduler(skip_prk_steps=True)
    pipe = in_form(diffusers.StableDiffusionImg2ImgPipeline, built("stable_diffusion"), scheduler=scheduler)
    with record_attention(pipe) as recording:
        pipe(PROMPT, picture(16, 24), strength, num_inference_steps=10, output_type="np")
    assert recording.maps[0].prompt == PROMPT
