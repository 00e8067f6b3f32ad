"""Bad input on the command line: exit code 1, at most three lines, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seediff.cli import main
from seediff.datasets.classes import label_space
from seediff.datasets.images import encode_mask, encode_png
from seediff.datasets.registry import FORMATS
from seediff.datasets.shards import Sample, write_shard
from seediff.errors import SeediffError
from seediff.files.sealed import read_json, write_csv, write_json
from seediff.generation.pairs import make_data_set
from seediff.generation.settings import data_set
from seediff.prompts.prompt_sets import make_prompts
from seediff.workflow.study import Study, load_study
from tests.drawing import generate as generate_pairs
from tests.stages import spec_of

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "assets" / "pictograms"


@pytest.fixture
def study() -> Study:
    return load_study(ROOT / "config" / "studies" / "smoke.yaml")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line, which must fail in a few lines; returns its message."""

    def run(*arguments: str | Path) -> str:
        assert main([str(argument) for argument in arguments]) == 1
        text = capsys.readouterr().err
        message = text[text.rindex("error: ") :]
        assert len(message.splitlines()) <= 3
        return message

    return run


def write_study(folder: Path, old: str, new: str) -> Path:
    text = (ROOT / "config" / "studies" / "smoke.yaml").read_text()
    assert old in text
    path = folder / "smoke.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "where", "hint"),
    [
        ("guidance_scale", "guidence_scale", "diffusion.guidence_scale", "'guidance_scale'"),
        ("dilations", "dialtions", "refinements.pamr.pamr.dialtions", "'dilations'"),
        ("iterations: 4", "iteration: 4", "'iteration'", "'iterations'"),
        ("variants: [ire]", "variants: [iree]", "passes.later", "'ire'"),
        ("recipe: caa, segmenter: swin", "recipe: cca, segmenter: swin", "tables.table2, row 'CAA'", "'caa'"),
        ("segmenter: swin", "segmenter: swim", "row 'CAA'", "'swin'"),
        ("prompt_set: basic", "prompt_set: basics", "image_sets.basic", "'basic'"),
        ("per_class: 3", "per_class: 0", "prompt_sets.basic.per_class", "from 1 to 1,000,000"),
        ("[cat, car]", '["cat/../..", train]', "cat/../..", "letters"),
        ("[cat, car]", "['cat\\\"; rm', train]", "rm", "letters"),
        ("[cat, car]", "[cat, cat]", "classes", "twice"),
        ("[cat, car]", "[cat, car, dining table]", "voc has no class 'dining table'", "'diningtable'"),
        ("{per_class: 3}", '{per_class: 3, template: "a photo"}', "template", "{word}"),
        ("format: voc, embedded: {train: 6, val: 4}", "format: voc", "benchmarks.voc", "folder"),
        ("name: smoke", "name: mini", "name is 'mini'", "'smoke'"),
        ("repeats: 1", "repeats: 1\nrepeats: 2", "'repeats'", "twice"),
        (
            "{per_class: 3}",
            '{per_class: 3, words: {cat: "\U0001f431"}}',
            "prompt_sets.basic.words",
            "no letter or digit",
        ),
        ("repeats: 1", "thresholds: {beta: 0}", "thresholds.beta", "above 0 and at most 1"),
        ("swin: {backbone: swin-mini, ", "swin: {", "segmenters.swin", "needs 'backbone'"),
        ("backbone: swin-mini", "backbone: null", "segmenters.swin", "needs 'backbone'"),
        ("model: assets/pictograms", "model: ''", "diffusion.model", "at least 1"),
        ("guidance_scale: 2.0", "guidance_scale: .inf", "diffusion.guidance_scale", "finite"),
        ("paper: 68.8", "paper: .nan", "tables.table2.rows.0.paper", "finite"),
        ("  mixed: {default", "  caa: {default", "variants_by_class.caa", "Choose another"),
        ("{merged: [cat, car]}", "{merged: []}", "merged", "at least 1"),
        ("{iou: car}", "{iou: all}", "has no class 'all'", "Known: car, cat"),
        ("variants: [caa, seediff]", "variants: []", "image_sets.basic.variants", "at least 1"),
        ("repeats: 1", "repeats: 010", "010 can be read as more than one number", "without a 0"),
        ("repeats: 1", "repeats: !!int '1:30'", "1:30 can be read as more than one number", "in quotes"),
        ("repeats: 1", "repeats: 1:30", "'repeats'", "a whole number from 1 to 1,000"),
        ("guidance_scale: 2.0", "guidance_scale: 1:30.5", "diffusion.guidance_scale", "a finite number, 0 or more"),
        ("repeats: 1", "repeats: yes", "'repeats'", "a whole number from 1 to 1,000"),
        ("repeats: 1", "repeats: 1000000", "'repeats'", "from 1 to 1,000"),
        ("batch_size: 2\n", "batch_size: 1000000\n", "diffusion.batch_size", "from 1 to 4,096"),
        ("iterations: 4, batch_size: 2", "iterations: 4, batch_size: 1000000", "batch_size is 1000000", "4,096"),
        ("iterations: 4, batch_size: 2", "iterations: 4, queries: 1000000", "queries is 1000000", "10,000"),
        ("iterations: 4, batch_size: 2", "iterations: 4, crop: 1048576", "crop is 1048576", "8,192"),
        ("iterations: 4, batch_size: 2", "iterations: 4, crop: [32, 1048576]", "crop is 1048576", "8,192"),
        ("iterations: 4, batch_size: 2", "iterations: 4, scale_max: 1.0e+300", "scale_max", "at most"),
        ("dilations: [", f"dilations: [{'1, ' * 100}", "refinements.pamr.pamr.dilations", "at most 100 items"),
        ("dilations: [1, 2]", "dilations: []", "pamr.dilations' must have at least 1 item, not 0.", ""),
        ("area: [0, 1]", "area: [0, 1, 1]", "filters.good.area' must have at most 2 items, not 3.", ""),
        ("[cat, car]", "['cat ', car]", "'cat ' cannot be used as a name", "spaces in between"),
    ],
)
def test_a_wrong_study(said: Any, tmp_path: Path, old: str, new: str, where: str, hint: str) -> None:
    message = said("check", write_study(tmp_path, old, new))
    assert where in message and hint in message


def test_a_study_that_is_missing_or_no_mapping(said: Any, tmp_path: Path) -> None:
    assert "'smoke'" in said("check", ROOT / "config" / "studies" / "smok.yaml")
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    assert "mapping" in said("check", tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\nb: {")
    assert "not valid YAML" in said("check", tmp_path / "broken.yaml")


def generate(said: Any, folder: Path, *options: str, model: str | Path = MODEL, name: str = "cat") -> str:
    message = said("generate", "--model", model, "--class", name, "--steps", "1", "--output", folder, *options)
    assert not list(folder.rglob("*.png"))
    return message


def test_generate_refuses_what_it_cannot_draw(said: Any, tmp_path: Path) -> None:
    assert "no model folder" in generate(said, tmp_path, model=tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert "model_index.json" in generate(said, tmp_path, model=tmp_path / "empty")
    assert "images is 0" in generate(said, tmp_path, "--number", "0")
    assert "cannot be used as a name" in generate(said, tmp_path, name="a/b")
    assert "cannot be used as a name" in generate(said, tmp_path, name="a'b")
    assert "cannot be used as a name" in generate(said, tmp_path, name="cat ")
    assert "{word}" in generate(said, tmp_path, "--template", "a photo")
    assert "'seediff'" in generate(said, tmp_path, "--variant", "seedif")


@pytest.mark.parametrize("name", ["background", "Background"])
def test_generate_draws_no_background(said: Any, tmp_path: Path, name: str) -> None:
    assert "cannot be drawn" in generate(said, tmp_path / "out", name=name)
    assert not (tmp_path / "out").exists()


def test_two_mask_sets_of_one_name(said: Any, tmp_path: Path) -> None:
    text = (ROOT / "config" / "studies" / "smoke.yaml").read_text()
    text = text.replace("  raw: {pamr: null}", "  raw: {pamr: null}\n  x-raw: {pamr: null}", 1)
    text = text.replace("  mixed: {default", "  caa-x: {default: caa, classes: {}}\n  mixed: {default", 1)
    recipes = ["  first: {image_set: basic, variant: caa-x, refinement: raw}"]
    recipes += ["  second: {image_set: basic, variant: caa, refinement: x-raw}"]
    (tmp_path / "smoke.yaml").write_text(text.replace("recipes:\n", "\n".join(["recipes:", *recipes, ""]), 1))
    assert "both called 'caa-x-raw'" in said("check", tmp_path / "smoke.yaml")


@pytest.mark.parametrize("classes", ["cat", ["cat", 3], [None]])
def test_classes_are_a_list_of_texts(tmp_path: Path, classes: Any) -> None:
    """A text alone is not taken for a list of its characters, here or wherever else classes are given."""
    uses: list[Callable[[], object]] = [
        lambda: generate_pairs(str(MODEL), classes, 1, tmp_path / "out"),
        lambda: make_prompts("x", classes, 1),
        lambda: label_space(classes),
        lambda: FORMATS["voc"].label_by_name(classes),
        lambda: FORMATS["voc"].label_by_name(["cat"], lacks=classes),
    ]
    for use in uses:
        with pytest.raises(SeediffError, match=r"must be a list of (texts|names)"):
            use()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option", ["--steps 0", "--batch-size -1", "--guidance-scale nan", "--guidance-scale -1", "--height 100"]
)
def test_generate_refuses_impossible_numbers(said: Any, tmp_path: Path, option: str) -> None:
    message = said("generate", "--model", MODEL, "--class", "cat", "--output", tmp_path / "out", *option.split())
    assert "but must be a" in message and not (tmp_path / "out").exists()


def test_generate_keeps_images_of_other_settings_apart(said: Any, tmp_path: Path) -> None:
    settings = {"model": str(MODEL), "images": 1, "drawing": {"steps": 1}}
    assert make_data_set(data_set(classes=["car"], **settings), tmp_path).kept == 1
    before = sorted(tmp_path.rglob("*"))
    message = said("generate", "--model", MODEL, "--class", "cat", "--steps", "1", "--output", tmp_path)
    assert "one of the classes car" in message and "another folder" in message
    message = said("generate", "--model", MODEL, "--class", "car", "--steps", "2", "--output", tmp_path)
    assert "drawing.steps was 1, is 2" in message
    assert sorted(tmp_path.rglob("*")) == before


def test_two_classes_of_one_file_name(said: Any, tmp_path: Path) -> None:
    for other in ("a-b", "A b"):
        classes = ("--class", "a b", "--class", other)
        assert "named twice" in said("generate", "--model", MODEL, *classes, "--output", tmp_path)


def test_a_file_where_a_folder_should_be(said: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec = {"prompt_set": "x", "classes": ["cat"], "per_class": 1}
    assert str(tmp_path / "file") in said(
        "stage", "prompts", "--spec", json.dumps(spec), "--output", tmp_path / "file" / "p.csv"
    )


def test_what_is_no_table_is_not_shown(said: Any, tmp_path: Path) -> None:
    for content, reason in ((b"", "not as it was written"), (b"| a |", "not as it was written"), (b"\xff", "read")):
        (tmp_path / "t.md").write_bytes(content)
        message = said("show", tmp_path / "t.md")
        assert "t.md" in message and reason in message


def test_a_folder_that_is_no_pipeline(said: Any, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "model")
    unet = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    unet.write_bytes(unet.read_bytes()[:1000])
    assert "No diffusion pipeline" in generate(said, tmp_path / "out", model=tmp_path / "model")


def test_a_class_cut_off_by_the_token_limit(said: Any, tmp_path: Path) -> None:
    template = "a photo of " + "a car and " * 12 + "a {word}"
    message = generate(said, tmp_path, "--number", "1", "--template", template)
    assert "cut off" in message and "24 tokens" in message


def write_prompts(folder: Path, template: str = "a photo of a {word}") -> Path:
    path = folder / "prompts.csv"
    spec = {"prompt_set": "basic", "classes": ["cat"], "per_class": 1, "template": template}
    assert main(["stage", "prompts", "--spec", json.dumps(spec), "--output", str(path)]) == 0
    return path


def test_a_prompt_without_its_class_word(said: Any, study: Study, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path, "a photo of a car")
    spec = spec_of("synthesize", study, "basic")
    spec["diffusion"] |= {"model": str(MODEL), "num_inference_steps": 1}
    shard = ["--prompts", prompts, "--class-name", "cat", "--first", "0", "--count", "1"]
    outputs = ["--images", tmp_path / "i.tar", "--scores", tmp_path / "s.tar"]
    message = said("stage", "synthesize", "--spec", json.dumps(spec), *shard, *outputs)
    assert "'cat' is not in the prompt 'a photo of a car'" in message
    assert not list(tmp_path.glob("*.tar*"))


def test_a_prompt_file_that_is_none(said: Any, study: Study, tmp_path: Path) -> None:
    write_csv(tmp_path / "prompts.csv", [{"key": "x", "prompt": "y"}])
    shard = ["--prompts", tmp_path / "prompts.csv", "--class-name", "cat", "--first", "0", "--count", "1"]
    outputs = ["--images", tmp_path / "i.tar", "--scores", tmp_path / "s.tar"]
    message = said("stage", "synthesize", "--spec", json.dumps(spec_of("synthesize", study, "basic")), *shard, *outputs)
    assert "prompts.csv, line 2" in message


def test_a_prompt_file_that_was_changed(said: Any, study: Study, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path)
    prompts.write_text(prompts.read_text().replace("cat-000000,cat,0,a photo", "cat-000000,cat,0,a drawing"))
    shard = ["--prompts", prompts, "--class-name", "cat", "--first", "0", "--count", "1"]
    outputs = ["--images", tmp_path / "i.tar", "--scores", tmp_path / "s.tar"]
    message = said("stage", "synthesize", "--spec", json.dumps(spec_of("synthesize", study, "basic")), *shard, *outputs)
    assert str(prompts) in message and "not as it was written" in message


def write_pair(folder: Path, side: int = 64) -> tuple[Path, Path]:
    """An image shard and a mask shard of one sample; masks of the given side."""
    images, masks = folder / "images.tar", folder / "masks.tar"
    about = json.dumps({"class_name": "cat"}).encode()
    image = encode_png(np.zeros((64, 64, 3), np.uint8))
    write_shard(images, [Sample("cat-000000", {"png": image, "json": about})])
    write_shard(masks, [Sample("cat-000000", {"png": encode_mask(np.zeros((side, side), np.uint8))})])
    return images, masks


def test_a_truncated_shard(said: Any, study: Study, tmp_path: Path) -> None:
    images, masks = write_pair(tmp_path)
    images.write_bytes(images.read_bytes()[:700])
    spec = json.dumps(spec_of("refine", study, "basic", "caa", "raw", ""))
    message = said(
        "stage",
        "refine",
        "--spec",
        spec,
        "--images",
        images,
        "--scores",
        masks,
        "--output",
        tmp_path / "out.tar",
    )
    assert "images.tar" in message
    assert not list(tmp_path.glob("out*"))


def test_image_and_mask_of_different_sizes(said: Any, tmp_path: Path) -> None:
    images, masks = write_pair(tmp_path, side=32)
    spec = json.dumps({"recipe": "x", "kind": "synthetic", "per_class": None})
    message = said(
        "stage",
        "assemble",
        "--spec",
        spec,
        "--images",
        images,
        "--masks",
        masks,
        "--output",
        tmp_path / "set.json",
    )
    assert "64" in message and "32" in message


def test_a_missing_data_set_or_split(said: Any, tmp_path: Path) -> None:
    spec = {"recipe": "x", "kind": "real", "format": "voc", "split": "train", "number": None, "classes": ["cat"]}
    output = ["--output", tmp_path / "set.json"]
    message = said("stage", "assemble", "--spec", json.dumps({**spec, "folder": str(tmp_path / "none")}), *output)
    assert str(tmp_path / "none") in message
    (tmp_path / "voc" / "JPEGImages").mkdir(parents=True)
    message = said("stage", "assemble", "--spec", json.dumps({**spec, "folder": str(tmp_path / "voc")}), *output)
    assert "train" in message
    assert not (tmp_path / "set.json").exists()


def test_a_full_disk(said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    spec = json.dumps({"prompt_set": "basic", "classes": ["cat"], "per_class": 1})
    message = said("stage", "prompts", "--spec", spec, "--output", tmp_path / "prompts.csv")
    assert "disk is full" in message
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_a_file_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    adapter = ["adapter", "--model", "none", "--images", str(tmp_path), "--prompt", "a cat"]
    assert main([*adapter, "--output", str(tmp_path / "file")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["x" * 300, "dangling", "loop", "pipe", "file/below"])
def test_an_output_that_cannot_be_a_folder_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    assert main(["generate", "--model", str(MODEL), "--class", "cat", "--output", str(tmp_path / output)]) == 2
    said = capsys.readouterr().err
    assert "'--output': " in said and len(said.splitlines()) == 2


def test_an_output_in_a_folder_that_cannot_be_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root can write everywhere
    assert main(["generate", "--model", str(MODEL), "--class", "cat", "--output", str(tmp_path / "out")]) == 2
    assert "cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize("checksums", ["abc", [1], None])
def test_settings_without_checksums(said: Any, tmp_path: Path, checksums: Any) -> None:
    line = ["generate", "--model", MODEL, "--class", "cat", "--number", "1", "--steps", "1", "--output", tmp_path]
    assert main(list(map(str, line))) == 0
    path = tmp_path / "settings.json"
    write_json(path, {**read_json(path, "x"), "checksums": checksums})
    assert "a model that was not noted" in said(*line)
    path.write_text(path.read_text().replace("cat", "dog"))
    message = said(*line)
    assert "not as it was written" in message and f"delete {tmp_path} with its images" in message


def test_a_study_that_cannot_be_read_is_not_called_invalid(
    said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: Path, encoding: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    path = write_study(tmp_path, "repeats: 1", "repeats: 1")
    monkeypatch.setattr(Path, "read_text", closed)
    assert f"{path} cannot be read: Permission denied." in said("check", path)
