"""Segmenters of one's own: trained, tested and asked by commands, with the same weights as the workflow's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor, pipeline

from seediff.cli import main
from seediff.datasets.annotated import open_annotated
from seediff.datasets.images import decode_mask, decode_rgb, encode_labels, encode_png
from seediff.datasets.training_sets import TrainingSet
from seediff.errors import SeediffError
from seediff.segmenter.confusions import image_confusions
from seediff.segmenter.evaluate import confusion, count_pixels, load_segmenter, predict
from seediff.segmenter.folders import WEIGHTS
from seediff.segmenter.own import evaluate_segmenter, own_settings, summary, train_segmenter
from seediff.segmenter.train import train

CLASSES = ("ball", "box")
SHORT = {"iterations": 30, "batch_size": 4, "crop": 64, "queries": 6, "points": 128, "warmup": 3}


def scene(seed: int, height: int = 64, width: int = 80) -> tuple[Any, Any]:
    """A red disc and a blue square on grey: (H, W, 3) uint8 and labels (H, W)."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.uint8)
    labels[(down - rng.integers(12, 30)) ** 2 + (right - rng.integers(12, 60)) ** 2 < 100] = 1
    top, left = rng.integers(30, 44), rng.integers(2, 60)
    labels[top : top + 18, left : left + 18] = 2
    colours = np.array([[120, 120, 120], [220, 30, 30], [30, 30, 220]])
    return (colours[labels] + rng.integers(-20, 20, (height, width, 3))).astype(np.uint8), labels


def write_data(folder: Path, number: int) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for seed in range(number):
        image, labels = scene(seed)
        (folder / "images" / f"{seed:03d}.png").write_bytes(encode_png(image))
        (folder / "masks" / f"{seed:03d}.png").write_bytes(encode_labels(labels))
    (folder / "classes.csv").write_text("label,class\n0,background\n1,ball\n2,box\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "scenes", 12)


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter that has learnt for some seconds."""
    folder = tmp_path_factory.mktemp("model") / "segmenter"
    settings = own_settings("resnet-mini", **{**SHORT, "iterations": 120})
    train_segmenter(open_annotated(data), settings, folder, rng_seed=3)
    return folder


def test_what_is_left_is_the_model(model: Path) -> None:
    assert {path.name for path in model.iterdir()} == {
        "model.safetensors", "segmenter.json", "config.json", "preprocessor_config.json", "history.csv"
    }  # fmt: skip


def test_it_has_learnt(model: Path, data: Path) -> None:
    segmenter = load_segmenter(model)
    assert segmenter.classes == ("background", *CLASSES)
    numbers = summary(segmenter.classes, evaluate_segmenter(segmenter, open_annotated(data)))
    assert numbers["images"] == 12 and numbers["miou"] > 60
    matrix = np.array(numbers["confusion"])
    assert matrix.sum() == 12 * 64 * 80
    expected = [matrix[k, k] / (matrix[k].sum() + matrix[:, k].sum() - matrix[k, k]) for k in range(3)]
    assert [*numbers["iou"].values()] == pytest.approx(np.multiply(100, expected), abs=0.006)


def test_training_by_both_ways_gives_the_same_weights(data: Path, tmp_path: Path) -> None:
    """As the workflow trains (``workflow.stages.train``), and by the command."""
    settings, pairs = own_settings("resnet-mini", **SHORT), TrainingSet([open_annotated(data)])
    train(pairs, settings, ["background", *CLASSES], tmp_path / "a", tmp_path / "state", 5, pairs_digest=pairs.digest)
    options = ["--iterations", "30", "--batch-size", "4", "--crop", "64", "--rng-seed", "5"]
    assert main(["train", str(data), "--output", str(tmp_path / "b"), "--segmenter", "resnet-mini", *options]) == 0
    own = own_settings("resnet-mini", iterations=30, batch_size=4, crop=64)
    train_segmenter(open_annotated(data), own, tmp_path / "c", rng_seed=5)
    train_segmenter(open_annotated(data), settings, tmp_path / "d", rng_seed=5)
    for ours, theirs in (("a", "d"), ("b", "c")):
        one, other = (load_file(tmp_path / name / WEIGHTS) for name in (ours, theirs))
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)


def test_a_folder_with_a_segmenter_is_not_written_over(
    model: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (model / WEIGHTS).read_bytes()
    assert main(["train", str(data), "--output", str(model), "--segmenter", "resnet-mini"]) == 1
    assert "already holds a segmenter" in capsys.readouterr().err
    assert (model / WEIGHTS).read_bytes() == before


def test_classes_that_are_left_out_are_background(data: Path, tmp_path: Path) -> None:
    options = ["--class", "box", "--segmenter", "resnet-mini", "--iterations", "2", "--batch-size", "2"]
    assert main(["train", str(data), "--output", str(tmp_path / "m"), *options]) == 0
    assert load_segmenter(tmp_path / "m").classes == ("background", "box")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--segmenter", "resnet-51"], "Did you mean 'resnet-50'"),
        (["--class", "bal"], "Did you mean 'ball'"),
        (["--crop", "50"], "multiple of 32"),
        (["--format", "vox"], "Did you mean 'voc'"),
        (["--split", "train"], "train"),
        (["--pretrained", "no/folder/here/at/all"], "could not be loaded"),
    ],
)
def test_wrong_trainings_are_refused(
    data: Path, tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [] if "--segmenter" in options else ["--segmenter", "resnet-mini"]
    assert main(["train", str(data), "--output", str(tmp_path / "m"), *own, *options]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_photographs_are_predicted(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed, size in enumerate([(64, 64), (96, 64), (64, 131)]):
        Image.fromarray(scene(100 + seed, *size)[0]).save(folder / f"{seed}.jpg", quality=95)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["predict", str(model), str(folder), "--output", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().out
    assert "1 photographs were left out" in printed and "broken.png" in printed
    segmenter = load_segmenter(model)
    for seed in range(3):
        image = decode_rgb((folder / f"{seed}.jpg").read_bytes(), "photograph")
        labels = decode_mask((tmp_path / "out/masks" / f"{seed}.png").read_bytes(), "mask")
        np.testing.assert_array_equal(labels, predict(segmenter, image[None])[0])
    again = open_annotated(tmp_path / "out")
    assert again.classes == CLASSES and len(again) == 3
    (folder / "broken.png").unlink()
    assert main(["predict", str(model), str(folder), "--output", str(tmp_path / "out")]) == 0


def test_predictions_are_compared_with_label_maps(model: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    labels = tmp_path / "labels"
    shutil.copytree(data / "masks", labels)
    (labels / "000.png").unlink()
    arguments = ["predict", str(model), str(data / "images"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--labels", str(labels)]) == 0
    printed, written = capsys.readouterr().out, json.loads((tmp_path / "out/metrics.json").read_text())
    segmenter, names = load_segmenter(model), [f"{seed:03d}.png" for seed in range(1, 12)]
    truth = {name: decode_mask((labels / name).read_bytes(), name) for name in names}
    images = ((name, decode_rgb((data / "images" / name).read_bytes(), name), truth[name]) for name in names)
    assert written["confusion"] == confusion(segmenter, images).tolist()
    assert "11 images" in printed and f"{written['miou']:.1f}" in printed
    assert f"1 of 12 photographs have no label map in {labels}" in printed


def test_only_the_photographs_of_a_call_are_compared(model: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    image, output = data / "images" / "003.png", tmp_path / "out"
    arguments = ["predict", str(model), "--output", str(output), "--labels", str(data / "masks")]
    assert main([*arguments, str(data / "images")]) == 0
    assert main([*arguments, str(image)]) == 0
    assert json.loads((output / "metrics.json").read_text())["images"] == 1
    assert "no label map" not in capsys.readouterr().out
    assert main([*arguments[:-2], str(image)]) == 0
    assert not (output / "metrics.json").exists()


def test_a_prediction_with_a_label_that_is_no_class_is_refused(
    model: Path, data: Path, tmp_path: Path, capsys: Any
) -> None:
    arguments = ["predict", str(model), str(data / "images" / "003.png"), "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    mask = tmp_path / "out/masks/003.png"
    mask.write_bytes(encode_labels(np.full((64, 80), 7, np.uint8)))
    assert main([*arguments, "--labels", str(data / "masks")]) == 1
    assert f"{mask} holds 7, but the segmenter has only classes 0 to 2" in capsys.readouterr().err


def test_another_photograph_of_the_same_name_is_not_taken_for_predicted(
    model: Path, data: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "003.png").write_bytes((data / "images" / "004.png").read_bytes())
    for image, code in ((data / "images" / "003.png", 0), (tmp_path / "003.png", 1)):
        assert main(["predict", str(model), str(image), "--output", str(tmp_path / "out")]) == code
    assert "holds another 003.png" in capsys.readouterr().err


def test_an_evaluation_of_ignored_pixels_alone_is_refused() -> None:
    ignored = count_pixels("a", np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8), 2)
    with pytest.raises(SeediffError, match="All pixels are ignored"):
        summary(("background", "ball"), image_confusions([("a", ignored)], 2))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"other.png": np.zeros((64, 80), np.uint8)}, "no label map of one of these photographs, such as 000.png"),
        ({"003.png": np.full((64, 80), 255, np.uint8)}, "All pixels are ignored"),
        ({"003.png": np.zeros((64, 64), np.uint8)}, "003.png"),
        ({"003.png": np.full((64, 80), 7, np.uint8)}, "hold 7"),
    ],
)
def test_label_maps_that_do_not_fit_are_refused(
    model: Path, data: Path, tmp_path: Path, capsys: Any, labels: dict[str, Any], words: str
) -> None:
    (tmp_path / "labels").mkdir()
    for name, pixels in labels.items():
        (tmp_path / "labels" / name).write_bytes(encode_labels(pixels))
    arguments = ["predict", str(model), str(data / "images"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--labels", str(tmp_path / "labels")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out/metrics.json").exists()


def test_another_segmenter_does_not_go_on(model: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["predict", str(model), str(data / "images"), "--output", str(tmp_path / "out")]) == 0
    train_segmenter(open_annotated(data), own_settings("resnet-mini", **{**SHORT, "iterations": 2}), tmp_path / "other")
    assert main(["predict", str(tmp_path / "other"), str(data / "images"), "--output", str(tmp_path / "out")]) == 1
    assert "another model: other segmenter" in capsys.readouterr().err


def test_numbers_of_an_evaluation(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(model), str(data), "--output", str(tmp_path / "numbers.json")]) == 0
    printed = capsys.readouterr().out
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert f"{numbers['miou']:.1f}" in printed
    assert [*numbers["iou"]] == ["background", *CLASSES]
    assert main(["evaluate", str(data), str(data)]) == 1
    assert "could not be read" in capsys.readouterr().err


def test_transformers_pipeline_gives_the_same_map(model: Path) -> None:
    image = scene(50, 64, 64)[0]
    ours = predict(load_segmenter(model), image[None])[0]
    network = Mask2FormerForUniversalSegmentation.from_pretrained(model)
    processor = Mask2FormerImageProcessor.from_pretrained(model)
    segment = pipeline("image-segmentation", model=network, image_processor=processor, subtask="semantic")
    found = np.zeros_like(ours)
    for part in segment(Image.fromarray(image)):
        found[np.asarray(part["mask"]) > 0] = ("background", *CLASSES).index(part["label"])
    assert (found == ours).mean() > 0.999


def test_the_settings_of_a_full_size_backbone_are_for_a_single_gpu() -> None:
    settings = own_settings("swin-tiny", crop=384)
    assert (settings.iterations, settings.batch_size, settings.test_edge) == (5000, 8, 384)
    assert own_settings("resnet-50", iterations=100).iterations == 100


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet-mini", "swin-mini"])
def test_onnx_gives_the_same_scores(backbone: str, data: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    settings = own_settings(backbone, **{**SHORT, "iterations": 2})
    train_segmenter(open_annotated(data), settings, tmp_path / "m")
    line = ["onnx", str(tmp_path / "m"), "--height", "64", "--width", "80", "--output", str(tmp_path / "m.onnx")]
    assert main(line) == 0
    image = scene(70)[0][None]
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"image": image})
    assert scores.shape == (1, 3, 64, 80)
    np.testing.assert_array_equal(scores[0].argmax(0), predict(load_segmenter(tmp_path / "m"), image)[0])
