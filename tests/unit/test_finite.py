"""The first value that is not finite ends the work: the error names image, part and remedy; nothing is written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from seediff.adaptation.settings import AdapterSettings
from seediff.adaptation.train import train_adapter
from seediff.attention.maps import AttentionMaps, ClassMaps
from seediff.attention.recording import record_attention
from seediff.attention.tokens import TokenizedPrompt
from seediff.cli import main
from seediff.datasets.benchmarks import Benchmark, open_benchmark
from seediff.datasets.unlabelled import benchmark_images
from seediff.diffusion.judges import judge_scenes
from seediff.diffusion.synthesis import Sampling, draw
from seediff.embedded.domains import write_domain
from seediff.embedded.vocabulary import CLASSES
from seediff.errors import SeediffError
from seediff.filtering.selection import Measured, select
from seediff.filtering.settings import Filter
from seediff.finite import check_step, first_not_finite, remedy
from seediff.masks.make import make_mask, make_score
from seediff.masks.refinement import Refinement, refine, to_mask
from seediff.masks.variants import VARIANTS, apply, resolve
from seediff.prompts.prompt_sets import Prompt, make_prompts
from seediff.segmenter import mask2former
from seediff.segmenter.evaluate import Segmenter, confusion
from seediff.training.checkpoint import load_tensors, save_tensors
from seediff.training.loop import Trainer
from seediff.workflow.stages.replay import replay_shard
from seediff.workflow.stages.synthesize import synthesize_shard
from seediff.workflow.study import load_study
from tests.stages import spec_of, typed
from tests.unit.test_robust_training import PIXEL
from tests.unit.test_robust_training import run as run_robustly
from tests.unit.test_segmenter_train import CLASSES as SQUARES
from tests.unit.test_segmenter_train import SETTINGS, run

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "assets" / "pictograms"
RAW = Refinement(pamr=None, threshold=0.3)
NAN, LARGEST = math.nan, 3e38

PARTS = {
    "text_encoder.final_layer_norm.bias": "the text encoder's output",
    "unet.conv_out.weight": r"the denoiser's output at timestep \d+",
    "vae.decoder.conv_out.weight": "the VAE's output",
}
"""A weight of each part, and how the part is named."""
EVERY_PART = pytest.mark.parametrize(("weight", "part"), PARTS.items(), ids=["text", "unet", "vae"])


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return make_prompts("basic", ["cat", "train"], 1)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    folder = tmp_path_factory.mktemp("voc")
    write_domain("voc", folder, train=1, val=6, rng_seed=0)
    return open_benchmark("voc", folder, "val", CLASSES)


@contextmanager
def spoilt(pipe: Any, weight: str, value: float = NAN) -> Iterator[None]:
    """The pipeline with one number of one weight replaced."""
    part, _, name = weight.partition(".")
    tensor = getattr(pipe, part).get_parameter(name).data.view(-1)
    before = tensor[0].item()
    tensor[0] = value
    try:
        yield
    finally:
        tensor[0] = before


def spoilt_folder(folder: Path, weight: str, value: float) -> Path:
    """A copy of the model with one number of one weight replaced."""
    shutil.copytree(MODEL, folder)
    part, _, name = weight.partition(".")
    (path,) = (folder / part).glob("*.safetensors")
    stored = load_file(path)
    stored[name] = stored[name].float()
    stored[name].view(-1)[0] = value
    save_file(stored, path, {"format": "pt"})
    return folder


# --- drawing ---------------------------------------------------------------------------------------------------------


@EVERY_PART
def test_drawing_ends_with_the_image_and_the_part(pipe: Any, prompts: list[Prompt], weight: str, part: str) -> None:
    message = rf"^cat-000000 \('a photo of a cat'\): {part} is not finite\.\n.*another (model|VAE)\.$"
    with spoilt(pipe, weight), pytest.raises(SeediffError, match=message):
        list(draw(pipe, prompts, Sampling(2, 2.0, 2)))
    assert [drawn.prompt for drawn in draw(pipe, prompts[:1], Sampling(1, 2.0, 1))] == prompts[
        :1
    ]  # and everything is as before


def test_infinity_is_no_white_pixel(pipe: Any, prompts: list[Prompt]) -> None:
    bias = "vae.decoder.conv_out.bias"
    with spoilt(pipe, bias, math.inf), pytest.raises(SeediffError, match="the VAE's output is not finite"):
        list(draw(pipe, prompts, Sampling(1, 2.0, 2)))


def test_the_image_of_the_batch_is_named(pipe: Any, prompts: list[Prompt]) -> None:
    call = pipe.unet.forward

    def spoil_the_last(*args: Any, **kwargs: Any) -> Any:
        (predicted,) = call(*args, **kwargs)
        predicted[-1, 0, 3, 5] = NAN  # of the conditional half
        return (predicted,)

    pipe.unet.forward = spoil_the_last
    try:
        with pytest.raises(SeediffError, match=r"^train-000000 \('a photo of a train'\): the denoiser"):
            list(draw(pipe, prompts, Sampling(1, 2.0, 2)))
        with record_attention(pipe), pytest.raises(SeediffError, match=r"The denoiser's output at timestep \d+ is not"):
            pipe(["a photo of a cat", "a photo of a bus"], num_inference_steps=1)
    finally:
        del pipe.unet.forward


@EVERY_PART
def test_recording_ends_before_there_is_a_mask(pipe: Any, weight: str, part: str) -> None:
    with spoilt(pipe, weight), pytest.raises(SeediffError, match=f"^image of 'a photo of a cat': {part} is not finite"):
        with record_attention(pipe) as recording:
            image = pipe("a photo of a cat", num_inference_steps=1).images[0]
        make_mask(recording.maps[0], "cat", image)
    assert "decode" not in vars(pipe.vae) and "encode_prompt" not in vars(pipe)


@EVERY_PART
@pytest.mark.parametrize("value", [NAN, LARGEST], ids=["nan", "overflow"])
def test_a_shard_is_whole_or_absent(
    tmp_path: Path, prompts: list[Prompt], weight: str, part: str, value: float
) -> None:
    """NaN is refused when the model is loaded; a weight that overflows, when it does so."""
    if "text" in weight and value == LARGEST:
        weight = "text_encoder.final_layer_norm.weight"
    spec = spec_of("synthesize", load_study(ROOT / "config/studies/smoke.yaml"), "basic")
    folder = spoilt_folder(tmp_path / "model", weight, value)
    spec["diffusion"] = {**spec["diffusion"], "model": str(folder), "num_inference_steps": 1}
    message = "holds a weight that is not finite" if value is NAN else rf"cat-000000 .*: {part} is not finite"
    with pytest.raises(SeediffError, match=message):
        synthesize_shard(
            typed("synthesize", spec), prompts, tmp_path / "out" / "images.tar", tmp_path / "out" / "scores.tar"
        )
    with pytest.raises(SeediffError, match=message):
        replay_shard(typed("replay", spec), prompts, None, tmp_path / "out" / "again.tar")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [NAN, LARGEST], ids=["nan", "overflow"])
@pytest.mark.parametrize("weight", [part for part in PARTS if "text" not in part], ids=["unet", "vae"])
def test_generate_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], weight: str, value: float) -> None:
    model = spoilt_folder(tmp_path / "model", weight, value)
    options = ["--model", str(model), "--class", "cat", "--number", "1", "--steps", "1"]
    assert main(["generate", *options, "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    part = weight.partition(".")[0]
    expected = f"part '{part}', holds a weight" if value is NAN else "error: cat-000000 ('a photo of a cat'): the "
    assert expected in said and "not finite" in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


# --- judged scenes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "part"),
    [
        ("text_encoder.final_layer_norm.bias", "the text encoder's output"),
        ("unet.conv_out.weight", "the denoiser's output at timestep 200"),
        ("vae.encoder.conv_out.bias", "the latents that the VAE makes of it"),
    ],
)
def test_judging_scenes_ends_with_the_image(pipe: Any, benchmark: Benchmark, weight: str, part: str) -> None:
    words, variants = {name: name for name in CLASSES}, {"ca_16": resolve(VARIANTS["ca_16"])}
    rows, message = [("ca_16", "raw")], rf"^Image \d+ of the benchmark \('a photo .*'\): {part} is"
    with spoilt(pipe, weight), pytest.raises(SeediffError, match=message):
        next(judge_scenes(pipe, benchmark, words, variants, {"raw": RAW}, rows, [1], [200, 500], rng_seed=0))


# --- maps, scores and masks ------------------------------------------------------------------------------------------


def some_maps(value: float) -> AttentionMaps:
    tokens = ("<|startoftext|>", "a</w>", "cat</w>", "<|endoftext|>")
    prompt = TokenizedPrompt("a cat", tokens, ((0, 0), (0, 1), (2, 5), (0, 0)))
    cross = {(side, side): torch.rand(side**2, 4) for side in (2, 4, 8)}
    attention = {(side, side): torch.rand(side**2, side**2).softmax(1) for side in (2, 4, 8)}
    cross[2, 2][1, 2] = value
    return AttentionMaps(prompt, cross, attention, (8, 8))


@pytest.mark.parametrize("value", [NAN, math.inf])
@pytest.mark.parametrize("variant", ["seediff", "caa", "released_code"])
def test_no_mask_is_made_of_such_maps(value: float, variant: str) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    for make in (lambda maps: make_mask(maps, "cat", image, variant), lambda maps: make_score(maps, "cat", variant)):
        with pytest.raises(SeediffError, match=r"The score after mask step '(mean_)?cross_attention' is not finite"):
            make(some_maps(value))


def test_the_first_step_that_fails_is_named() -> None:
    maps = ClassMaps({(4, 4): torch.rand(4, 4)}, {(4, 4): torch.zeros(16, 16)}, (4, 4))  # no row has a direction: 0 / 0
    steps = resolve([("cross_attention", {"resolution": "1"}), ("expand_similar", {"resolution": "1"})])
    with pytest.raises(SeediffError, match="The score after mask step 'expand_similar' is not finite"):
        apply(steps, maps)


@pytest.mark.parametrize("value", [NAN, math.inf])
def test_such_a_score_is_no_mask(value: float) -> None:
    score = torch.full((4, 4), value)
    with pytest.raises(SeediffError, match="The score is not finite"):
        to_mask(score, 1, 0.3)
    with pytest.raises(SeediffError, match="The score is not finite"):
        refine(score, np.zeros((8, 8, 3), np.uint8), RAW)


def test_such_maps_are_not_read(tmp_path: Path) -> None:
    some_maps(NAN).save(tmp_path / "maps.safetensors")
    with pytest.raises(SeediffError, match="a map is not finite"):
        AttentionMaps.load(tmp_path / "maps.safetensors")


def test_a_measure_that_is_none_does_not_pass_every_limit() -> None:
    pairs = [Measured("cat-000000", "cat", {"area": 0.3, "clip": NAN})]
    with pytest.raises(SeediffError, match="cat-000000: its clip is nan"):
        select(pairs, Filter(clip_model="anything", clip=0.2))


# --- training and evaluation -----------------------------------------------------------------------------------------


@pytest.fixture
def spoil_iteration(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, bool], None]:
    """Make the loss of an iteration, or only its gradient, NaN."""

    def spoil(at: int, gradient_only: bool) -> None:
        losses = Trainer.losses

        def spoiling(self: Trainer, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
            parts = losses(self, *batch)
            if self.iteration + 1 == at:
                weight = next(self.task.model.parameters()).sum()
                bad = (weight - weight.detach()).sqrt() if gradient_only else weight * NAN  # the root's slope at 0
                parts["bad"] = bad * 0
            return parts

        monkeypatch.setattr(Trainer, "losses", spoiling)

    return spoil


@pytest.mark.parametrize("gradient_only", [False, True], ids=["loss", "gradient"])
@pytest.mark.parametrize("kind", ["mask2former", "pixel", "robust"])
def test_training_ends_at_the_very_iteration(
    tmp_path: Path, spoil_iteration: Callable[[int, bool], None], kind: str, gradient_only: bool
) -> None:
    """Neither a result nor the state that the next run would resume from ever holds it."""
    settings = replace(SETTINGS if kind == "mask2former" else PIXEL, iterations=300, checkpoint_every=2)
    spoil_iteration(4, gradient_only)
    what = "gradient" if gradient_only else "loss"
    with pytest.raises(SeediffError, match=rf"The {what} became infinite or NaN at iteration 4 .*\nTry a lower learn"):
        (run_robustly if kind == "robust" else run)(tmp_path, settings)
    _, about = load_tensors(tmp_path / "state" / "state.safetensors", "The training state")
    assert about["iteration"] == 2
    assert not (tmp_path / "out").exists()


def test_an_adapter_s_training_ends_at_the_very_iteration(tmp_path: Path) -> None:
    write_domain("cityscapes", tmp_path / "street", 2, 1, 0)
    images = benchmark_images("cityscapes", tmp_path / "street", "train")
    settings = AdapterSettings(("a photo of city",), 2, 300, 2, 1e30, ("to_k",), 1)
    with pytest.raises(SeediffError, match=r"became infinite or NaN at iteration [23] \(loss: denoising"):
        train_adapter(str(MODEL), images, settings, tmp_path / "out", tmp_path / "state", rng_seed=0)
    load_tensors(tmp_path / "state" / "state.safetensors", "The training state")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_finite_are_not_read(tmp_path: Path) -> None:
    save_tensors(tmp_path / "model.safetensors", {"good": torch.ones(2), "bad": torch.tensor([1.0, NAN])})
    with pytest.raises(
        SeediffError, match=r"The model .*model\.safetensors holds a weight that is not finite, in 'bad'"
    ):
        load_tensors(tmp_path / "model.safetensors", "The model")


def test_an_evaluation_ends_with_the_image() -> None:
    model = mask2former.build(SETTINGS, len(SQUARES)).eval()
    next(model.class_predictor.parameters()).data.view(-1)[0] = NAN
    samples = [("street/0.png", np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8))]
    with pytest.raises(SeediffError, match=r"^street/0\.png: what the segmenter makes of it is not finite"):
        confusion(Segmenter(mask2former.ARCHITECTURE, model, SETTINGS, SQUARES), samples)


# --- the checks themselves -------------------------------------------------------------------------------------------


@given(st.data())
def test_the_first_row_against_a_loop(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)))
    kind = data.draw(st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
    values = torch.full(shape, torch.finfo(torch.float16).max).to(kind)  # in float16 a sum of two would overflow
    bad = data.draw(st.lists(st.tuples(*(st.integers(0, side - 1) for side in shape)), max_size=2))
    for place in bad:
        values[place] = data.draw(st.sampled_from([NAN, math.inf, -math.inf]))
    expected = next((row for row in range(shape[0]) if not values[row].isfinite().all()), None)
    assert first_not_finite(values) == expected


def test_a_good_step_passes() -> None:
    check_step({"mask": torch.tensor(1.0), "dice": torch.tensor(0.0)}, [torch.tensor(3.0)], 1)


def test_the_remedy_fits_the_precision() -> None:
    assert "bfloat16 or float32, or another VAE" in remedy(torch.float16, "another VAE")
    assert "the dtype float32" in remedy(torch.bfloat16, "another model")
    assert "dtype" not in remedy(torch.float32, "another model")
