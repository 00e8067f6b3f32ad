"""Black, constant and clipped images: what counts as such, and that readers of the numbers are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPConfig

import seediff
from seediff.cli import main
from seediff.datasets.flaws import counted, flaw_of, flaws_of
from seediff.datasets.images import encode_mask, encode_png
from seediff.datasets.shards import Sample, open_shard, write_shard
from seediff.datasets.training_sets import assemble, load_training_set
from seediff.diffusion.releases import CLIPImageProcessor
from seediff.diffusion.synthesis import Sampling, draw
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.files.sealed import read_json
from seediff.prompts.prompt_sets import Prompt
from seediff.segmenter.settings import as_json
from seediff.workflow.reporting.tables import write_table
from seediff.workflow.stages.replay import replay_shard
from seediff.workflow.stages.synthesize import synthesize_shard
from seediff.workflow.study import load_study
from tests.stages import read_spec, run_stage, spec_of, typed
from tests.unit.test_robust_training import PIXEL

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "assets" / "pictograms"


def naive_flaw(image: np.ndarray) -> str | None:
    pixels = [tuple(int(value) for value in pixel) for row in image for pixel in row]
    values = [value for pixel in pixels for value in pixel]
    if all(value <= 8 for value in values):
        return "black"
    if len(set(pixels)) == 1:
        return "constant"
    return "clipped" if 2 * sum(value in (0, 255) for value in values) > len(values) else None


@settings(deadline=None)
@given(st.data())
def test_flaws_against_a_loop(data: st.DataObject) -> None:
    palette = data.draw(st.lists(st.sampled_from([0, 1, 8, 9, 128, 254, 255]), min_size=1, max_size=4))
    side = st.integers(1, 3)
    shape = data.draw(side), data.draw(side), 3
    image = np.array([data.draw(st.sampled_from(palette)) for _ in range(np.prod(shape))], np.uint8).reshape(shape)
    assert flaw_of(image) == naive_flaw(image)


def test_a_dark_a_white_and_a_dull_image() -> None:
    plain = np.full((4, 4, 3), 255, np.uint8)
    dull = plain // 2
    dull[0, 0, 0] = 126
    assert [flaw_of(image) for image in (plain // 32, plain, dull)] == ["black", "constant", None]


def test_the_embedded_model_s_images_have_none(pipe: Any, prompts: list[Prompt]) -> None:
    assert flaws_of((drawn.prompt.key, drawn.image) for drawn in draw(pipe, prompts, Sampling(10, 2.0, 4))) == {}


def test_what_a_safety_checker_blacks_out_is_black(prompts: list[Prompt]) -> None:
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(text_config=size, vision_config={**size, "image_size": 32, "patch_size": 8}, projection_dim=8)
    pipe: Any = seediff.load(MODEL)
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds_weights.data.fill_(-2)  # no cosine is below, so everything is unsafe
    edges = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    pipe.safety_checker, pipe.feature_extractor = checker, CLIPImageProcessor(**edges)
    assert [flaw_of(drawn.image) for drawn in draw(pipe, prompts[:2], Sampling(1, 2.0, 2))] == ["black", "black"]


def test_few_are_named() -> None:
    assert counted({}) == "black 0, constant 0, clipped 0"
    assert counted({"b": "clipped", "a": "clipped"}) == "black 0, constant 0, clipped 2 (a, b)"
    many = counted({f"{index:02d}": "black" for index in range(12)})
    assert many.startswith("black 12 (00, 01, ") and "09, and 2 more)" in many


# --- where they are told ---------------------------------------------------------------------------------------------


def model_folder(folder: Path, contrast: float, brightness: float) -> Path:
    """The embedded model with its images' contrast and brightness (of 2) changed."""
    pipe = seediff.load(MODEL)
    with torch.no_grad():
        last = pipe.vae.decoder.conv_out
        last.weight *= contrast
        last.bias.mul_(contrast).add_(brightness)
    pipe.save_pretrained(folder)
    return folder


def study_spec(model: Path) -> dict[str, Any]:
    spec = spec_of("synthesize", load_study(ROOT / "config/studies/smoke.yaml"), "basic")
    spec["diffusion"] = {**spec["diffusion"], "model": str(model), "num_inference_steps": 1}
    return spec


def test_generate_counts_and_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, brightness, said in (("dark", -9.0, "black 2 (cat-000000.png, cat-000001.png), "), ("normal", 0.0, "")):
        model = model_folder(tmp_path / name, 1.0, brightness)
        options = ["--model", str(model), "--class", "cat", "--number", "2", "--steps", "2"]
        for _ in range(2):  # the second time nothing is drawn
            assert main(["generate", *options, "--output", str(tmp_path / "out" / name)]) == 0
            *_, counted, page = capsys.readouterr().out.splitlines()
            assert page.endswith("gallery.html")
            assert counted == f"images: {said or 'black 0, '}constant 0, clipped 0"


@pytest.mark.parametrize(("contrast", "brightness", "flaw"), [(1, -9, "black"), (0, 0.3, "constant")])
def test_a_shard_that_shows_nothing_is_refused(
    tmp_path: Path, prompts: list[Prompt], contrast: float, brightness: float, flaw: str
) -> None:
    spec = study_spec(model_folder(tmp_path / "model", contrast, brightness))
    with pytest.raises(SeediffError, match=rf"^None of the shard's 2 images shows anything: .*{flaw} 2 \(cat-000000"):
        synthesize_shard(
            typed("synthesize", spec), prompts[:2], tmp_path / "out" / "images.tar", tmp_path / "out" / "scores.tar"
        )
    assert not (tmp_path / "out").exists()


def test_a_shard_says_which_images_have_flaws(
    tmp_path: Path, prompts: list[Prompt], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {}
    for name, contrast in (("sound", 1), ("clipped", 99)):
        spec = study_spec(model_folder(tmp_path / name, contrast, 0))
        synthesize_shard(typed("synthesize", spec), prompts[:1], tmp_path / f"{name}.tar", tmp_path / "scores.tar")
        rows[name] = json.loads(open_shard(tmp_path / f"{name}.tar").read("cat-000000", "json"))
        number = "1 (cat-000000)" if name == "clipped" else 0
        assert f"images: black 0, constant 0, clipped {number}\n" in capsys.readouterr().err
    assert rows["clipped"] == {**rows["sound"], "flaw": "clipped"} and "flaw" not in rows["sound"]
    replay_shard(typed("replay", spec), prompts[:1], None, tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "scores.tar").read_bytes()


@pytest.mark.parametrize("flaw", [None, "clipped"])
def test_a_table_says_what_its_models_have_learnt_from(tmp_path: Path, flaw: str | None) -> None:
    """The jobs of a recipe one after another, each given only its inputs."""
    rng, samples = np.random.default_rng(0), []
    for index in range(3):
        about = {"class_name": "cat", **({"flaw": flaw} if flaw and index == 1 else {})}
        picture = encode_png(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8))
        samples.append(Sample(f"cat-{index:06d}", {"png": picture, "json": json.dumps(about).encode()}))
    masks = [Sample(sample.key, {"png": encode_mask(np.eye(64, dtype=np.uint8))}) for sample in samples]
    write_shard(tmp_path / "images.tar", samples)
    write_shard(tmp_path / "masks.tar", masks)
    assemble([tmp_path / "images.tar"], [tmp_path / "masks.tar"], None, tmp_path / "set.json")
    spec = {"classes": ["cat"], "segmenter": as_json(PIXEL), "augmentation": None, "rng_seed": 0, "repeat": 0}
    spec = read_spec("train", json.dumps({**spec, "robust": None}))
    run_stage("train", spec, tmp_path / "set.json", None, tmp_path / "state", tmp_path / "model")
    write_domain("voc", tmp_path / "voc", train=1, val=1, rng_seed=0)
    names = {"recipe": "a", "segmenter": "b", "repeat": 0, "benchmark": "c", "model": None}
    spec = {**names, "format": "voc", "folder": str(tmp_path / "voc"), "split": "val", "classes": ["cat"], "lacks": []}
    metrics = tmp_path / "metrics" / "a" / "b" / "0" / "c.json"
    run_stage("evaluate", spec, tmp_path / "model", metrics, metrics.with_suffix(".npz"))
    row = {"label": "Ours", "recipe": "a", "segmenter": "b", "benchmark": "c", "paper": {}}
    columns = [{"heading": "mIoU", "kind": "mean", "of": []}]
    table = {"name": "t", "title": "T", "caption": "", "columns": columns, "rows": [row], "study": "mine", "repeats": 1}
    write_table(typed("tabulate", table), tmp_path, tmp_path / "tables" / "t")
    said = "Ours: the images it learnt from have flaws: black 0, constant 0, clipped 1 (cat-000001)."
    for suffix in ("md", "html"):
        assert (said in (tmp_path / "tables" / f"t.{suffix}").read_text()) == bool(flaw)
    for path in (tmp_path / "model" / "segmenter.json", metrics):
        assert read_json(path, "It").get("flawed_training_images") == ({"cat-000001": flaw} if flaw else None)


def test_a_row_that_names_no_flaw_is_refused(tmp_path: Path) -> None:
    about = json.dumps({"class_name": "cat", "flaw": "ugly"}).encode()
    picture = encode_png(np.zeros((3, 3, 3), np.uint8))
    write_shard(tmp_path / "images.tar", [Sample("cat-0", {"png": picture, "json": about})])
    write_shard(tmp_path / "masks.tar", [Sample("cat-0", {"png": encode_mask(np.eye(3, dtype=np.uint8))})])
    assemble([tmp_path / "images.tar"], [tmp_path / "masks.tar"], None, tmp_path / "set.json")
    with pytest.raises(SeediffError, match=r"cat-0\.json in .*images\.tar does not say what flaw the image has"):
        load_training_set(tmp_path / "set.json").flaws  # noqa: B018
