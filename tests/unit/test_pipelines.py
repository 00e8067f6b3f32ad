"""Every family's pipeline from a folder: opened by its name, drawn with, and told apart from others."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import seediff
from seediff.adaptation.train import train_adapter
from seediff.attention.calls import LookAgain
from seediff.cli import main
from seediff.diffusion.loading import pipeline_class
from seediff.diffusion.model_files import identity, pipeline_files
from seediff.diffusion.pipelines import PIPELINES, SUPPORTED, default_variant, kind_of
from seediff.diffusion.synthesis import Sampling, completed, draw
from seediff.errors import SeediffError
from seediff.prompts.prompt_sets import Prompt, make_prompts
from tests.drawing import generate
from tests.tiny_networks import flow, unet, vae
from tests.tiny_pipelines import FAMILIES, OPTIONS
from tests.tiny_text import clip, clip_tokenizer

UNSAVED = {
    "kandinsky5": "transformers saves a processor only with its part for videos, which needs torchvision",
    "prx": "transformers opens T5Gemma's encoder at its full size alone",
}
LONG = "a photo of a bus on the sand and a cat and a dog in the sky"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's pipeline, saved when it is first asked for."""
    top = tmp_path_factory.mktemp("pipelines")

    def saved(name: str) -> Path:
        if name in UNSAVED:
            pytest.skip(UNSAVED[name])
        if not (top / name).exists():
            FAMILIES[name]().save_pretrained(top / name)
        return top / name

    return saved


def small(name: str, **changes: Any) -> Sampling:
    sides = {side: OPTIONS[name][side] for side in ("height", "width")}
    return Sampling(**{"num_inference_steps": 2, "guidance_scale": 4.0, **sides, **changes})


def different(words: list[str]) -> list[Prompt]:
    """Prompts of different lengths."""
    return [make_prompts("x", [word], 1, "a photo of a {word}" if at else LONG)[0] for at, word in enumerate(words)]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_lines_of_the_readme(name: str, folder: Callable[[str], Path]) -> None:
    pipe = seediff.load(folder(name))
    assert type(pipe).__name__ == pipeline_class(folder(name)) in PIPELINES
    options = {key: OPTIONS[name][key] for key in ("height", "width", "use_resolution_binning") if key in OPTIONS[name]}
    with seediff.record_attention(pipe) as recording:
        image = pipe(prompt="a photo of a cat", num_inference_steps=2, **options).images[0]
    mask = seediff.make_mask(recording.maps[0], "cat", image=image, variant="seediff")
    assert mask.shape == (image.height, image.width) == (options["height"], options["width"])


@pytest.mark.parametrize("name", FAMILIES)
def test_an_image_is_the_same_in_any_batch(name: str) -> None:
    pipe, prompts = FAMILIES[name](), [*different(["cat"]), *make_prompts("x", ["bus"], 1)]
    together = [*draw(pipe, prompts, small(name, batch_size=2))]
    (alone,) = draw(pipe, prompts[1:], small(name, batch_size=1))
    (first,) = draw(pipe, prompts[:1], small(name, batch_size=1))
    for one, batched in zip((first, alone), together, strict=True):
        assert one.image.shape == (OPTIONS[name]["height"], OPTIONS[name]["width"], 3)
        assert np.abs(one.image.astype(int) - batched.image).max() <= 1
    assert np.abs(first.image.astype(int) - alone.image).max() > 20
    assert alone.class_maps().cross_attention.keys() <= alone.class_maps().self_attention.keys()


@pytest.mark.parametrize("name", ["pixart_sigma", "qwen_image", "flux", "stable_diffusion_xl"])
def test_guidance_may_be_off(name: str) -> None:
    pipe, prompts = FAMILIES[name](), make_prompts("x", ["cat"], 1)
    images = [next(draw(pipe, prompts, small(name, guidance_scale=scale))).image for scale in (0, 1, 5)]
    assert np.abs(images[1].astype(int) - images[2]).max() > 1
    assert name == "flux" or np.array_equal(images[0], images[1]), "FLUX is given its scale as a number"


def test_a_latent_consistency_model(tmp_path: Path) -> None:
    tokenizer = clip_tokenizer()
    parts = vae(), clip(tokenizer), tokenizer, unet(time_cond_proj_dim=8), diffusers.LCMScheduler()
    pipe = diffusers.LatentConsistencyModelPipeline(*parts, None, None, requires_safety_checker=False)
    pipe.save_pretrained(tmp_path / "model")
    loaded = seediff.load(tmp_path / "model")
    prompts = make_prompts("x", ["cat", "bus"], 1)
    for pipe in (loaded, diffusers.StableDiffusionPipeline(**loaded.components, requires_safety_checker=False)):
        message = said(lambda pipe=pipe: next(draw(pipe, prompts, Sampling(2, 8.0, 1, negative_prompt="sand"))))
        assert message.startswith("A negative prompt has no effect")
    images = [[*draw(loaded, prompts, Sampling(2, 8.0, size))] for size in (1, 2)]
    for one, batched in zip(*images, strict=True):
        assert np.abs(one.image.astype(int) - batched.image).max() <= 1
    (drawn,) = draw(loaded, prompts[:1], Sampling(2, 8.0, 1), [LookAgain(150)])
    assert drawn.class_maps(LookAgain(150)).calls == LookAgain(150)


# --- what a model is -------------------------------------------------------------------------------------------------


def test_the_checksums_of_the_embedded_model_are_as_they_were() -> None:
    """Published results have them."""
    assert identity("pictograms") == {
        "weights": "ad3ddf6a33aa42b3c683cd68d557db0381ac31780ad36d443e9aae4877219886",
        "configuration": "4441bfd93516a99960d99851a18b1915b66879157ff555abb597a359c8570fe5",
    }


@pytest.mark.parametrize("name", ["sd3", "z_image", "hunyuan_dit"])
def test_every_file_of_every_part_counts(name: str, folder: Callable[[str], Path]) -> None:
    model = folder(name)
    assert {*pipeline_files(model)} == {path for path in model.rglob("*") if path.is_file()}
    index = json.loads((model / "model_index.json").read_text())
    parts = {part for part, origin in index.items() if isinstance(origin, list) and origin[0]}
    assert {path.parent.name for path in pipeline_files(model)} == {*parts, model.name}


def test_weights_in_parts_and_in_another_precision(tmp_path: Path) -> None:
    pipe = FAMILIES["z_image"]().to(torch.float16)
    pipe.save_pretrained(tmp_path / "model", variant="fp16", max_shard_size="30KB")
    model = tmp_path / "model"
    assert len([*model.glob("transformer/*.fp16-00001-of-*.safetensors")]) == 1
    with pytest.raises(SeediffError, match="No diffusion pipeline could be loaded"):
        seediff.load(model)
    loaded = seediff.load(model, variant="fp16", dtype="float16")
    assert loaded.transformer.dtype == torch.float16
    assert torch.equal(loaded.transformer.state_dict()["x_pad_token"], pipe.transformer.state_dict()["x_pad_token"])
    with pytest.raises(SeediffError, match="has no weights in safetensors on this machine"):
        identity(model)
    assert identity(model, variant="fp16").keys() == {"configuration", "weights"}
    with pytest.raises(SeediffError, match=r"variant is '\.\./x', but has to be part of a file's name"):
        seediff.load(model, variant="../x")


def test_stable_diffusion_3_without_its_third_encoder(tmp_path: Path) -> None:
    pipe = FAMILIES["sd3"]()
    pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    pipe.save_pretrained(tmp_path / "model")
    (drawn,) = draw(seediff.load(tmp_path / "model"), make_prompts("x", ["cat"], 1), small("sd3"))
    assert drawn.class_maps().cross_attention


# --- pairs of one's own classes --------------------------------------------------------------------------------------


def test_pairs_of_classes_in_any_script(folder: Callable[[str], Path], tmp_path: Path) -> None:
    classes = ["кошка", "café table"]
    options: dict[str, Any] = {"template": "{word}", "num_inference_steps": 1, "height": 16}
    assert generate(str(folder("z_image")), classes, 1, tmp_path, guidance_scale=0, width=24, **options) == 2
    steps = json.loads((tmp_path / "records" / "кошка-000000.json").read_text())["steps"]
    assert steps == [["cross_attention", {"resolution": "1"}], ["propagate", {"resolution": "1", "power": 4}]]
    names = {"кошка-000000.png", "café-table-000000.png"}
    assert {path.name for path in (tmp_path / "train" / "masks").iterdir()} == names
    assert (tmp_path / "classes.csv").read_text(encoding="utf-8").splitlines()[2:] == ["1,кошка", "2,café table"]
    rows = (tmp_path / "train" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(row)["class"] for row in rows} == {*classes} and "кошка" in "".join(rows)
    with pytest.raises(SeediffError, match=r"other settings: drawing\.width was 24, is None"):
        generate(str(folder("z_image")), classes, 1, tmp_path, guidance_scale=0, **options)
    with pytest.raises(SeediffError, match="named twice"):
        generate(str(folder("z_image")), ["café", "cafe\u0301"], 1, tmp_path / "other", **options)


def test_pairs_on_the_command_line(folder: Callable[[str], Path], tmp_path: Path) -> None:
    line = ["generate", "--class", "cat", "--number", "1", "--steps", "1", "--height", "32", "--width", "48"]
    assert main([*line, "--model", str(folder("stable_diffusion_xl")), "--output", str(tmp_path)]) == 0
    settings = json.loads((tmp_path / "settings.json").read_text())
    drawing = settings["drawing"]
    assert (settings["masks"]["variant"], drawing["height"], drawing["width"]) == ("ca_sa", 32, 48)


def test_masks_are_made_as_fits_the_model() -> None:
    assert default_variant("StableDiffusionPipeline") == "look"
    assert {default_variant(name) for name in PIPELINES} == {"look", "ca_sa"}


# --- what is refused -------------------------------------------------------------------------------------------------


def said(call: Callable[[], Any]) -> str:
    """The message of an error of two lines at most."""
    with pytest.raises(SeediffError) as raised:
        call()
    assert len(str(raised.value).splitlines()) <= 2
    return str(raised.value)


@pytest.mark.parametrize("name", ["stable_diffusion_xl", "flux"])
def test_other_families_cannot_look_again(name: str) -> None:
    pipe = FAMILIES[name]()
    kind = type(pipe).__name__
    image = np.zeros((32, 32, 3), np.uint8)
    message = f"looked at again with Stable Diffusion 1 and 2 alone, and not with a {kind}."
    assert message in said(lambda: seediff.look_again(pipe, image, "a cat"))
    prompts = make_prompts("x", ["cat"], 1)
    assert message in said(lambda: next(draw(pipe, prompts, small(name), [LookAgain(150)])))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"unet": unet(in_channels=9)}, "the UNet takes 9 channels, but latents have 4"),
        ({"unet": unet(num_class_embeds=3)}, "not with a StableDiffusionPipeline"),
        ({"scheduler": flow()}, "a FlowMatchEulerDiscreteScheduler has no alphas_cumprod"),
    ],
)
def test_a_pipeline_with_other_parts_cannot_look(part: dict[str, Any], words: str) -> None:
    pipe, image = FAMILIES["stable_diffusion"](), np.zeros((32, 32, 3), np.uint8)
    pipe.register_modules(**part)
    assert words in said(lambda: seediff.look_again(pipe, image, "a cat"))
    assert words in said(lambda: seediff.segment(pipe, image, ["cat"]))


def test_adapters_are_trained_for_stable_diffusion_alone(folder: Callable[[str], Path], tmp_path: Path) -> None:
    anything: Any = None
    message = said(lambda: train_adapter(str(folder("z_image")), anything, anything, tmp_path, tmp_path, 0))
    assert message.startswith("Adapters are trained with Stable Diffusion 1 and 2 alone, and not with a ZImagePipeline")


def test_a_pipeline_that_is_not_drawn_with() -> None:
    assert said(lambda: kind_of(object())) == f"A object is not drawn with.\n{SUPPORTED}"


@pytest.mark.parametrize(
    ("name", "sides", "message"),
    [
        ("sd3", {"height": 18}, "height is 18, but must be a whole number from 16 to 8,192, a multiple of 8"),
        ("hunyuan_dit", {"width": 72}, "The width is 72, but a HunyuanDiTPipeline draws multiples of 16 pixels."),
        ("kandinsky5", {"height": 96, "width": 64}, "drew 96 x 64 pixels instead of the size that was asked for"),
    ],
)
def test_a_size_that_is_not_drawn(name: str, sides: dict[str, int], message: str) -> None:
    prompts = make_prompts("x", ["cat"], 1)
    assert message in said(lambda: next(draw(FAMILIES[name](), prompts, small(name, **sides))))


@pytest.mark.parametrize("name", PIPELINES)
def test_a_negative_prompt_is_an_argument_beside_the_scale(name: str) -> None:
    arguments = inspect.signature(getattr(diffusers, name).__call__).parameters
    kind = PIPELINES[name]
    true_scale = "true_cfg_scale" if "true_cfg_scale" in arguments else "guidance_scale"
    assert kind.is_negatable == ("negative_prompt" in arguments and kind.guidance == true_scale)


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("flux", 4.0, "A negative prompt has no effect with FLUX.1.\nLeave negative_prompt out."),
        ("flux2_klein", 4.0, "A negative prompt has no effect with FLUX.2 klein."),
        ("stable_diffusion_xl", 1.0, "without guidance, and guidance_scale is 1."),
        ("qwen_image", 0.0, "without guidance, and guidance_scale is 0."),
    ],
)
def test_a_negative_prompt_without_effect_is_refused(name: str, scale: float, message: str) -> None:
    sampling = small(name, guidance_scale=scale, negative_prompt="sand")
    assert message in said(lambda: next(draw(FAMILIES[name](), make_prompts("x", ["cat"], 1), sampling)))


def test_a_negative_prompt_is_refused_before_a_data_set_is_begun(
    folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"model: {folder('flux2_klein')}", "classes: [cat]", "drawing: {negative_prompt: sand}"]
    (tmp_path / "set.yaml").write_text("\n".join(lines))
    line = ["--config", str(tmp_path / "set.yaml"), "--output", str(tmp_path / "out")]
    assert main(["dataset", "begin", *line]) == 1
    assert "A negative prompt has no effect with FLUX.2 klein." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_prompt_without_its_word_is_refused_before_drawing() -> None:
    prompts = [Prompt("cat-000000", "cat", 0, "a photo of a dog", "cat", 0)]
    assert "'cat' is not in the prompt" in said(lambda: next(draw(FAMILIES["sana"](), prompts, small("sana"))))


def edited(index: dict[str, Any]) -> Callable[[Path], None]:
    def edit(model: Path) -> None:
        path = model / "model_index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **index}))

    return edit


def with_configuration(file: str, **entries: Any) -> Callable[[Path], None]:
    def edit(model: Path) -> None:
        (model / file).write_text(json.dumps({**json.loads((model / file).read_text()), **entries}))

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (edited({"_class_name": "WanPipeline"}), "holds a WanPipeline, which is not drawn with"),
        (edited({"_class_name": "x" * 999}), "xxx ..., which is not drawn with"),
        (edited({"_class_name": ["evil", "Evil"]}), "holds a pipeline of its own (['evil', 'Evil']), which is not run"),
        (edited({"_class_name": None}), "holds a pipeline of its own (None)"),
        (edited({"_class_name": "FluxPipeline"}), "holds a FluxPipeline, without a part 'text_encoder_2'"),
        (edited({"_class_name": "AuraFlowPipeline"}), "where AuraFlow has a AuraFlowTransformer2DModel"),
        (edited({"text_encoder": ["transformers", "AutoModel"]}), "made by transformers.AutoModel, which is not run"),
        (edited({"transformer": ["diffusers", "AutoModel"]}), "made by diffusers.AutoModel, which is not run"),
        (edited({"vae": ["../evil", "AutoencoderKL"]}), "made by ../evil.AutoencoderKL, which is not run"),
        (edited({"../more": ["evil", "Evil\n" * 99]}), "part '../more' made by evil.Evil"),
        (edited({"vae": [None, None]}), "without a part 'vae'"),
        (
            with_configuration("text_encoder/config.json", attn_implementation="somebody/kernel"),
            "asks for code from elsewhere (attn_implementation: somebody/kernel), which is not run",
        ),
    ],
)
def test_an_index_that_is_refused(
    edit: Callable[[Path], None], message: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    FAMILIES["z_image"]().save_pretrained(model)
    edit(model)
    assert message in said(lambda: seediff.load(model))


def test_a_device_for_parts_in_turn() -> None:
    if torch.accelerator.is_available():
        pytest.skip("there is one here")
    assert "there is none here" in said(lambda: seediff.load("pictograms", device="offload"))


CHECKPOINT = "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight"


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("model.ckpt", CHECKPOINT, "is not in safetensors, and no other kind of file is opened"),
        ("model.safetensors", "lora.weight", "is no checkpoint of Stable Diffusion 1, 2 or XL"),
        ("model.safetensors", CHECKPOINT, "A checkpoint's configuration comes from the hub."),
    ],
)
def test_a_single_file(name: str, tensor: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    save_file({tensor: np.zeros((77, 8), np.float32)}, tmp_path / name)
    assert message in said(lambda: seediff.load(tmp_path / name))
    assert identity(tmp_path / "model.safetensors").keys() == {"weights"} if name.endswith("safetensors") else True


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    assert "cannot be read" in said(lambda: seediff.load(tmp_path / "model.safetensors"))


OWN = {
    "StableDiffusionPipeline": (50, 7.5),
    "StableDiffusionXLPipeline": (50, 5.0),
    "FluxPipeline": (28, 3.5),
    "LatentConsistencyModelPipeline": (4, 8.5),
    "QwenImagePipeline": (50, 4.0),
}
"""Steps and scale of guidance, by diffusers' documentation of the pipelines."""


@pytest.mark.parametrize("name", PIPELINES)
def test_what_is_left_out_is_the_pipelines_own(name: str) -> None:
    kind = getattr(diffusers, name)
    pipe = kind.__new__(kind)
    found = completed(Sampling(batch_size=3), pipe)
    steps, scale = found.num_inference_steps, found.guidance_scale
    assert (steps, scale) == OWN.get(name, (steps, scale))
    assert steps and steps > 0 and scale is not None
    assert found == Sampling(steps, scale, 3)
    assert completed(Sampling(7, 2.0), pipe) == Sampling(7, 2.0)
