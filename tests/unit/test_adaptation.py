"""LoRA adaptation: what is learnt, what is written, what is fused, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import seediff
from seediff.adaptation.adapter import add_adapter
from seediff.adaptation.comparison import held_out_losses
from seediff.adaptation.denoising import NoisedView, denoising_losses, noised_views, square
from seediff.adaptation.settings import WEIGHTS, Adaptation, AdapterSettings
from seediff.adaptation.train import train_adapter
from seediff.attention.calls import ALL
from seediff.cli import main
from seediff.datasets.images import encode_jpeg, encode_png
from seediff.datasets.unlabelled import Unlabelled, benchmark_images, folder_images
from seediff.diffusion.outputs import encode_text
from seediff.diffusion.synthesis import Sampling, draw
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.prompts.prompt_sets import make_prompts
from seediff.training.loop import Trainer
from tests.drawing import generate

ROOT = Path(__file__).parents[2]
MODEL = str(ROOT / "assets" / "pictograms")
PROMPT = "a photo of city"
SETTINGS = AdapterSettings((PROMPT, "a picture of city"), 2, 4, 2, 1e-2, ("to_k", "attn2.to_v", "conv1"), 2)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("street")
    write_domain("cityscapes", folder, 4, 2, 0)
    return folder


@pytest.fixture(scope="module")
def images(street: Path) -> Unlabelled:
    return benchmark_images("cityscapes", street, "train")


@pytest.fixture(scope="module")
def adapter(images: Unlabelled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an adapter whose training was never interrupted."""
    folder = tmp_path_factory.mktemp("adapter")
    train_adapter(MODEL, images, SETTINGS, folder, folder, rng_seed=3)
    return folder


@pytest.fixture(scope="module")
def plain() -> Any:
    """The unchanged model; tests must not change it."""
    return seediff.load(MODEL)


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let the run die in the step after ``at`` iterations, as a killed job does."""
    step = Trainer.step

    def dying(self: Trainer, *batch: Any) -> None:
        if self.iteration == at:
            raise KeyboardInterrupt
        step(self, *batch)

    monkeypatch.setattr(Trainer, "step", dying)


def iterations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The iterations that are computed from now on."""
    found, step = [], Trainer.step

    def counting(self: Trainer, *batch: Any) -> None:
        found.append(self.iteration)
        step(self, *batch)

    monkeypatch.setattr(Trainer, "step", counting)
    return found


# --- training ------------------------------------------------------------------------------------------------------


def test_a_resumed_run_leaves_the_very_bytes_of_an_uninterrupted_one(
    adapter: Path, images: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, at=3)
        with pytest.raises(KeyboardInterrupt):
            train_adapter(MODEL, images, SETTINGS, tmp_path / "out", tmp_path / "state", rng_seed=3)
    assert not (tmp_path / "out").exists()
    torch.rand(7)  # whatever the process did in between
    steps = iterations(monkeypatch)
    train_adapter(MODEL, images, SETTINGS, tmp_path / "out", tmp_path / "state", rng_seed=3)
    assert steps == [2, 3]
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (adapter / WEIGHTS).read_bytes()
    assert not list((tmp_path / "state").iterdir())


def test_the_state_of_a_model_that_has_changed_at_its_path_is_not_resumed(
    images: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = Path(shutil.copytree(MODEL, tmp_path / "model")), tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch, at=3)
        with pytest.raises(KeyboardInterrupt):
            train_adapter(str(model), images, SETTINGS, out, out, rng_seed=3)
    scheduler = model / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("v_prediction", "epsilon"))
    steps = iterations(monkeypatch)
    train_adapter(str(model), images, SETTINGS, out, out, rng_seed=3)
    assert steps == [0, 1, 2, 3]


@pytest.mark.parametrize("other", ["seed", "images", "settings"])
def test_the_state_of_another_run_is_not_resumed(
    other: str, images: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: dict[str, Any] = {"images": images, "settings": SETTINGS, "rng_seed": 3}
    with monkeypatch.context() as patch:
        interrupt(patch, at=3)
        with pytest.raises(KeyboardInterrupt):
            train_adapter(MODEL, folder=tmp_path, state_folder=tmp_path, **run)
    changed = {
        "seed": {"rng_seed": 4},
        "images": {"images": Unlabelled(images.files[:3])},
        "settings": {"settings": AdapterSettings(SETTINGS.prompts, 2, 4, 2, 1e-3, SETTINGS.target_modules, 2)},
    }
    steps = iterations(monkeypatch)
    train_adapter(MODEL, folder=tmp_path, state_folder=tmp_path, **{**run, **changed[other]})
    assert steps == [0, 1, 2, 3]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_loss_is_the_model_s_own(images: Unlabelled, prediction_type: str) -> None:
    """Written out for each view from the definition: x_t = sqrt(a) x + sqrt(1 - a) e."""
    pipe = seediff.load(MODEL)
    pipe.scheduler.register_to_config(prediction_type=prediction_type)
    views = noised_views(pipe, images, 2, 0)
    text = encode_text(pipe, SETTINGS.prompts)
    batch = NoisedView(*(torch.stack(part) for part in zip(*(views[number] for number in range(3)))))
    with torch.no_grad():
        losses = denoising_losses(pipe, batch, text)
        for loss, view in zip(losses, zip(*batch)):
            pixels, noise, timestep, prompt = view
            latents = pipe.vae.encode(pixels[None]).latent_dist.mean[0] * pipe.vae.config.scaling_factor
            a = pipe.scheduler.alphas_cumprod[timestep]
            noised = a.sqrt() * latents + (1 - a).sqrt() * noise
            output = pipe.unet(noised[None], timestep, encoder_hidden_states=text[prompt][None]).sample[0]
            target = noise if prediction_type == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * latents
            torch.testing.assert_close(loss, ((output - target) ** 2).mean(), rtol=1e-4, atol=1e-5)


def test_a_view_is_the_same_whenever_it_is_computed(plain: Any, images: Unlabelled) -> None:
    first, second = (noised_views(plain, images, 2, 5) for _ in range(2))
    several = [first[number] for number in (9, 0, 4)]
    assert all(torch.equal(a, b) for a, b in zip(several[2], second[4]))
    assert not torch.equal(first[0].noise, first[4].noise)
    assert not torch.equal(first[0].noise, noised_views(plain, images, 2, 6)[0].noise)
    assert first[0].noise.shape == (4, 32, 32) and first[0].pixels.shape == (3, 64, 64)
    assert first[0].pixels.min() >= -1 and first[0].pixels.max() <= 1


def test_every_image_is_seen_once_an_epoch(plain: Any, images: Unlabelled) -> None:
    views = noised_views(plain, images, 1, 0)
    seen = {bytes((np.minimum(view, view.flip(-1))).numpy().tobytes()) for view in (views[k].pixels for k in range(4))}
    assert len(seen) == len(images) == 4


@given(st.integers(8, 20), st.integers(8, 20), st.integers(0, 2**32))
def test_a_square_is_cut_from_the_image(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    edge = min(height, width)
    found = square(np.random.default_rng(seed), image, edge)
    cuts = [
        image[top : top + edge, left : left + edge]
        for top in range(height - edge + 1)
        for left in range(width - edge + 1)
    ]
    assert any(np.array_equal(found, cut) or np.array_equal(found[:, ::-1], cut) for cut in cuts)
    assert square(np.random.default_rng(seed), image, 8).shape == (8, 8, 3)


def test_training_lowers_the_loss_on_its_images(images: Unlabelled, plain: Any, tmp_path: Path) -> None:
    settings = AdapterSettings((PROMPT,), iterations=12, batch_size=4, learning_rate=3e-3)
    train_adapter(MODEL, images, settings, tmp_path, tmp_path, rng_seed=0)
    before, after = (
        held_out_losses(pipe, images, [PROMPT], 4, 0) for pipe in (plain, seediff.load(MODEL, adapter=tmp_path))
    )
    assert after.mean() < 0.97 * before.mean()


def test_only_the_targets_are_adapted() -> None:
    unet = seediff.load(MODEL).unet
    parameters = add_adapter(unet, SETTINGS)
    layers = {name.partition(".lora_")[0] for name, weight in unet.named_parameters() if weight.requires_grad}
    assert layers and all(name.endswith(("to_k", "attn2.to_v", "conv1")) for name in layers)
    assert any("attn1.to_k" in name for name in layers) and not any("attn1.to_v" in name for name in layers)
    assert len(parameters) == 2 * len(layers)


# --- the adapter ---------------------------------------------------------------------------------------------------


def test_the_adapter_is_added_to_the_weights_and_nothing_else_is_changed(adapter: Path, plain: Any) -> None:
    adapted = dict(seediff.load(MODEL, adapter=adapter).unet.named_parameters())
    stored = load_file(adapter / WEIGHTS)
    assert not any("lora" in name for name in adapted)
    for name, before in plain.unet.named_parameters():
        layer = f"unet.{name.removesuffix('.weight')}"
        expected = before.detach()
        if f"{layer}.lora_B.weight" in stored:
            up, down = stored[f"{layer}.lora_B.weight"], stored[f"{layer}.lora_A.weight"]
            expected = expected + torch.einsum("or,r...->o...", up.flatten(1), down)
            assert up.abs().max() > 0
        torch.testing.assert_close(adapted[name].detach(), expected, rtol=1e-4, atol=1e-5)


def test_diffusers_itself_loads_the_adapter(adapter: Path) -> None:
    """Other tools that load the file draw the same images."""
    theirs = seediff.load(MODEL)
    theirs.load_lora_weights(adapter)
    ours = seediff.load(MODEL, adapter=adapter)
    latents, text = torch.randn(1, 4, 32, 32), encode_text(ours, [PROMPT])
    with torch.no_grad():
        first, second = (pipe.unet(latents, 500, encoder_hidden_states=text).sample for pipe in (ours, theirs))
        untouched = seediff.load(MODEL).unet(latents, 500, encoder_hidden_states=text).sample
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)
    assert (first - untouched).abs().max() > 1e-2


def test_an_adapted_model_is_recorded_like_any_other(adapter: Path) -> None:
    pipe = seediff.load(MODEL, adapter=adapter / WEIGHTS)
    (drawn,) = draw(pipe, make_prompts("city", ["car"], 1), Sampling(2, 2.0, 1))
    assert sorted(drawn.recorded[ALL].cross_attention) == [(8, 8), (16, 16), (32, 32)]


def test_the_adapter_says_where_it_comes_from(adapter: Path, images: Unlabelled) -> None:
    from seediff.training.checkpoint import load_tensors

    _, about = load_tensors(adapter / WEIGHTS, "The adapter")
    assert about["settings"]["rank"] == 2 and about["images"] == {"number": 4, "digest": images.digest}
    assert len(about["model"]["sha256"]) == 64
    assert (adapter / "history.csv").read_text().startswith("iteration,loss,images_per_second")


# --- bad input -----------------------------------------------------------------------------------------------------


def wider(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([weight, weight], 1) if "lora_A" in name else weight for name, weight in stored.items()}


def of_more_layers(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Like an adapter of a deeper model: this model has only some of its layers."""
    return stored | {name.replace("attentions.0", "attentions.7"): weight.clone() for name, weight in stored.items()}


def test_images_of_an_adapter_that_has_changed_at_its_path_are_not_gone_on_with(adapter: Path, tmp_path: Path) -> None:
    mine, out = Path(shutil.copytree(adapter, tmp_path / "adapter")), tmp_path / "out"
    assert generate(MODEL, ["cat"], 1, out, num_inference_steps=1, adapter=mine) == 1
    assert generate(MODEL, ["cat"], 1, out, num_inference_steps=1, adapter=mine / WEIGHTS) == 1
    save_file({name: 2 * tensor for name, tensor in load_file(mine / WEIGHTS).items()}, mine / WEIGHTS)
    for now in (mine, None):
        with pytest.raises(SeediffError, match="another model: other adapter"):
            generate(MODEL, ["cat"], 2, out, num_inference_steps=1, adapter=now)


@pytest.mark.parametrize("change", [wider, of_more_layers])
def test_an_adapter_that_does_not_fit(adapter: Path, tmp_path: Path, change: Any) -> None:
    save_file(change(load_file(adapter / WEIGHTS)), tmp_path / WEIGHTS)
    with pytest.raises(SeediffError, match="does not fit the model") as error:
        seediff.load(MODEL, adapter=tmp_path)
    assert len(str(error.value).splitlines()) == 2


def test_an_adapter_whose_weights_are_not_finite_is_refused(adapter: Path, tmp_path: Path) -> None:
    save_file(
        {name: weight * float("nan") for name, weight in load_file(adapter / WEIGHTS).items()}, tmp_path / WEIGHTS
    )
    with pytest.raises(SeediffError, match=r"The adapter .* holds a weight that is not finite, in 'unet\..*'"):
        seediff.load(MODEL, adapter=tmp_path)


def test_an_adapter_with_a_scale_of_its_own_is_refused(adapter: Path, tmp_path: Path) -> None:
    about = {"lora_adapter_metadata": json.dumps({"unet.r": 4, "unet.lora_alpha": 8})}
    save_file(load_file(adapter / WEIGHTS), tmp_path / WEIGHTS, about)
    with pytest.raises(SeediffError, match="scaled by 8 / 4"):
        seediff.load(MODEL, adapter=tmp_path)


def test_files_that_are_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="There is no adapter"):
        seediff.load(MODEL, adapter=tmp_path)
    pickled = tmp_path / "weights.bin"
    pickled.write_bytes(pickle.dumps({"unet.lora": 1}))
    with pytest.raises(SeediffError, match="no other kind of file is opened"):
        seediff.load(MODEL, adapter=pickled)
    disguised = pickled.rename(tmp_path / WEIGHTS)
    with pytest.raises(SeediffError, match="cannot be read"):
        seediff.load(MODEL, adapter=disguised)
    save_file({"unet.conv_in.weight": torch.zeros(1)}, disguised)
    with pytest.raises(SeediffError, match="holds no LoRA adapter"):
        seediff.load(MODEL, adapter=disguised)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"iterations": -1}, "iterations is -1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"prompts": ()}, "is empty, but needs an entry"),
        ({"prompts": ("a\nb",)}, "one line"),
        ({"target_modules": ("to_que",)}, "Did you mean 'to_q'"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SeediffError, match=message):
        AdapterSettings(**{"prompts": (PROMPT,), **settings})


def test_target_images_come_from_one_place() -> None:
    for sources in ({}, {"benchmark": "street", "folder": "images"}):
        with pytest.raises(SeediffError, match="either 'benchmark'"):
            Adaptation((PROMPT,), **sources)


def adapt(folder: Path, *more: str) -> int:
    command = ["adapter", "--model", MODEL, "--images", str(folder), "--prompt", PROMPT, "--iterations", "1"]
    return main([*command, "--output", str(folder.parent / "out"), *more])


def test_target_images_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(message: str) -> None:
        assert adapt(tmp_path / "images") == 1
        error = capsys.readouterr().err
        assert message in error[error.index("error: ") :] and not (tmp_path / "out").exists()

    said("There is no folder")
    (tmp_path / "images" / "below").mkdir(parents=True)
    said("holds no image")
    (tmp_path / "images" / "below" / "a.JPG").write_bytes(encode_jpeg(np.zeros((63, 200, 3), np.uint8)))
    said("200 x 63 pixels, smaller than the 64 x 64")
    (tmp_path / "images" / "below" / "a.JPG").write_bytes(b"no picture")
    said("not a readable PNG, JPEG")
    (tmp_path / "images" / "below" / "a.JPG").write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8))[:-40])
    said("not a readable PNG, JPEG")


def test_a_stand_in_that_was_changed_is_not_learnt_from(tmp_path: Path) -> None:
    write_domain("cityscapes", tmp_path / "street", 1, 1, 0)
    images = benchmark_images("cityscapes", tmp_path / "street", "train")
    images.files[0].write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    with pytest.raises(SeediffError, match="not as it was drawn"):
        images[0]


def test_people_adapt_a_model_and_draw_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(encode_png(np.full((80, 70, 3), 90, np.uint8)))
    assert folder_images(tmp_path / "images")[0].shape == (80, 70, 3)
    assert adapt(tmp_path / "images", "--rank", "1", "--target-module", "to_v", "--batch-size", "1") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {WEIGHTS, "history.csv"}
    assert adapt(tmp_path / "images") == 1 and "already holds an adapter" in capsys.readouterr().err
    command = ["generate", "--model", MODEL, "--class", "car", "--number", "1", "--steps", "2"]
    drawn = [*command, "--output", str(tmp_path / "drawn")]
    assert main([*drawn, "--adapter", str(tmp_path / "out")]) == 0
    assert main(drawn) == 1 and "other adapter" in capsys.readouterr().err


def test_an_image_of_a_folder_that_is_there_twice(tmp_path: Path) -> None:
    """With names in one folder that differ only in case or ending; in two folders they may be different images."""
    for name in ("a.png", "b.png", "c.png", "other/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode_png(np.zeros((2, 2, 3), np.uint8)))
    assert len(folder_images(tmp_path)) == 4
    for name in ("a.jpg", "B.png", "c.PNG"):
        (tmp_path / name).write_bytes(encode_png(np.zeros((2, 2, 3), np.uint8)))
    with pytest.raises(SeediffError, match=r"one image would count twice: .*, and 2 more\.\nKeep one of each"):
        folder_images(tmp_path)
