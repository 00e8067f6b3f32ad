"""Drawing with the embedded pipeline: the README's lines, and images that do not depend on their batch."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load

import seediff
from seediff.attention.calls import ALL
from seediff.cli import main
from seediff.datasets.augmentation import splice
from seediff.datasets.shards import open_shard, read_shard
from seediff.datasets.training_sets import assemble, load_training_set
from seediff.diffusion.synthesis import Sampling, draw
from seediff.files.sealed import write_csv
from seediff.filtering.pairs import measure_pairs
from seediff.filtering.settings import Filter
from seediff.masks.refinement import Refinement
from seediff.masks.shards import SCORES, refine_shards
from seediff.masks.variants import VARIANTS, named_steps, resolve
from seediff.prompts.prompt_sets import Prompt, make_prompts, read_prompts, write_prompts
from seediff.rng import derive_seed
from seediff.segmenter.settings import segmenter_settings
from seediff.segmenter.views import augment
from seediff.workflow.stages import replay
from seediff.workflow.stages.replay import replay_shard
from seediff.workflow.stages.synthesize import synthesize_shard
from seediff.workflow.study import load_study
from seediff.workflow.study.load import parse_study
from tests.drawing import generate
from tests.stages import spec_of, typed

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "assets" / "pictograms"


def images(pipe: Any, prompts: list[Prompt], batch_size: int) -> list[np.ndarray]:
    return [drawn.image for drawn in draw(pipe, prompts, Sampling(2, 3.0, batch_size))]


def test_an_image_is_the_same_in_any_batch(pipe: Any, prompts: list[Prompt]) -> None:
    alone, together = images(pipe, prompts, 1), images(pipe, prompts, 3)
    for single, batched in zip(alone, together, strict=True):
        # Kernels round differently with the batch size; at most one grey level of 255 may differ.
        assert np.abs(single.astype(int) - batched).max() <= 1
    assert np.abs(alone[0].astype(int) - alone[1]).max() > 50


def test_an_image_is_the_same_in_any_shard(pipe: Any, prompts: list[Prompt]) -> None:
    whole, last = images(pipe, prompts, 2), images(pipe, prompts[3:], 2)
    assert np.abs(whole[3].astype(int) - last[0]).max() <= 1


def test_seeds_depend_on_what_an_image_is() -> None:
    few, many = make_prompts("basic", ["cat"], 2), make_prompts("basic", ["bus", "cat"], 5)
    assert [prompt.rng_seed for prompt in few] == [prompt.rng_seed for prompt in many if prompt.class_name == "cat"][:2]
    seeds = {derive_seed(*parts) for parts in ((0, "a", 1), (0, "b", 1), (1, "a", 1), (0, "a", 2), ("0a", 1))}
    assert len(seeds) == 5


def test_prompts_survive_their_file(tmp_path: Path) -> None:
    made = make_prompts("basic", ["traffic light"], 2, "a photo of a {word}, at night", {"traffic light": "lamp"})
    write_prompts(made, tmp_path / "prompts.csv")
    assert read_prompts(tmp_path / "prompts.csv") == made
    assert made[0].prompt == "a photo of a lamp, at night" and made[0].key == "traffic-light-000000"


def test_a_prompt_set_says_where_the_word_is_only_if_its_prompts_do_not(tmp_path: Path) -> None:
    once, twice = (make_prompts("basic", ["train", "bus"], 1, f"a {word} on a {{word}}") for word in ("seat", "train"))
    assert [prompt.word_starts for prompt in once] == [(12,), (12,)] and [prompt.word_starts for prompt in twice] == [
        (13,),
        (13,),
    ]
    for prompts, name in ((once, "once.csv"), (twice, "twice.csv")):
        write_prompts(prompts, tmp_path / name)
        assert read_prompts(tmp_path / name) == prompts
    columns = "key,class_name,index,prompt,class_word,rng_seed"
    assert (tmp_path / "once.csv").read_text().splitlines()[0] == f"{columns},seal"
    header, *rows = (tmp_path / "twice.csv").read_text().splitlines()
    assert header == f"{columns},word_starts,seal"
    assert [row.split(",")[-2] for row in rows] == ["13", ""]  # 'a train on a bus' has its word once
    assert [json.loads(json.dumps(prompt.row())).get("word_starts") for prompt in twice] == [[13], None]


def test_of_several_places_none_is_guessed(tmp_path: Path) -> None:
    every = make_prompts("basic", ["train"], 1, "a {word} and a {word}")
    write_prompts([replace(every[0], word_starts=())], tmp_path / "every.csv")
    assert read_prompts(tmp_path / "every.csv") == every and every[0].word_starts == (2, 14)
    row = {key: value for key, value in every[0].row().items() if key != "word_starts"}
    write_csv(tmp_path / "prompts.csv", [row])
    with pytest.raises(seediff.SeediffError, match=r"line 2 has its word 'train' more than once(.|\n)*delete"):
        read_prompts(tmp_path / "prompts.csv")


@pytest.mark.parametrize("starts", ["0", "2 11", "-1", "x", "99", "1" * 5000])
def test_a_word_that_is_not_where_its_prompt_set_says_is_refused(tmp_path: Path, starts: str) -> None:
    (prompt,) = make_prompts("basic", ["train"], 1, "a seat or train on a {word}")
    write_csv(tmp_path / "prompts.csv", [prompt.row() | {"word_starts": starts}])
    with pytest.raises(seediff.SeediffError, match=r"prompts\.csv, line 2(: class word 'train'| is not a prompt)"):
        read_prompts(tmp_path / "prompts.csv")


def test_a_templates_word_is_looked_for_in_its_place(pipe: Any, tmp_path: Path) -> None:
    prompts = [
        *make_prompts("x", ["train"], 1, "a train seat on a {word}"),
        *make_prompts("y", ["cat"], 1, "a {word} and a {word}"),
        *make_prompts("z", ["cat"], 1, "a photo of {word}s"),
    ]
    spec = spec_of("synthesize", load_study(ROOT / "config/studies/smoke.yaml"), "basic")
    spec["diffusion"] = {**spec["diffusion"], "model": str(MODEL), "num_inference_steps": 1}
    synthesize_shard(typed("synthesize", spec), prompts[:1], tmp_path / "images.tar", tmp_path / "scores.tar")
    shard = open_shard(tmp_path / "images.tar")
    assert json.loads(shard.read("train-000000", "json")) == prompts[0].row() | {"word_starts": [18]}
    for drawn, columns in zip(draw(pipe, prompts, Sampling(1, 3.0, 3)), [(6,), (2, 5), (4, 5)], strict=True):
        maps = drawn.recorded[ALL].cross_attention[16, 16][:, list(columns)].mean(1)
        assert torch.equal(drawn.class_maps().cross_attention[16, 16].flatten(), maps)


def test_a_replay_repeats_the_scores_of_the_first_pass(tmp_path: Path, prompts: list[Prompt]) -> None:
    spec = spec_of("synthesize", load_study(ROOT / "config/studies/smoke.yaml"), "basic")
    spec["diffusion"] = {**spec["diffusion"], "model": str(MODEL), "num_inference_steps": 2}
    synthesize_shard(typed("synthesize", spec), prompts[:2], tmp_path / "images.tar", tmp_path / "scores.tar")
    replay_shard(typed("replay", spec), prompts[:2], None, tmp_path / "again.tar")
    assert (tmp_path / "scores.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()


LOOKS: dict[str, Any] = {
    "look": [{"look_again": {"timestep": 150}}, "ca_sa"],
    "late": [{"record": {"timesteps": "late"}}, "seediff"],
}


def test_a_later_look_gives_the_scores_of_a_look_while_drawing(tmp_path: Path, prompts: list[Prompt]) -> None:
    smoke = load_study(ROOT / "config/studies/smoke.yaml")
    images, scores, later = (tmp_path / f"{name}.tar" for name in ("images", "scores", "later"))
    spec = spec_of("synthesize", smoke, "basic")
    spec["diffusion"] = {**spec["diffusion"], "model": str(MODEL), "num_inference_steps": 2}
    resolved = {name: resolve(named_steps(steps)) for name, steps in LOOKS.items()}
    spec["variants"] = {**resolved, "caa": resolve(VARIANTS["caa"])}
    synthesize_shard(typed("synthesize", spec), prompts[:3], images, scores)
    spec["variants"] = {"look": resolved["look"]}
    replay_shard(typed("replay", spec), prompts[:3], images, later)
    for drawn, looked in zip(read_shard(scores), read_shard(later), strict=True):
        drawn_scores, later_scores = load(drawn.files[SCORES]), load(looked.files[SCORES])
        assert [*later_scores] == ["look"] and np.array_equal(drawn_scores["look"], later_scores["look"])
        assert len({array.tobytes() for array in drawn_scores.values()}) == 3
    with pytest.raises(seediff.SeediffError, match="does not hold the images of these prompts"):
        replay_shard(typed("replay", spec), prompts[1:3], images, later)


def test_a_pass_that_only_looks_again_reads_the_finished_images() -> None:
    content = load_study(ROOT / "config/studies/smoke.yaml").model_dump(mode="json")
    content["variants"] |= LOOKS
    for variants, images in ((["look"], ["results/smoke/images/basic/cat/0000.tar"]), (["look", "late"], [])):
        content["passes"]["looks"] = {"image_set": "basic", "variants": variants}
        study = parse_study(content)
        assert replay.inputs(study, "looks", "cat", "0000")["images"] == images
        assert replay.spec(study, "looks").variants["look"][0] == ("look_again", {"timestep": 150})


def test_the_readme_lines_work_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert lines is not None and len(lines[1].splitlines()) == 5
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(lines[1], names)
    mask, image = names["mask"], names["image"]
    assert isinstance(image, Image.Image)
    assert mask.shape == (image.height, image.width) and mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    score = seediff.make_score(names["recording"].maps[0], "cat", variant="ire")
    assert score.shape == (32, 32) and score.min() >= 0 and score.max() <= 1


def test_generate_writes_pairs_and_keeps_finished_ones(tmp_path: Path) -> None:
    def run() -> int:
        return generate(str(MODEL), ["cat", "tv monitor"], 1, tmp_path, num_inference_steps=2)

    assert run() == 2
    names = {"cat-000000.png", "tv-monitor-000000.png"}
    for folder in ("train/images", "train/masks", "overlays"):
        assert {path.name for path in (tmp_path / folder).iterdir()} == names
    mask = np.asarray(Image.open(tmp_path / "train" / "masks" / "tv-monitor-000000.png"))
    assert mask.shape == (64, 64) and set(np.unique(mask)) <= {0, 2} and mask.any()
    assert (tmp_path / "classes.csv").read_text().split() == ["label,class", "0,background", "1,cat", "2,tv", "monitor"]
    lost = tmp_path / "train" / "images" / "cat-000000.png"
    before, other = lost.read_bytes(), tmp_path / "train" / "images" / "tv-monitor-000000.png"
    lost.unlink()
    stamp = other.stat().st_mtime_ns
    assert run() == 2
    assert lost.read_bytes() == before and other.stat().st_mtime_ns == stamp


def test_a_folder_of_an_earlier_layout_is_refused(tmp_path: Path) -> None:
    generate(str(MODEL), ["cat"], 1, tmp_path, num_inference_steps=1)
    for kind in ("images", "masks"):
        (tmp_path / "train" / kind).rename(tmp_path / kind)
    with pytest.raises(seediff.SeediffError, match="where an earlier version put them"):
        generate(str(MODEL), ["cat"], 1, tmp_path, num_inference_steps=1)
    assert not (tmp_path / "train" / "images").exists()


CLASSES_CALLED_AS_SPLITS = ["cat", "train", "bullet train", "test"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``generate`` writes for classes that are named like splits; the second call asks for fewer images."""
    folder = tmp_path_factory.mktemp("drawn") / "pairs"
    for number in (2, 1):
        generate(str(MODEL), CLASSES_CALLED_AS_SPLITS, number, folder, num_inference_steps=1, variant="caa")
    return folder


def imagefolder_splits(folder: Path) -> dict[str, set[str]]:
    """Which files Hugging Face's loader takes for which split: by names of folders, else of files, else all for train.

    A name counts if a word in it is a keyword; words end at '-', '.', '_', a space or a digit.
    """
    keywords = {
        "train": "train|training", "validation": "validation|valid|dev|val", "test": "test|testing|eval|evaluation",
    }  # fmt: skip
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    for names in (lambda file: file.parent.parts, lambda file: [file.name]):
        splits = {
            split: {
                file.as_posix()
                for file in files
                if any(re.search(rf"(^|[-._ 0-9])({words})($|[-._ 0-9])", name) for name in names(file))
            }
            for split, words in keywords.items()
        }
        if any(splits.values()):
            return {split: found for split, found in splits.items() if found}
    return {"train": {file.as_posix() for file in files}}


def test_imagefolder_finds_one_split_that_holds_every_pair(pairs: Path) -> None:
    keys = {f"{name.replace(' ', '-')}-{index:06d}" for name in CLASSES_CALLED_AS_SPLITS for index in range(2)}
    expected = {f"train/{kind}/{key}.png" for kind in ("images", "masks") for key in keys}
    assert imagefolder_splits(pairs) == {"train": {*expected, "train/metadata.jsonl"}}
    rows = [json.loads(line) for line in (pairs / "train" / "metadata.jsonl").read_text().splitlines()]
    assert {row["file_name"] for row in rows} | {row["mask_file_name"] for row in rows} == {
        name.removeprefix("train/") for name in expected
    }
    assert {(row["class"], row["label"]) for row in rows} == {*zip(CLASSES_CALLED_AS_SPLITS, (1, 2, 3, 4))}
    for row in rows:
        mask = np.asarray(Image.open(pairs / "train" / row["mask_file_name"]))
        assert row["file_name"].split("/")[1] == row["mask_file_name"].split("/")[1]
        assert set(np.unique(mask)) <= {0, row["label"]} and row["text"] == f"a photo of a {row['class']}"


def test_imagefolder_reads_the_pairs(pairs: Path, tmp_path: Path) -> None:
    """Where Hugging Face's datasets are installed."""
    datasets = pytest.importorskip("datasets")
    read = datasets.load_dataset("imagefolder", data_dir=str(pairs), cache_dir=str(tmp_path))
    assert set(read) == {"train"} and len(read["train"]) == 8
    for row in read["train"]:
        assert row["image"].mode == "RGB" and set(np.unique(np.asarray(row["mask"]))) <= {0, row["label"]}


def test_a_folder_of_more_images_than_are_asked_for_says_so(tmp_path: Path, capsys: Any) -> None:
    line = ["generate", "--model", str(MODEL), "--class", "cat", "--steps", "1", "--output", str(tmp_path)]
    said = []
    for number in ("2", "1"):
        assert main([*line, "--number", number]) == 0
        said.append(capsys.readouterr().out)
    assert said[0].startswith("2 images with masks in ") and "asked" not in said[0]
    assert "cat-000001" in (tmp_path / "gallery.html").read_text() and "gallery.html" in said[0]
    assert said[1].startswith("2 images with masks in ") and "1 of them were asked for" in said[1]


def test_there_is_a_class_to_draw(tmp_path: Path) -> None:
    with pytest.raises(seediff.SeediffError, match="classes is empty, but needs an entry"):
        generate(str(MODEL), [], 1, tmp_path)
    with pytest.raises(seediff.SeediffError, match="no classes to make prompts for"):
        make_prompts("basic", [], 1)
    assert not any(tmp_path.iterdir())


def test_the_same_model_by_another_path_is_the_same_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for model in ("assets/pictograms", str(MODEL), "./assets/../assets/pictograms"):
        assert generate(model, ["cat"], 1, tmp_path / "out", num_inference_steps=2) == 1
    (tmp_path / "out" / "train" / "images" / "cat-000000.png").unlink()
    assert generate(str(MODEL), ["cat"], 1, tmp_path / "out", num_inference_steps=2) == 1


@pytest.mark.parametrize(
    ("file", "edit", "words"),
    [
        ("unet/diffusion_pytorch_model.safetensors", lambda content: content[:-1] + b"\x01", "other weights, by"),
        (
            "scheduler/scheduler_config.json",
            lambda content: content.replace(b"v_prediction", b"epsilon"),
            "other configuration,",
        ),
    ],
)
def test_images_of_a_model_that_has_changed_at_its_path_are_not_gone_on_with(
    tmp_path: Path, file: str, edit: Callable[[bytes], bytes], words: str
) -> None:
    model, out = Path(shutil.copytree(MODEL, tmp_path / "model")), tmp_path / "out"
    assert generate(str(model), ["cat"], 1, out, num_inference_steps=2) == 1
    (model / file).write_bytes(edit((model / file).read_bytes()))
    before = sorted(out.rglob("*"))
    with pytest.raises(seediff.SeediffError, match=f"another model: {words}"):
        generate(str(model), ["cat"], 2, out, num_inference_steps=2)
    assert sorted(out.rglob("*")) == before


def test_a_folder_that_lost_its_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(seediff.SeediffError, match=r"holds images, but no settings\.json"):
        generate(str(MODEL), ["cat"], 1, tmp_path, num_inference_steps=2)


def test_a_variant_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(seediff.SeediffError, match="1/8"):
        generate(str(MODEL), ["cat"], 1, tmp_path, variant="ca_8", num_inference_steps=2)
    assert not any(tmp_path.iterdir())
    assert generate(str(MODEL), ["cat"], 1, tmp_path, variant="ca_16", num_inference_steps=2) == 1


def test_the_embedded_pipeline_is_small_and_safe() -> None:
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 16e6
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}


def test_a_prompt_without_its_word_is_refused_before_drawing(pipe: Any, prompts: list[Prompt]) -> None:
    with pytest.raises(seediff.errors.SeediffError, match="'cat' is not in the prompt"):
        next(draw(pipe, [prompts[2], replace(prompts[0], prompt="a photo of a dog")], Sampling(2, 3.0, 2)))


@pytest.mark.parametrize(
    ("lost", "options", "message"),
    [
        ("tokenizer", {}, "its part 'tokenizer' is missing"),
        ("unet", {}, "its part 'unet' is missing"),
        (None, {"device": "gpu"}, "The device 'gpu' cannot be used"),
        (None, {"dtype": "half"}, "one of float32, bfloat16, float16"),
    ],
)
def test_a_model_that_cannot_be_loaded(tmp_path: Path, lost: str | None, options: dict[str, str], message: str) -> None:
    shutil.copytree(MODEL, tmp_path / "model")
    if lost:
        shutil.rmtree(tmp_path / "model" / lost)
    with pytest.raises(seediff.SeediffError, match=message):
        seediff.load(tmp_path / "model", **options)


def test_images_that_are_not_square_become_pairs(tmp_path: Path, prompts: list[Prompt]) -> None:
    spec = spec_of("synthesize", load_study(ROOT / "config/studies/smoke.yaml"), "basic")
    size = {"model": str(MODEL), "num_inference_steps": 1, "height": 48, "width": 80}
    spec["diffusion"] = {**spec["diffusion"], **size}
    spec["variants"] = {name: resolve(named_steps(steps)) for name, steps in LOOKS.items()}
    images, scores, masks = (tmp_path / f"{name}.tar" for name in ("images", "scores", "masks"))
    synthesize_shard(typed("synthesize", spec), prompts[:2], images, scores)
    assert {array.shape for sample in read_shard(scores) for array in load(sample.files[SCORES]).values()} == {(24, 40)}
    refine_shards([images], [scores], ["cat"], {"cat": "look"}, Refinement(threshold=0.3), True, masks)
    (first, _) = measure_pairs([images], [scores], [masks], [], {"cat": "look"}, Filter(agreement_with=()))
    assert 0 <= first.measures["area"] <= 1
    assemble([images], [masks], None, tmp_path / "pairs.json")
    image, labels = load_training_set(tmp_path / "pairs.json")[0]
    assert (image.shape, labels.shape) == ((48, 80, 3), (48, 80))
    view = augment(np.random.default_rng(0), *splice([(image, labels)] * 4, (2, 2)), segmenter_settings("resnet-mini"))
    assert view[0].shape[:2] == view[1].shape
