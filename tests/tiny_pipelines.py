"""Tiny text-to-image pipelines of the real diffusers classes, complete and with random weights.

``FAMILIES[name]()`` makes a pipeline, and ``call(name, pipe, prompt)`` draws with it: two steps, an image that is not
square, and guidance where the family knows it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import wraps
from types import SimpleNamespace
from typing import Any

import diffusers
import torch

from seediff.embedded.pipeline import build_scheduler
from tests import tiny_text as text
from tests.tiny_networks import flow, flow_vae, lively, unet, vae
from tests.tiny_text import WIDTH, seeded

FAMILIES: dict[str, Callable[[], Any]] = {}


def family(make: Callable[[], Any]) -> Callable[[], Any]:
    """Enter the function in ``FAMILIES``; its pipeline shows no progress."""

    @wraps(make)
    def build() -> Any:
        pipe = make()
        pipe.set_progress_bar_config(disable=True)
        return pipe

    FAMILIES[make.__name__] = build
    return build


@family
def stable_diffusion() -> Any:
    tokenizer = text.clip_tokenizer()
    return diffusers.StableDiffusionPipeline(
        vae(), text.clip(tokenizer), tokenizer, unet(), build_scheduler(), None, None, requires_safety_checker=False
    )


@family
def stable_diffusion_xl() -> Any:
    """No attention at the finest level, and more layers of it the coarser the level."""
    return _sdxl(transformer_layers_per_block=(1, 2, 3))


def _sdxl(**changes: Any) -> Any:
    tokenizer, tokenizer_2 = text.clip_tokenizer(), text.clip_tokenizer()
    denoiser = unet(
        **{
            "cross_attention_dim": 2 * WIDTH,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": 6 * 4 + WIDTH,
        }
        | changes
    )
    encoders = text.clip(tokenizer), text.clip(tokenizer_2, projection=WIDTH), tokenizer, tokenizer_2
    return diffusers.StableDiffusionXLPipeline(vae(), *encoders, denoiser, build_scheduler(), add_watermarker=False)


@family
def ssd() -> Any:
    """SDXL with layers cut out as in SSD-1B: blocks of a level have different numbers, and the middle has none."""
    return _sdxl(
        layers_per_block=2,
        mid_block_type="UNetMidBlock2D",
        transformer_layers_per_block=[1, [2, 1], [1, 2]],
        reverse_transformer_layers_per_block=[[1, 2, 3], [2, 1, 1], 1],
    )


def _pixart(kind: str, sample_size: int, scheduler: Any) -> Any:
    tokenizer = text.t5_tokenizer()
    sizes = {"num_attention_heads": 3, "attention_head_dim": 8, "cross_attention_dim": 24, "sample_size": sample_size}
    channels = {"in_channels": 4, "out_channels": 8, "caption_channels": WIDTH}
    transformer = lively(
        lambda: diffusers.PixArtTransformer2DModel(
            num_layers=2, **sizes, **channels, use_additional_conditions=kind == "PixArtAlphaPipeline"
        )
    )
    return getattr(diffusers, kind)(tokenizer, text.t5(tokenizer), vae(), transformer, scheduler)


@family
def pixart_alpha() -> Any:
    """With the size and shape of the image as conditions, as the model for 1024 pixels has them."""
    return _pixart("PixArtAlphaPipeline", 128, diffusers.DPMSolverMultistepScheduler())


@family
def pixart_sigma() -> Any:
    return _pixart("PixArtSigmaPipeline", 8, diffusers.DPMSolverMultistepScheduler())


@family
def sd3() -> Any:
    """Three encoders, of which CLIP's two take half of the width each; the first layer attends twice."""
    tokenizers = text.clip_tokenizer(), text.clip_tokenizer(), text.t5_tokenizer()
    clips = [text.clip(tokenizer, WIDTH // 2, projection=16) for tokenizer in tokenizers[:2]]
    transformer = lively(
        lambda: diffusers.SD3Transformer2DModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            num_layers=3,
            num_attention_heads=4,
            attention_head_dim=8,
            caption_projection_dim=32,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=32,
            dual_attention_layers=(0,),
            qk_norm="rms_norm",
        )
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=flow(shift=3.0),
        vae=flow_vae(),
        text_encoder=clips[0],
        text_encoder_2=clips[1],
        text_encoder_3=text.t5(tokenizers[2]),
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        tokenizer_3=tokenizers[2],
    )


STREAMS = {"in_channels": 16, "num_layers": 1, "num_single_layers": 2, "num_attention_heads": 2}
"""Flux and its relatives: a layer in which text and image have weights of their own, and two where they share them."""


@family
def flux() -> Any:
    tokenizer, tokenizer_2 = text.clip_tokenizer(), text.t5_tokenizer()
    widths = {"attention_head_dim": 16, "joint_attention_dim": WIDTH, "pooled_projection_dim": WIDTH}
    transformer = lively(
        lambda: diffusers.FluxTransformer2DModel(**STREAMS, **widths, axes_dims_rope=(4, 4, 8), guidance_embeds=True)
    )
    return diffusers.FluxPipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=flow_vae(),
        text_encoder=text.clip(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=text.t5(tokenizer_2),
        tokenizer_2=tokenizer_2,
        transformer=transformer,
    )


@family
def flux2_klein() -> Any:
    """Its text vectors are the outputs of layers 9, 18 and 27 of the encoder, side by side."""
    tokenizer = text.qwen_tokenizer()
    widths = {"attention_head_dim": 16, "joint_attention_dim": 3 * 16, "timestep_guidance_channels": 32}
    transformer = lively(
        lambda: diffusers.Flux2Transformer2DModel(
            **STREAMS, **widths, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False
        )
    )
    encoder = text.qwen3(tokenizer, 16, layers=28)
    return diffusers.Flux2KleinPipeline(
        flow(use_dynamic_shifting=True), vae(kind="AutoencoderKLFlux2"), encoder, tokenizer, transformer
    )


@family
def chroma() -> Any:
    tokenizer = text.t5_tokenizer()
    widths = {"attention_head_dim": 16, "joint_attention_dim": WIDTH, "axes_dims_rope": (4, 4, 8)}
    approximator = {"approximator_num_channels": 16, "approximator_hidden_dim": 32, "approximator_layers": 1}
    transformer = lively(lambda: diffusers.ChromaTransformer2DModel(**STREAMS, **widths, **approximator))
    return diffusers.ChromaPipeline(flow(), flow_vae(), text.t5(tokenizer), tokenizer, transformer)


@family
def qwen_image() -> Any:
    tokenizer = text.qwen_tokenizer()
    latents = {"z_dim": 4, "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}
    autoencoder = seeded(
        lambda: diffusers.AutoencoderKLQwenImage(
            base_dim=8, dim_mult=[1, 1, 2], num_res_blocks=1, temperal_downsample=[False, True], **latents
        )
    )
    heads = {"num_attention_heads": 2, "attention_head_dim": 16, "axes_dims_rope": (4, 6, 6)}
    transformer = lively(
        lambda: diffusers.QwenImageTransformer2DModel(
            in_channels=16, out_channels=4, num_layers=2, joint_attention_dim=WIDTH, **heads
        )
    )
    scheduler = flow(use_dynamic_shifting=True)
    return diffusers.QwenImagePipeline(scheduler, autoencoder, text.qwen_vl(tokenizer), tokenizer, transformer)


@family
def z_image() -> Any:
    """Text and image are refined alone before they meet; each is padded to a multiple of 32."""
    tokenizer = text.qwen_tokenizer()
    sizes = {"in_channels": 16, "dim": 32, "n_layers": 2, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2}
    rope = {"axes_dims": [8, 4, 4], "axes_lens": [256, 32, 32]}
    transformer = lively(lambda: diffusers.ZImageTransformer2DModel(**sizes, **rope, cap_feat_dim=WIDTH))
    return diffusers.ZImagePipeline(flow(shift=3.0), flow_vae(16), text.qwen3(tokenizer), tokenizer, transformer)


@family
def aura_flow() -> Any:
    """Eight learned vectors stand in front of the text."""
    tokenizer = text.t5_tokenizer()
    sizes = {"num_mmdit_layers": 1, "num_single_dit_layers": 2, "num_attention_heads": 4, "attention_head_dim": 8}
    widths = {"joint_attention_dim": WIDTH, "caption_projection_dim": 32, "pos_embed_max_size": 256}
    transformer = lively(lambda: diffusers.AuraFlowTransformer2DModel(sample_size=8, **sizes, **widths))
    return diffusers.AuraFlowPipeline(
        tokenizer, text.t5(tokenizer, multilingual=True), vae(), transformer, flow(shift=1.73)
    )


@family
def hunyuan_dit() -> Any:
    tokenizer, tokenizer_2 = text.bert_tokenizer(), text.t5_tokenizer(256)
    widths = {"hidden_size": 32, "cross_attention_dim": WIDTH, "cross_attention_dim_t5": 16}
    heads = {"num_attention_heads": 4, "attention_head_dim": 8, "pooled_projection_dim": 16}
    transformer = lively(
        lambda: diffusers.HunyuanDiT2DModel(
            in_channels=4, patch_size=2, sample_size=16, num_layers=4, **widths, **heads
        )
    )
    return diffusers.HunyuanDiTPipeline(
        vae(scale=8),
        text.bert(tokenizer),
        tokenizer,
        transformer,
        diffusers.DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=text.t5(tokenizer_2, 16),
        tokenizer_2=tokenizer_2,
    )


@family
def kandinsky5() -> Any:
    """The pipeline knows a list of image sizes; here it is one small size."""
    tokenizer, tokenizer_2 = text.qwen_tokenizer(), text.clip_tokenizer(77)
    widths = {"in_visual_dim": 4, "out_visual_dim": 4, "in_text_dim": WIDTH, "in_text_dim2": WIDTH}
    sizes = {"model_dim": 32, "ff_dim": 64, "time_dim": 32, "num_text_blocks": 1, "num_visual_blocks": 2}
    transformer = lively(
        lambda: diffusers.Kandinsky5Transformer3DModel(**widths, **sizes, axes_dims=(4, 2, 2), visual_cond=False)
    )
    pipe = diffusers.Kandinsky5T2IPipeline(
        transformer,
        vae(scale=8),
        text.qwen_vl(tokenizer),
        text.qwen_processor(tokenizer),
        text.clip(tokenizer_2),
        tokenizer_2,
        flow(shift=3.0),
    )
    pipe.resolutions = [(CALLS["kandinsky5"]["width"], CALLS["kandinsky5"]["height"])]
    return pipe


@family
def lumina2() -> Any:
    """Text and image are refined alone before they meet; keys have fewer heads than queries."""
    tokenizer = text.gemma_tokenizer()
    sizes = {"sample_size": 8, "in_channels": 4, "hidden_size": 32, "num_layers": 2, "num_refiner_layers": 1}
    heads = {"num_attention_heads": 4, "num_kv_heads": 2, "axes_dim_rope": (4, 2, 2), "multiple_of": 16}
    transformer = lively(lambda: diffusers.Lumina2Transformer2DModel(**sizes, **heads, cap_feat_dim=WIDTH))
    return diffusers.Lumina2Pipeline(transformer, flow(shift=6.0), flow_vae(scale=8), text.gemma2(tokenizer), tokenizer)


@family
def cogview4() -> Any:
    tokenizer = text.glm_tokenizer()
    sizes = {"in_channels": 4, "out_channels": 4, "num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 8}
    widths = {"text_embed_dim": WIDTH, "time_embed_dim": 16, "condition_dim": 4}
    transformer = lively(lambda: diffusers.CogView4Transformer2DModel(sample_size=16, **sizes, **widths))
    shift = {"base_shift": 0.25, "max_shift": 0.75, "use_dynamic_shifting": True, "time_shift_type": "linear"}
    return diffusers.CogView4Pipeline(tokenizer, text.glm(tokenizer), vae(scale=4), transformer, flow(**shift))


@family
def prx() -> Any:
    """Only the image asks, the text and itself at once. With guidance, the pipeline can draw one image a call."""
    _stand_in_for_ftfy()
    tokenizer = text.gemma_tokenizer(24)
    sizes = {"in_channels": 4, "hidden_size": 32, "num_heads": 4, "depth": 2, "mlp_ratio": 2.0, "axes_dim": [4, 4]}
    transformer = lively(lambda: diffusers.PRXTransformer2DModel(**sizes, context_in_dim=WIDTH))
    return diffusers.PRXPipeline(transformer, flow(shift=3.0), text.t5_gemma(tokenizer), tokenizer, flow_vae())


def _stand_in_for_ftfy() -> None:
    """This pipeline repairs wrongly decoded prompts with ftfy, without asking whether it is there."""
    module: Any = importlib.import_module("diffusers.pipelines.prx.pipeline_prx")
    if not hasattr(module, "ftfy"):
        module.ftfy = SimpleNamespace(fix_text=lambda prompt: prompt)


@family
def sana() -> Any:
    """Self-attention is linear here: it has no attention map."""
    tokenizer = text.gemma_tokenizer(1024)
    levels, blocks = 5, ("ResBlock",) * 4 + ("EfficientViTBlock",)
    autoencoder = seeded(
        lambda: diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=4,
            encoder_block_types=blocks,
            decoder_block_types=blocks,
            encoder_block_out_channels=(8,) * levels,
            decoder_block_out_channels=(8,) * levels,
            encoder_layers_per_block=(1,) * levels,
            decoder_layers_per_block=(1,) * levels,
            encoder_qkv_multiscales=((),) * levels,
            decoder_qkv_multiscales=((),) * levels,
        )
    )
    heads = {"num_attention_heads": 4, "attention_head_dim": 8}
    cross = {"num_cross_attention_heads": 2, "cross_attention_head_dim": 16, "cross_attention_dim": 32}
    transformer = lively(
        lambda: diffusers.SanaTransformer2DModel(
            in_channels=4, out_channels=4, num_layers=2, sample_size=32, caption_channels=WIDTH, **heads, **cross
        )
    )
    settings = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    scheduler = diffusers.DPMSolverMultistepScheduler(**settings)
    return diffusers.SanaPipeline(tokenizer, text.gemma2(tokenizer), autoencoder, transformer, scheduler)


SMALL = {"height": 16, "width": 24}
GUIDED = {"guidance_scale": 4.0, "negative_prompt": "sand"}
TRULY_GUIDED = {"true_cfg_scale": 4.0, "negative_prompt": "sand"}
UNBINNED = {"use_resolution_binning": False}

OPTIONS: dict[str, dict[str, Any]] = {
    "stable_diffusion": {"height": 32, "width": 48, **GUIDED},
    "stable_diffusion_xl": {"height": 32, "width": 48, **GUIDED},
    "ssd": {"height": 32, "width": 48, **GUIDED},
    "pixart_alpha": {**SMALL, **GUIDED, **UNBINNED, "clean_caption": False, "max_sequence_length": 20},
    "pixart_sigma": {**SMALL, **GUIDED, **UNBINNED, "clean_caption": False, "max_sequence_length": 20},
    "sd3": {**SMALL, **GUIDED, "max_sequence_length": 20},
    "flux": {**SMALL, **TRULY_GUIDED, "max_sequence_length": 20},
    "flux2_klein": {**SMALL, "guidance_scale": 4.0, "max_sequence_length": 32},
    "chroma": {**SMALL, **GUIDED, "max_sequence_length": 20},
    "qwen_image": {"height": 32, "width": 48, **TRULY_GUIDED, "max_sequence_length": 64},
    "z_image": {**SMALL, **GUIDED, "max_sequence_length": 40},
    "aura_flow": {**SMALL, **GUIDED, "max_sequence_length": 20},
    "hunyuan_dit": {"height": 64, "width": 96, **GUIDED, **UNBINNED},
    "kandinsky5": {"height": 64, "width": 96, **GUIDED, "max_sequence_length": 64},
    "lumina2": {"height": 64, "width": 96, **GUIDED, "max_sequence_length": 72},
    "cogview4": {"height": 32, "width": 48, **GUIDED, "max_sequence_length": 64},
    "prx": {**SMALL, **GUIDED, **UNBINNED},
    "sana": {"height": 64, "width": 96, **GUIDED, **UNBINNED, "max_sequence_length": 20},
}

CALLS: dict[str, dict[str, Any]] = {
    name: {"num_inference_steps": 2, "output_type": "pt", **options} for name, options in OPTIONS.items()
}
"""What each family is called with besides the prompt."""


def call(name: str, pipe: Any, prompt: str | Sequence[str], **changes: Any) -> torch.Tensor:
    """The images that the pipeline draws for the prompt or prompts, from seed 0 unless ``changes`` say otherwise."""
    options = {"generator": torch.Generator().manual_seed(0), **CALLS[name], **changes}
    prompts = prompt if isinstance(prompt, str) else list(prompt)  # a copy: Z-Image's pipeline writes into the list
    if isinstance(prompts, list) and isinstance(options.get("negative_prompt"), str):
        options["negative_prompt"] = [options["negative_prompt"]] * len(prompts)
    images: torch.Tensor = pipe(prompt=prompts, return_dict=False, **options)[0]
    return images
