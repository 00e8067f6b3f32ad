"""Which calls of the UNet are recorded: chosen timesteps against an explicit softmax, and other looks at an image."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, StableDiffusionPipeline
from PIL import Image

import seediff
from seediff.attention.calls import ALL, Calls, LookAgain, Record, read_calls, write_calls
from seediff.attention.recording import record_attention, record_denoising
from seediff.diffusion.looking import _noised, look_again, look_seed
from seediff.diffusion.synthesis import Sampling, draw
from seediff.errors import SeediffError
from seediff.masks.variants import VARIANTS, apply, calls_of, named_steps, resolve
from seediff.prompts.prompt_sets import Prompt
from tests.unit.test_recording import (
    Layers,
    assert_equal_to_oracle,
    assert_same_maps,
    build_pipe,
    even_unet,
    latents,
    sample,
    softmax_oracle,
)

STEPS = 5
PROMPTS = ["a photo of a cat", "a bus on sand"]


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    torch.manual_seed(2)
    return build_pipe(even_unet())


def of_calls(layers: Layers, calls: Collection[int]) -> Layers:
    """What the oracle saw in some of the calls."""
    return {
        at: [attention for number, attention in enumerate(found) if number // (len(found) // STEPS) in calls]
        for at, found in layers.items()
    }


@pytest.mark.parametrize(
    ("timesteps", "calls"),
    [("all", range(5)), ("late", [2, 3, 4]), (0.2, [4]), (0.21, [3, 4]), ([801, 1], [0, 4]), ((401,), [2])],
)
def test_the_chosen_timesteps_are_averaged(
    pipe: StableDiffusionPipeline, timesteps: Any, calls: Collection[int]
) -> None:
    noise = latents(2)
    with softmax_oracle(pipe.unet) as layers, record_attention(pipe, timesteps) as recorded:
        images = sample(pipe, PROMPTS, noise, num_inference_steps=STEPS)
    assert pipe.scheduler.timesteps.tolist() == [801, 601, 401, 201, 1]
    for image, maps in enumerate(recorded.maps):
        assert maps.calls == read_calls("record", {"timesteps": timesteps})
        assert_equal_to_oracle(maps, of_calls(layers, calls), 2 + image)
    torch.testing.assert_close(images, sample(pipe, PROMPTS, noise, num_inference_steps=STEPS), atol=1e-5, rtol=0)


def test_maps_are_divided_by_the_maximum_of_each_layer_only_if_asked(pipe: StableDiffusionPipeline) -> None:
    with softmax_oracle(pipe.unet) as layers, record_attention(pipe, "late", divide=False) as recorded:
        sample(pipe, PROMPTS, latents(2), num_inference_steps=STEPS)
    for image, maps in enumerate(recorded.maps):
        assert maps.calls == Record(0.5, divide=False)
        recorded_maps = {("self", h): ours for (h, _), ours in maps.self_attention.items()}
        recorded_maps |= {("cross", h): ours for (h, _), ours in maps.cross_attention.items()}
        for at, ours in recorded_maps.items():
            plain = torch.stack([layer[2 + image] for layer in of_calls(layers, [2, 3, 4])[at]]).mean(0)
            torch.testing.assert_close(ours.double(), plain, atol=1e-5, rtol=0)
            assert ours.amax() < 0.99


def test_recordings_of_one_run_are_those_of_separate_runs(pipe: StableDiffusionPipeline) -> None:
    noise, recordings = (
        latents(2),
        [ALL, Record(0.5), Record(0.2), Record((801, 1)), Record(divide=False), Record(0.5, False)],
    )
    with record_denoising(pipe, recordings) as together:
        sample(pipe, PROMPTS, noise, num_inference_steps=STEPS)
    for record in recordings:
        with record_denoising(pipe, [record]) as alone:
            sample(pipe, PROMPTS, noise, num_inference_steps=STEPS)
        for ours, theirs in zip(together.of(record), alone.maps, strict=True):
            assert_same_maps(ours, theirs)


def test_timesteps_of_another_scheduler_are_its_own(pipe: StableDiffusionPipeline) -> None:
    before = pipe.scheduler
    pipe.scheduler = EulerDiscreteScheduler.from_config(before.config, timestep_spacing="linspace")
    try:
        with softmax_oracle(pipe.unet) as layers, record_attention(pipe, "late") as recorded:
            sample(pipe, "a cat", latents(1), num_inference_steps=STEPS)
        assert_equal_to_oracle(recorded.maps[0], of_calls(layers, [2, 3, 4]), 1)
        assert any(timestep % 1 for timestep in pipe.scheduler.timesteps.tolist())
    finally:
        pipe.scheduler = before


def test_nothing_is_added_in_calls_that_no_recording_wants(pipe: StableDiffusionPipeline) -> None:
    with record_denoising(pipe, []) as recorded:
        sample(pipe, "a cat", latents(1))
    assert not recorded._listener.accumulator._sums
    with pytest.raises(SeediffError, match="No attention has been recorded"):
        recorded.of(ALL)


def test_timesteps_outside_the_schedule_are_refused(pipe: StableDiffusionPipeline) -> None:
    with record_attention(pipe, [150, 1]), pytest.raises(SeediffError, match=r"Timestep 150 is not .*\n.*501, 1"):
        sample(pipe, "a cat", latents(1))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("record", {"timesteps": []}, "timesteps is empty"),
        ("record", {"timesteps": 0}, "above 0 and at most 1"),
        ("record", {"timesteps": 1.5}, "above 0 and at most 1"),
        ("record", {"timesteps": True}, "above 0 and at most 1"),
        ("record", {"timesteps": "early"}, "must be all, late, a share, or a list"),
        ("record", {"timesteps": [1000]}, "from 0 to 999"),
        ("record", {"timesteps": [1.5]}, "from 0 to 999"),
        ("record", {}, "has the parameters timesteps, divide, not"),
        ("record", {"timestep": 1}, "has the parameters timesteps, divide, not"),
        ("record", {"divide": 0}, "divide is 0, but must be"),
        ("look_again", {}, "has the parameters timestep, not"),
        ("look_again", {"timestep": 150, "divide": False}, "has the parameters timestep, not"),
        ("look_again", {"timestep": 1000}, "from 0 to 999"),
        ("look_again", {"timestep": [150]}, "from 0 to 999"),
        ("look_again", {"timestep": "late"}, "from 0 to 999"),
    ],
)
def test_what_cannot_be_recorded_is_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(SeediffError, match=message):
        read_calls(name, parameters)


@pytest.mark.parametrize(
    "calls", [ALL, Record(0.5), Record(0.3), Record((900, 0)), Record(0.5, divide=False), LookAgain(150)]
)
def test_calls_survive_json_and_files(pipe: StableDiffusionPipeline, tmp_path: Path, calls: Calls) -> None:
    assert read_calls(*json.loads(json.dumps(write_calls(calls)))) == calls
    with record_attention(pipe) as recorded:
        sample(pipe, "a cat", latents(1))
    maps = replace(recorded.maps[0], calls=calls)
    maps.save(tmp_path / "maps.safetensors")
    assert seediff.AttentionMaps.load(tmp_path / "maps.safetensors").calls == calls


# --- another look ----------------------------------------------------------------------------------------------------


def drawn(pipe: StableDiffusionPipeline, recordings: Collection[Calls], batch_size: int = 2) -> list[Any]:
    prompts = [Prompt(f"{k}", "cat", k, f"a cat {'on sand' * k}", "cat", 7 + k) for k in range(2)]
    return [*draw(pipe, prompts, Sampling(STEPS, 3.0, batch_size), recordings)]


def test_another_look_equals_an_explicit_softmax(pipe: StableDiffusionPipeline) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    with softmax_oracle(pipe.unet) as layers:
        maps = look_again(pipe, pixels, "a photo of a cat", 300, rng_seed=5)
    assert maps.calls == LookAgain(300)
    assert_equal_to_oracle(maps, layers, 0)
    assert_same_maps(maps, look_again(pipe, Image.fromarray(pixels), "a photo of a cat", 300, rng_seed=5))


def test_the_noise_of_a_look_is_the_schedulers(pipe: StableDiffusionPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    hook = pipe.unet.register_forward_pre_hook(lambda unet, args: seen.update(latents=args[0], steps=args[1]))
    pixels = np.full((16, 16, 3), 200, np.uint8)
    look_again(pipe, pixels, "a cat", 700, rng_seed=5)
    hook.remove()
    code = (
        pipe.vae.encode(torch.full((1, 3, 16, 16), 200 / 127.5 - 1)).latent_dist.mean * pipe.vae.config.scaling_factor
    )
    noise = torch.randn(seen["latents"].shape[1:], generator=torch.Generator().manual_seed(look_seed(5, 700)))
    share = pipe.scheduler.alphas_cumprod[700]
    torch.testing.assert_close(seen["latents"][0], share.sqrt() * code[0] + (1 - share).sqrt() * noise)
    assert seen["steps"].tolist() == [700]


def test_looking_again_while_drawing_is_looking_at_the_finished_image(pipe: StableDiffusionPipeline) -> None:
    looks = [LookAgain(150), LookAgain(0)]
    images = drawn(pipe, [*looks, Record(0.5)])
    for image, plain in zip(images, drawn(pipe, [ALL], batch_size=1), strict=True):
        assert [*image.recorded] == [Record(0.5), *looks]
        np.testing.assert_allclose(image.image.astype(int), plain.image.astype(int), atol=1)
        for look in looks:
            again = look_again(pipe, image.image, image.prompt.prompt, look.timestep, image.prompt.rng_seed)
            assert_same_maps(image.recorded[look], again, tolerance=1e-4)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 16, 3), np.uint8), r"not \(0, 16, 3\)"),
        (np.zeros((16, 16, 3), np.float32), "float32"),
        (np.zeros((16, 16), np.uint8), r"not \(16, 16\)"),
    ],
)
def test_what_is_no_image_is_not_looked_at(pipe: StableDiffusionPipeline, image: Any, message: str) -> None:
    with pytest.raises(SeediffError, match=f"(?s){message}"):
        look_again(pipe, image, "a cat")


def test_an_image_may_have_another_shape_than_the_pipeline_draws(pipe: StableDiffusionPipeline) -> None:
    factor = pipe.vae_scale_factor
    maps = look_again(pipe, np.full((16 * factor, 24 * factor, 3), 90, np.uint8), "a cat")
    assert maps.latent_size == (16, 24)


@pytest.mark.parametrize("scheduler", [EulerDiscreteScheduler, DDIMScheduler, HeunDiscreteScheduler])
def test_a_look_does_not_depend_on_the_scheduler(pipe: StableDiffusionPipeline, scheduler: Any) -> None:
    """Whose own noise may be in other units, and known at the timesteps of its run alone."""
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    expected, before = look_again(pipe, image, "a cat", 150), pipe.scheduler
    steps, noise = torch.tensor([150]), torch.randn(1, 4, 2, 2)
    noised = before.add_noise(torch.ones_like(noise), noise, steps)
    pipe.scheduler = scheduler.from_config(before.config)
    try:
        pipe.scheduler.set_timesteps(3)
        assert_same_maps(look_again(pipe, image, "a cat", 150), expected, tolerance=0)
        torch.testing.assert_close(_noised(pipe, torch.ones_like(noise), noise, 150), noised, atol=0, rtol=0)
    finally:
        pipe.scheduler = before


@pytest.mark.parametrize("prompt", [["a cat"], None, "a cat\udce4"])
def test_a_look_wants_one_prompt(pipe: StableDiffusionPipeline, prompt: Any) -> None:
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    with pytest.raises(SeediffError, match=r"must be a text|holds half a character"):
        look_again(pipe, np.zeros((side, side, 3), np.uint8), prompt)


# --- in variants -----------------------------------------------------------------------------------------------------

LATE: Any = [("record", {"timesteps": "late"}), "seediff"]
LOOK: Any = [{"look_again": {"timestep": 150}}, "ca_sa", {"background": {}}]


def test_a_variant_says_what_it_is_made_from() -> None:
    late, look = (resolve(named_steps(variant)) for variant in (LATE, LOOK))
    assert late == (("record", {"timesteps": 0.5}), *resolve(VARIANTS["seediff"]))
    assert [name for name, _ in look] == ["look_again", "cross_attention", "propagate", "background"]
    assert (calls_of(late), calls_of(look), calls_of(resolve(VARIANTS["caa"]))) == (Record(0.5), LookAgain(150), ALL)
    assert resolve(json.loads(json.dumps(late))) == late
    assert resolve((("record", {"timesteps": "all"}), *VARIANTS["caa"])) == resolve(VARIANTS["caa"])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("record", {"timesteps": "late"})], "needs at least one mask step"),
        ([*VARIANTS["caa"], ("record", {"timesteps": "late"})], "must be the first"),
        ([("record", {"timesteps": "late"}), ("look_again", {"timestep": 1}), *VARIANTS["caa"]], "must be the first"),
        ([("record", {"timesteps": []}), *VARIANTS["caa"]], "is empty"),
    ],
)
def test_a_variant_that_cannot_be_recorded_is_refused(steps: Any, message: str) -> None:
    with pytest.raises(SeediffError, match=message):
        resolve(steps)


def test_maps_of_other_calls_are_refused_by_the_names_of_both(pipe: StableDiffusionPipeline) -> None:
    with record_attention(pipe, "late") as recorded:
        image = sample(pipe, "a photo of a cat", latents(1))
    (maps,) = recorded.maps
    pixels = (image[0].movedim(0, -1).numpy() * 255).astype(np.uint8)
    with pytest.raises(SeediffError, match="made from all timesteps, but these maps are of late timesteps"):
        seediff.make_mask(maps, "cat", pixels)
    seediff.make_mask(maps, "cat", pixels, LATE)
    with pytest.raises(SeediffError, match="another look at timestep 150, but these maps are of late timesteps"):
        seediff.make_score(maps, "cat", LOOK)
    again = look_again(pipe, pixels, "a photo of a cat")
    score = seediff.make_score(again, "cat", LOOK)
    assert np.array_equal(score, apply(resolve(named_steps(LOOK)), again.for_word("cat")).numpy())
