"""Data sets that users bring along: folders of images and masks, and how the format of a folder is recognised."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seediff.datasets import cityscapes
from seediff.datasets.annotated import open_annotated
from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.class_lists import read_class_list
from seediff.datasets.colour_tables import decode_coloured
from seediff.datasets.imagenet_s import NAMES
from seediff.datasets.images import encode_jpeg, encode_labels, encode_mask, encode_png
from seediff.datasets.registry import CUSTOM, list_datasets
from seediff.datasets.training_sets import assemble_real, load_training_set
from seediff.datasets.unlabelled import benchmark_images
from seediff.datasets.verification import check_dataset
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.workflow.sources import Data, real_data
from seediff.workflow.study import Study, check_paths
from seediff.workflow.study.data_formats import number_of_images
from seediff.workflow.study.load import parse_study
from tests.conftest import ROOT

LABELS = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
CLASSES = "label,class\n0,background\n1,cat\n2,dog\n"


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, 3, 3), np.uint8)


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_folder(folder: Path, names: Sequence[str] = ("a", "b"), classes: str = CLASSES) -> Path:
    """A folder as `seediff generate` lays it out, with masks that differ."""
    for at, name in enumerate(names):
        write(folder / "train" / "images" / f"{name}.png", encode_png(image(at)))
        write(folder / "train" / "masks" / f"{name}.png", encode_mask(np.roll(LABELS, at)))
    write(folder / "classes.csv", classes)
    return folder


def test_a_generated_folder(tmp_path: Path) -> None:
    found = open_annotated(write_folder(tmp_path))
    assert found.classes == ("cat", "dog") and found.names == ["a", "b"] and len(found) == 2
    for at, (pixels, labels) in enumerate([found[0], found[1]]):
        assert np.array_equal(pixels, image(at)) and np.array_equal(labels, np.roll(LABELS, at))
        assert pixels.dtype == labels.dtype == np.uint8
    assert found.identity == open_annotated(tmp_path).identity


def test_some_classes_in_their_own_order(tmp_path: Path) -> None:
    found = open_annotated(write_folder(tmp_path), "folder", "train", ["dog"])
    assert found.classes == ("dog",) and found[0][1].tolist() == [[0, 0, 1], [1, 255, 0]]
    with pytest.raises(SeediffError, match=r"folder has no class 'dgo'\.\nDid you mean 'dog'\?"):
        open_annotated(tmp_path, classes=["dgo"])


@pytest.mark.parametrize("format", ["voc", "cityscapes", "ade20k"])
def test_known_data_sets_are_recognised(tmp_path: Path, format: str) -> None:
    write_domain(format, tmp_path / "data", train=1, val=1, rng_seed=0)
    found = open_annotated(tmp_path / "data", split="val")
    named = open_annotated(tmp_path / "data", format, "val")
    assert found.identity == named.identity and len(found) == 1
    assert {*np.unique(found[0][1])} <= {*range(len(found.classes) + 1), 255}
    with pytest.raises(SeediffError, match=r"has the splits train, val.*\nSay which"):
        open_annotated(tmp_path / "data")


def saved(picture: Image.Image, **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, **{"format": "PNG", **options})
    return buffer.getvalue()


def refusal(folder: Path, *arguments: Any, index: int | None = None, **names: Any) -> str:
    """What opening it says, or, with an ``index``, reading that image."""
    if index is not None:
        found = open_annotated(folder, *arguments, **names)
    with pytest.raises(SeediffError) as caught:
        open_annotated(folder, *arguments, **names) if index is None else found[index]
    assert str(caught.value).count("\n") < 3
    return str(caught.value)


# --- how a folder is recognised


def test_a_folder_like_no_other_is_refused_with_what_is_known(tmp_path: Path) -> None:
    text = refusal(tmp_path)
    assert "laid out like no data set" in text and all(f"{name} (" in text for name in ("voc", *CUSTOM))
    assert "There is no folder" in refusal(tmp_path / "nowhere")
    assert "There is no folder" in refusal(tmp_path / "nowhere", "folder")
    for name, custom in CUSTOM.items():
        assert f"is not laid out as {name}.\nIt should hold {custom.layout}" in refusal(tmp_path, name)
        assert "is not laid out as" in refusal(tmp_path, name, "train")
    assert "no data set format 'foldr'.\nDid you mean 'folder'?" in refusal(tmp_path, "foldr")


def test_a_folder_like_two_is_refused(tmp_path: Path) -> None:
    write_domain("voc", tmp_path / "data", train=1, val=1, rng_seed=0)
    write_folder(tmp_path / "data")
    (tmp_path / "data" / "domain.json").unlink()
    assert "could be voc or folder.\nSay which" in refusal(tmp_path / "data")
    assert open_annotated(tmp_path / "data", "folder").names == ["a", "b"]


def test_the_full_ade20k_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "images" / "ADE" / "training").mkdir(parents=True)
    for arguments in ((), ("ade20k", "train")):
        text = refusal(tmp_path, *arguments)
        assert "the full ADE20K" in text and "pickle" in text and "ADEChallengeData2016.zip" in text


@pytest.mark.parametrize("subset", [50, 300])
def test_subsets_of_imagenet_s_are_told_apart_by_their_classes(tmp_path: Path, subset: int) -> None:
    for folder in ("train-semi", "train-semi-segmentation", "validation", "validation-segmentation"):
        for wnid in NAMES[subset]:
            (tmp_path / folder / wnid).mkdir(parents=True)
    assert "has the splits train, val" in refusal(tmp_path)
    assert f"imagenet_s{subset} has no class 'hen house'" in refusal(tmp_path, split="val", classes=["hen house"])
    (tmp_path / "train-semi" / next(iter(NAMES[subset]))).rmdir()
    assert "laid out like no data set" in refusal(tmp_path)


def test_more_classes_than_labels_of_a_byte(tmp_path: Path) -> None:
    write_domain("imagenet_s919", tmp_path / "data", train=1, val=1, rng_seed=0)
    assert "has 919 classes, but labels of one byte can tell 254 apart" in refusal(
        tmp_path / "data", "imagenet_s919", "val"
    )
    assert open_annotated(tmp_path / "data", "imagenet_s919", "val", ["lemon"])[0][1].dtype == np.uint8


# --- the layouts of a folder


def write_flat(folder: Path, names: Sequence[str] = ("a", "b", "c")) -> Path:
    for at, name in enumerate(names):
        write(folder / "images" / f"{name}.jpg", encode_jpeg(image(at)))
        write(folder / "masks" / f"{name}.png", encode_labels(LABELS))
    write(folder / "classes.txt", "background\ncat\ndog\n")
    return folder


def test_images_and_masks_without_splits(tmp_path: Path) -> None:
    found = open_annotated(write_flat(tmp_path))
    assert found.names == ["a", "b", "c"] and found.classes == ("cat", "dog")
    assert found[2][1].tolist() == LABELS.tolist() and found.identity.startswith("folder all")


def test_lists_make_splits(tmp_path: Path) -> None:
    write_flat(tmp_path)
    write(tmp_path / "train.txt", "\ufeffc\r\na.jpg\r\n\r\n")
    write(tmp_path / "val.txt", "b\n")
    write(tmp_path / "README.txt", "Taken in May.\n")
    assert open_annotated(tmp_path, split="train").names == ["c", "a"]
    assert open_annotated(tmp_path, split="val").names == ["b"]
    assert "has the splits train, val" in refusal(tmp_path)
    assert "no split 'vla'.\nDid you mean 'val'?" in refusal(tmp_path, split="vla")


def test_subfolders_of_images_and_masks_are_splits(tmp_path: Path) -> None:
    for name in ("train", "val"):
        write(tmp_path / "images" / name / "a.png", encode_png(image(len(name))))
        write(tmp_path / "masks" / name / "a.png", encode_labels(LABELS))
    write(tmp_path / "classes.txt", "cat\ndog\n")
    assert "has the splits train, val" in refusal(tmp_path)
    found = open_annotated(tmp_path, split="val")
    assert found.names == ["a"] and np.array_equal(found[0][0], image(3))
    write(tmp_path / "list.txt", "train/a\nval/a.png\n")
    assert open_annotated(tmp_path).names == ["train_a", "val_a"]
    (tmp_path / "list.txt").unlink()
    (tmp_path / "masks" / "val").rename(tmp_path / "masks" / "vla")
    assert "missing label file" in refusal(tmp_path, split="val")


@pytest.mark.parametrize("line", ["../../etc/passwd", "/etc/passwd", "a//b", "a\\b", "./a", "a\x1b[2J"])
def test_lists_stay_in_their_folder(tmp_path: Path, line: str) -> None:
    write(write_flat(tmp_path) / "val.txt", f"{line}\n")
    text = refusal(tmp_path)
    assert "val.txt: " in text and "is no path below a folder" in text and "\x1b" not in text and len(text) < 999


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    write(write_flat(tmp_path) / "val.txt", b"a\xff")
    assert "val.txt: 'utf-8'" in refusal(tmp_path)
    (tmp_path / "val.txt").unlink()
    os.mkfifo(tmp_path / "val.txt")
    assert "val.txt is not a file" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("a\na\n", "image listed twice"),
        ("a\nd\n", "missing image"),
        ("", "lists no images"),
        ("A\n", "(there is a.jpg)"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, lines: str, problem: str) -> None:
    write(write_flat(tmp_path) / "val.txt", lines)
    text = refusal(tmp_path)
    assert problem in text and "archive" not in text


def test_any_suffix_and_subfolders(tmp_path: Path) -> None:
    write_flat(tmp_path, ["a"])
    (tmp_path / "images" / "a.jpg").rename(tmp_path / "images" / "a.JPG")
    write(tmp_path / "images" / "b.webp", saved(Image.fromarray(image()), format="WEBP", lossless=True))
    write(tmp_path / "masks" / "b.PNG", encode_labels(LABELS))
    write(tmp_path / "images" / "inner" / "a.bmp", saved(Image.fromarray(image()), format="BMP"))
    write(tmp_path / "masks" / "inner" / "a.png", encode_labels(LABELS))
    write(tmp_path / "images" / "Thumbs.db", "x")
    found = open_annotated(tmp_path)
    assert found.names == ["a", "b", "inner_a"] and np.array_equal(found[2][0], image())
    (tmp_path / "images" / "inner" / "deeper").mkdir()
    assert "lies deeper than files are looked for" in refusal(tmp_path)


def test_what_is_missing_or_there_twice_is_named(tmp_path: Path) -> None:
    write_flat(tmp_path)
    (tmp_path / "images" / "a.jpg").unlink()
    (tmp_path / "images" / "b.jpg").unlink()
    assert re.search(r"missing image: .*images/a\.png, and 1 more", refusal(tmp_path))
    write_flat(tmp_path)
    (tmp_path / "masks" / "c.png").unlink()
    assert "missing label file" in refusal(tmp_path)
    write_flat(tmp_path)
    write(tmp_path / "images" / "c.jpeg", encode_jpeg(image()))
    assert "names differ in case or ending alone" in refusal(tmp_path)


# --- lists of classes


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("classes.csv", "label,class\n1,cat\n2,dog\n", {1: "cat", 2: "dog"}),
        ("classes.csv", "\ufeffclass, Label\r\ncat,7\r\nvoid,255\r\n", {7: "cat"}),
        ("classes.csv", "label,class,note\n0,road\n1,sky,blue\n9,Ignore\n", {0: "road", 1: "sky", 9: None}),
        ("classes.txt", "background\ncat\n", {1: "cat"}),
        ("classes.txt", "cat\ndining table\n\n", {1: "cat", 2: "dining table"}),
        ("class_names.txt", "__ignore__\n_background_\ncat", {1: "cat"}),
        ("class_names.txt", "_background_\ncat\nStraße", {1: "cat", 2: "Straße"}),
    ],
)
def test_lists_of_classes(tmp_path: Path, name: str, text: str, labels: dict[int, str | None]) -> None:
    write(tmp_path / name, text)
    assert read_class_list(tmp_path).labels == {0: "background", 255: None, **labels}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("classes.csv", "", "it is empty"),
        ("classes.csv", "x" * 9999, "its columns are ..."),
        ("classes.csv", "label;class\n1;cat\n", "its columns are label;class"),
        ("classes.csv", "label,class\n1,cat\n1,dog\n", "label 1 is listed twice"),
        ("classes.csv", "label,class\n1,cat\n2,cat\n", "'cat' is listed twice"),
        ("classes.csv", "label,class\n256,cat\n", "'256' is no label"),
        ("classes.csv", "label,class\n-1,cat\n", "'-1' is no label"),
        ("classes.csv", "label,class\n1.0,cat\n", "'1.0' is no label"),
        ("classes.csv", "label,class\n255,cat\n", "'cat' has the label 255"),
        ("classes.csv", "label,class\n1,\n", "a class has no name"),
        ("classes.csv", "label,class\n1\n", "a class has no name"),
        ("classes.csv", "label,class\n0,background\n", "it lists no classes"),
        ("classes.csv", "label,class\n1,a\x1b[2J\n", "without control characters"),
        ("classes.csv", "label,class,colour\n1,cat,red\n", "'red' is no colour"),
        ("classes.csv", "label,class,colour\n1,cat,1,2,300\n", "'300' is no part of a colour"),
        ("classes.csv", "label,class,colour\n1,cat,#ff0000\n2,dog,255,0,0\n", "two classes have the colour"),
        ("classes.csv", b"label,class\n1,\xff\n", "is not text in UTF-8"),
        ("classes.txt", "cat\nbackground\n", "'background' is not in the first line"),
        ("classes.txt", "cat\n\ndog\n", "a class has no name"),
        ("classes.txt", "\n", "it lists no classes"),
        ("classes.txt", "\n".join(f"c{k}" for k in range(256)), "masks of one byte a pixel have 254 at most"),
        ("classes.txt", "\n".join(f"c{k}" for k in range(255)), "has the label 255"),
    ],
)
def test_lists_that_make_no_sense(tmp_path: Path, name: str, text: bytes | str, problem: str) -> None:
    write(tmp_path / name, text)
    with pytest.raises(SeediffError) as caught:
        read_class_list(tmp_path)
    assert problem in str(caught.value) and str(tmp_path / name) in str(caught.value) and len(str(caught.value)) < 999


def test_one_list_of_classes_is_needed(tmp_path: Path) -> None:
    write_folder(tmp_path)
    write(tmp_path / "classes.txt", "cat\n")
    assert "two lists of classes, classes.csv and classes.txt" in refusal(tmp_path)
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "classes.csv").unlink()
    assert "has no list of its classes.\nAdd classes.csv" in refusal(tmp_path)


# --- masks


COLOURED = "label,class,colour\n0,background,#000000\n1,cat,#ff0000\n2,dog,0,0,255\n255,void,#ffffff\n"
RGB = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
TABLE = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 0, 255): 2, (255, 255, 255): 255}


def coloured(labels: np.ndarray) -> np.ndarray:
    return RGB[np.where(labels == 255, 3, labels)]


def test_masks_in_colours(tmp_path: Path) -> None:
    write_folder(tmp_path, ["a", "b", "c"], COLOURED)
    opaque = np.dstack([coloured(LABELS), np.full(LABELS.shape, 255, np.uint8)])
    write(tmp_path / "train" / "masks" / "a.png", encode_png(coloured(LABELS)))
    write(tmp_path / "train" / "masks" / "b.png", saved(Image.fromarray(opaque)))
    write(tmp_path / "train" / "masks" / "c.png", saved(Image.fromarray(coloured(LABELS)).quantize(4)))
    found = open_annotated(tmp_path)
    assert all(found[at][1].tolist() == LABELS.tolist() for at in range(3))


def test_a_palette_in_another_order_is_read_by_the_table(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    picture.putpalette([0, 0, 255, 0, 0, 0, 255, 0, 0])
    assert decode_coloured(saved(picture), "x", range(3), TABLE).tolist() == [[2, 0, 1]]


def test_vocs_palette_is_read_by_its_indices_if_the_table_has_other_colours() -> None:
    assert decode_coloured(encode_mask(LABELS), "x", [0, 1, 2, 255], TABLE).tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("content", "classes", "problem"),
    [
        (encode_png(coloured(LABELS)), CLASSES, "does not say which class has which"),
        (
            encode_png(coloured(LABELS) // 2),
            COLOURED,
            "has the colour (0, 0, 127), which is that of no class, and 2 more",
        ),
        (saved(Image.fromarray(np.zeros((2, 3, 4), np.uint8))), COLOURED, "transparent places"),
        (encode_jpeg(coloured(LABELS)), COLOURED, "is JPEG, which may change the labels"),
        (encode_labels(LABELS + np.uint8(4)), CLASSES, "which is no label of folder train"),
        (encode_labels(LABELS.T), CLASSES, "of different sizes"),
        (saved(Image.fromarray(LABELS.astype(np.uint16))), CLASSES, "is not a mask"),
        (encode_labels(LABELS)[:40], CLASSES, "is not a readable PNG"),
    ],
    ids=["RGB", "colour", "alpha", "JPEG", "label", "size", "16 bits", "cut off"],
)
def test_masks_that_are_refused(tmp_path: Path, content: bytes, classes: str, problem: str) -> None:
    write_folder(tmp_path, ["a", "b"], classes)
    write(tmp_path / "train" / "masks" / "b.png", content)
    assert problem in refusal(tmp_path, index=1)
    assert not check_dataset("folder", tmp_path).ok


def test_masks_of_one_object_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for name in ("a", "b"):
        write(
            tmp_path / "train" / "masks" / f"{name}.png", encode_labels(np.where(LABELS > 0, 255, 0).astype(np.uint8))
        )
    assert "hold 0 and 255 alone" in refusal(tmp_path)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.tuples(*[st.integers(0, 255)] * 3), st.integers(0, 255), min_size=1, max_size=9), st.data())
def test_colours_are_looked_up_like_in_a_dict(table: dict[tuple[int, ...], int], data: st.DataObject) -> None:
    colours = data.draw(st.lists(st.sampled_from(sorted(table)), min_size=1, max_size=12))
    content = encode_png(np.array([colours], np.uint8))
    assert decode_coloured(content, "x", (), table).tolist() == [[table[colour] for colour in colours]]


def test_an_image_that_exif_turns(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (exif := Image.Exif())[0x0112] = 6
    write(tmp_path / "train" / "images" / "a.png", saved(Image.fromarray(np.rot90(image()).copy()), exif=exif))
    assert np.array_equal(open_annotated(tmp_path)[0][0], image())


# --- labelme and Cityscapes


@pytest.mark.parametrize("masks", ["SegmentationClassPNG", "SegmentationClass"])
def test_labelmes_export(tmp_path: Path, masks: str) -> None:
    write(tmp_path / "JPEGImages" / "a.jpg", encode_jpeg(image()))
    write(tmp_path / masks / "a.png", encode_mask(LABELS))
    if masks == "SegmentationClassPNG":
        write(tmp_path / "SegmentationClass" / "a.npy", "x")
    write(tmp_path / "class_names.txt", "_background_\ncat\ndog")
    found = open_annotated(tmp_path)
    assert found.classes == ("cat", "dog") and found[0][1].tolist() == LABELS.tolist()
    assert found.identity.startswith("labelme all")


def write_train_ids(folder: Path, split: str) -> None:
    write(folder / "leftImg8bit" / split / "city" / f"a{cityscapes.IMAGE_SUFFIX}", encode_png(image()))
    ids = np.array([[0, 13, 18], [255, 11, 0]], np.uint8)
    write(folder / "gtFine" / split / "city" / f"a{cityscapes.TRAIN_ID_SUFFIX}", encode_labels(ids))


def test_cityscapes_training_ids(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_train_ids(tmp_path, split)
        labels = open_annotated(tmp_path, split=split, classes=["person", "car", "motorbike"])[0][1]
        assert labels.tolist() == [[0, 2, 0], [255, 1, 0]]
    everything = open_annotated(tmp_path, split="val")
    assert everything.classes == tuple(cityscapes.TRAIN_IDS) and everything[0][1].tolist() == [
        [1, 14, 19],
        [255, 12, 1],
    ]
    report = check_dataset("cityscapes", tmp_path).text
    assert "values that are not labels" not in report and "trainIds" not in report


def test_label_ids_come_first(tmp_path: Path) -> None:
    write_train_ids(tmp_path, "val")
    ids = np.full((2, 3), 26, np.uint8)
    write(tmp_path / "gtFine" / "val" / "city" / f"a{cityscapes.LABEL_SUFFIX}", encode_labels(ids))
    assert (open_annotated(tmp_path, split="val", classes=["car"])[0][1] == 1).all()


# --- what else opens it


def test_a_folder_is_a_benchmark_and_a_training_set(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pairs")
    assert len(benchmark_images("folder", folder, "train")) == 2
    assert open_benchmark("folder", folder, "train", ["dog", "cow"], ["cow"])[0][1].tolist() == [[0, 0, 1], [1, 255, 0]]
    assemble_real("folder", folder, "train", ["dog"], 1, tmp_path / "set.json")
    assert load_training_set(tmp_path / "set.json")[0][1].tolist() == [[0, 0, 1], [1, 255, 0]]
    assert len(Data(str(folder), "folder", "train").files) == 4


def test_identity_changes_with_the_list_of_classes(tmp_path: Path) -> None:
    """Even if its size does not."""
    before = open_annotated(write_folder(tmp_path)).identity
    fingerprint = Data(str(tmp_path), "folder", "train").fingerprint()
    write(tmp_path / "classes.csv", CLASSES.replace("1,cat\n2,dog", "2,cat\n1,dog"))
    assert open_annotated(tmp_path, classes=["cat", "dog"]).identity != before
    assert fingerprint and Data(str(tmp_path), "folder", "train").fingerprint() not in (fingerprint, None)


def test_the_check_of_a_folder(tmp_path: Path) -> None:
    report = check_dataset("folder", write_folder(tmp_path))
    assert report.ok and report.checked[0].startswith("train: 2 images, 2 read with labels, 2 of 2 classes")
    (tmp_path / "train" / "images" / "a.png").unlink()
    text = check_dataset("folder", tmp_path).text
    assert "train: missing image: train/images/a.png" in text and "archive" not in text
    (tmp_path / "classes.csv").unlink()
    assert "train: " in (text := check_dataset("folder", tmp_path).text) and "has no list of its classes" in text
    assert "no split 'val'" in check_dataset("folder", tmp_path, ["val"]).text
    assert "There is no folder" in check_dataset("folder", tmp_path / "nowhere").text
    assert "This looks like Images and masks: give the name folder." in check_dataset("voc", tmp_path).text


def study_with(benchmark: dict[str, Any]) -> Study:
    content = yaml.safe_load((ROOT / "config/studies/smoke.yaml").read_text())
    content["benchmarks"]["voc"] = {"title": "Mine", "split": "train", **benchmark}
    return parse_study(content)


def test_a_study_is_compared_with_the_classes_of_its_folder(tmp_path: Path) -> None:
    mine = {"format": "folder", "folder": str(tmp_path / "pairs")}
    with pytest.raises(SeediffError, match=r"benchmarks\.voc\.folder"):
        check_paths(study_with(mine))
    write_folder(tmp_path / "pairs", classes="label,class\n0,background\n1,cat\n2,car\n")
    study = study_with(mine)
    check_paths(study)
    assert number_of_images(study.benchmarks["voc"]) == 2
    assert real_data(study) == [Data(mine["folder"], "folder", "train")]
    with pytest.raises(SeediffError, match="has no split 'val'"):
        study_with({**mine, "split": "val"})
    write(tmp_path / "pairs" / "classes.csv", CLASSES)
    with pytest.raises(SeediffError, match="folder has no class 'car'"):
        study_with(mine)


def test_no_stand_in_is_drawn_in_a_format_of_ones_own() -> None:
    with pytest.raises(SeediffError, match="no stand-in is drawn in the format coco"):
        study_with({"format": "coco", "embedded": {"train": 2, "val": 2}})


def test_formats_of_ones_own_are_listed(tmp_path: Path) -> None:
    text = list_datasets(tmp_path)
    assert all(f"{name}: {custom.title}\n" in text and custom.layout in text for name, custom in CUSTOM.items())
