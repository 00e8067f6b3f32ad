"""COCO's instances, against COCO's own tools, and every kind of JSON that makes no sense."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as tools
from pycocotools.coco import COCO

from seediff.datasets.annotated import open_annotated
from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.images import encode_png
from seediff.datasets.segments import read_segment, uncompressed
from seediff.datasets.training_sets import assemble_real, load_training_set
from seediff.datasets.verification import check_dataset
from seediff.errors import SeediffError
from seediff.extras import MissingExtraError
from seediff.workflow.sources import Data

HEIGHT, WIDTH = 5, 7
SQUARE = [1, 1, 3, 1, 3, 4, 1, 4]
"""Covers the columns 1 and 2 in the rows 1 to 3."""
CATEGORIES = [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}]


def annotation(segmentation: Any, number: int = 1, category: int = 3, **others: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": category, "segmentation": segmentation, **others}


def content(*annotations: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    images = [{"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}]
    return {"images": images, "categories": CATEGORIES, "annotations": [*annotations], **others}


def write(folder: Path, found: Any, images: str = "val", names: Sequence[str] = ("a.png",)) -> Path:
    """A folder in COCO's layout with images of one size."""
    for name in names:
        path = folder / images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(np.full((HEIGHT, WIDTH, 3), len(name), np.uint8)))
    (folder / "annotations").mkdir(exist_ok=True)
    text = found if isinstance(found, str) else json.dumps(found)
    (folder / "annotations" / "instances_val.json").write_text(text)
    return folder


def labels_of(folder: Path, **names: Any) -> np.ndarray:
    return open_annotated(folder, **names)[0][1]


def refusal(folder: Path, *arguments: Any) -> str:
    with pytest.raises(SeediffError) as caught:
        open_annotated(folder, *arguments)
    assert str(caught.value).count("\n") < 3
    return str(caught.value)


def square(value: int) -> np.ndarray:
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[1:4, 1:3] = value
    return expected


def runs(mask: np.ndarray) -> dict[str, Any]:
    """A mask (height, width) as uncompressed runs, counted pixel by pixel."""
    counts, inside = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def compressed(mask: np.ndarray) -> dict[str, Any]:
    found = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


# --- what is drawn


@pytest.mark.parametrize("segmentation", [[SQUARE], runs(square(1)), compressed(square(1))])
def test_a_square_by_hand(tmp_path: Path, segmentation: Any) -> None:
    found = open_annotated(write(tmp_path, content(annotation(segmentation))))
    assert found.classes == ("cat", "dog") and found.names == ["a"]  # in the order of their ids, 3 and 90
    image, labels = found[0]
    assert image.shape == (HEIGHT, WIDTH, 3) and labels.dtype == np.uint8 and np.array_equal(labels, square(1))
    assert np.array_equal(labels_of(tmp_path, classes=["dog"]), square(0))


def test_several_polygons_are_one_object(tmp_path: Path) -> None:
    other = [5, 0, 7, 0, 7, 5, 5, 5]
    expected = square(2)
    expected[:, 5:] = 2
    assert np.array_equal(labels_of(write(tmp_path, content(annotation([SQUARE, other], category=90)))), expected)


@pytest.mark.parametrize("order", [1, -1])
def test_the_smaller_of_two_objects_is_in_front(tmp_path: Path, order: int) -> None:
    large = annotation([[0, 0, 6, 0, 6, 5, 0, 5]], 1, 90)
    small = annotation([SQUARE], 2, 3, area=1000)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:, :6] = 2
    expected[1:4, 1:3] = 1
    assert np.array_equal(labels_of(write(tmp_path, content(*[large, small][::order]))), expected)


def test_a_crowd_is_ignored_where_no_object_is(tmp_path: Path) -> None:
    crowd = np.zeros((HEIGHT, WIDTH), np.uint8)
    crowd[2, :3] = 1
    large = annotation([SQUARE], 2, 90)
    expected = square(2)
    expected[2, 0] = 255
    assert np.array_equal(labels_of(write(tmp_path, content(large, annotation(runs(crowd), iscrowd=1)))), expected)


def test_an_image_without_annotations_is_background(tmp_path: Path) -> None:
    assert not labels_of(write(tmp_path, content())).any()


def test_a_part_outside_the_image_is_cut_off(tmp_path: Path) -> None:
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:2, 5:] = 1
    assert np.array_equal(labels_of(write(tmp_path, content(annotation([[5, -3, 11, -3, 11, 2, 5, 2]])))), expected)


COORDINATES = st.floats(-5, 12).map(lambda number: round(number, 2))
POLYGONS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=6).map(lambda points: [*chain(*points)])


@settings(max_examples=60, deadline=None)
@given(st.lists(POLYGONS, min_size=1, max_size=3))
def test_polygons_are_those_of_the_tools(polygons: list[list[float]]) -> None:
    try:
        segment = read_segment(polygons, HEIGHT, WIDTH)
    except ValueError as error:
        assert "outside" in str(error)
        return
    expected = np.zeros((HEIGHT, WIDTH), bool)
    for polygon in polygons:
        expected |= tools.decode(tools.frPyObjects([polygon], HEIGHT, WIDTH))[..., 0] > 0
    assert np.array_equal(segment.mask(segment.runs()), expected)


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1)))
def test_runs_are_those_of_the_tools(mask: np.ndarray) -> None:
    for written in (runs(mask), compressed(mask)):
        segment = read_segment(written, *mask.shape)
        assert np.array_equal(segment.mask(segment.runs()), mask > 0)
    assert uncompressed(compressed(mask)["counts"]) == runs(mask)["counts"]


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=9))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        counts = read_segment({"size": [HEIGHT, WIDTH], "counts": text}, HEIGHT, WIDTH).runs()
    except ValueError:
        return
    assert counts.sum() == HEIGHT * WIDTH and (counts >= 0).all()


def test_a_file_is_read_as_by_the_tools(tmp_path: Path) -> None:
    """Each of the objects alone, so that none is behind another."""
    triangle, whole = [0.4, 0.2, 6.3, 1.1, 2.2, 4.7], np.ones((HEIGHT, WIDTH), np.uint8)
    folder = write(tmp_path, content(annotation([triangle]), annotation(compressed(whole), 2, 90)))
    reference = COCO(str(folder / "annotations" / "instances_val.json"))
    for number in (1, 2):
        alone = content(*[entry for entry in reference.dataset["annotations"] if entry["id"] == number])
        mask = reference.annToMask(reference.anns[number])
        assert mask.any() and np.array_equal(labels_of(write(tmp_path, alone)), mask * number)


# --- where the images are


@pytest.mark.parametrize("images", ["val", "images/val", "images"])
def test_places_of_images(tmp_path: Path, images: str) -> None:
    assert np.array_equal(labels_of(write(tmp_path, content(annotation([SQUARE])), images)), square(1))


def test_two_places_of_images_are_refused(tmp_path: Path) -> None:
    write(write(tmp_path, content()), content(), "images/val")
    assert "could be in" in refusal(tmp_path)


def test_images_in_subfolders(tmp_path: Path) -> None:
    sizes = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": at, "file_name": f"{at}/b.png", **sizes} for at in (7, 8)]
    folder = write(tmp_path, content(annotation([SQUARE]), images=images), names=["7/b.png", "8/b.png"])
    found = open_annotated(folder)
    assert found.names == ["7_b", "8_b"] and found[0][1].any() and not found[1][1].any()


def image(**changes: Any) -> dict[str, Any]:
    return {"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH, **changes}


def test_images_that_are_not_there_or_of_another_size(tmp_path: Path) -> None:
    text = refusal(write(tmp_path, content(images=[image(file_name="A.PNG")])))
    assert "missing image" in text and "(there is a.png)" in text and "archive" not in text
    folder = write(tmp_path, content(images=[image(height=WIDTH, width=HEIGHT)]))
    with pytest.raises(SeediffError, match=r"a\.png is 7 x 5, its annotation in .*instances_val\.json is 5 x 7 pixels"):
        open_annotated(folder)[0]
    assert "image and label file of different sizes: val/a.png" in check_dataset("coco", folder).text


# --- what is refused


@pytest.mark.parametrize(
    ("segmentation", "problem"),
    [
        ([[1, 1, 3, 1]], "a polygon of 2 points"),
        ([[1, 1, 3, 1, 2]], "x and y come in pairs"),
        ([[]], "a polygon of 0 points"),
        ([], "has no segments"),
        (None, "has no segments"),
        ("x", "has no segments"),
        ([[1, 1, 3, 1, "3", 4]], "no list of numbers"),
        ([[1, 1, 3, 1, True, 4]], "no list of numbers"),
        (SQUARE, "no list of numbers"),
        ([[1, 1, 3, 1, 1e300, 4]], "points far outside"),
        ([[1, 1, 3, 1, 10**400, 4]], "points far outside"),
        ([[8, 1, 9, 1, 9, 4]], "a polygon that is outside its image"),
        ([[1, -3, 3, -3, 3, 0]], "a polygon that is outside its image"),
        ({"size": [WIDTH, HEIGHT], "counts": [35]}, "runs for a size of [7, 5]"),
        ({"counts": [35]}, "runs for a size of None"),
        ({"size": [HEIGHT, WIDTH]}, "has no runs"),
        ({"size": [HEIGHT, WIDTH], "counts": [30, 6]}, "do not add up to the 35 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": [36, -1]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": [17.5, 17.5]}, "has no runs"),
        ({"size": [HEIGHT, WIDTH], "counts": "oooo"}, "runs that are cut off"),
        ({"size": [HEIGHT, WIDTH], "counts": "1 1"}, "not COCO's code"),
        ({"size": [HEIGHT, WIDTH], "counts": "o" * 99}, "not COCO's code"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, "do not add up"),
    ],
)
def test_segments_that_make_no_sense(tmp_path: Path, segmentation: Any, problem: str) -> None:
    text = refusal(write(tmp_path, content(annotation(segmentation, 12))))
    assert problem in text and "annotation 12 of 'a.png'" in text and "instances_val.json" in text


ONE = annotation([SQUARE])
TWICE = "is that of two"


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ("", "is not readable JSON"),
        ("{", "is not readable JSON"),
        ("[" * 100_000, "is not readable JSON"),
        ('{"images": NaN}', "NaN is no number"),
        ("[]", "no list 'images'"),
        ({"images": []}, "no list 'categories'"),
        (content(annotations={}), "no list 'annotations'"),
        (content(images=[3]), "no list 'images'"),
        (content(images=[]), "it has no image entries"),
        (content(categories=[]), "it has no category entries"),
        (content(categories=[*CATEGORIES, {"id": 3, "name": "cow"}]), f"the id 3 {TWICE} category entries"),
        (content(categories=[*CATEGORIES, {"id": 4, "name": "cat"}]), "two categories are called 'cat'"),
        (content(categories=[{"id": 3, "name": " "}]), "category 3 has no name"),
        (content(categories=[{"id": 3, "name": "a\nb"}]), "control characters"),
        (content(categories=[{"id": at, "name": "x" * 9999} for at in (3, 4)]), "two categories are called"),
        (content(categories=[{"name": "cat"}]), "the 'id' of category None is None"),
        (content(images=[image(), image(file_name="b.png")]), f"the id 7 {TWICE} image entries"),
        (content(images=[image(), image(id=8)]), "image listed twice"),
        (content(images=[image(height="5")]), "the 'height' of image 7 is '5', not a whole number"),
        (content(images=[image(width=0)]), "image 7 would have 0 x 5 pixels"),
        (content(images=[image(width=10**9, height=10**9)]), "image 7 would have"),
        (content(images=[image(file_name=None)]), "image 7 has no 'file_name'"),
        (content(images=[image(file_name="../a.png")]), "is no path below a folder"),
        (content(images=[image(file_name="/etc/passwd")]), "is no path below a folder"),
        (content(images=[image(file_name="val\\a.png")]), "is no path below a folder"),
        (content(ONE, ONE), f"the id 1 {TWICE} annotations"),
        (content({**ONE, "image_id": 8}), "annotation 1 has the image_id 8, which does not exist"),
        (content({**ONE, "category_id": 1}), "annotation 1 has the category_id 1, which does not exist"),
        (content({**ONE, "category_id": None}), "the 'category_id' of annotation 1 is None"),
        (content({**ONE, "image_id": [7]}), "the 'image_id' of annotation 1 is [7]"),
    ],
)
def test_json_that_makes_no_sense(tmp_path: Path, found: Any, problem: str) -> None:
    text = refusal(write(tmp_path, found))
    assert problem in text and "instances_val.json" in text and len(text) < 999
    assert not check_dataset("coco", tmp_path).ok


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, content(ONE))
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtraError, match=r'pycocotools not installed: pip install "seediff\[coco\]"'):
        open_annotated(tmp_path)


# --- classes, and what else opens it


def test_vocs_names_of_cocos_classes(tmp_path: Path) -> None:
    named: Callable[..., Any] = lambda *names: [{"id": at, "name": name} for at, name in enumerate(names, start=3)]  # noqa: E731
    write(tmp_path, content(ONE, categories=named("tv", "couch")))
    assert np.array_equal(labels_of(tmp_path, classes=["sofa", "tvmonitor"]), square(2))
    write(tmp_path, content(ONE, categories=named("tv", "tvmonitor")))
    assert np.array_equal(labels_of(tmp_path, classes=["tvmonitor"]), square(0))
    assert "coco has no class 'kettle'" in refusal(tmp_path, "coco", "val", ["kettle"])


def test_a_category_can_be_the_background(tmp_path: Path) -> None:
    write(tmp_path, content(ONE, categories=[{"id": 3, "name": "Background"}, {"id": 4, "name": "cat"}]))
    found = open_annotated(tmp_path)
    assert found.classes == ("cat",) and not found[0][1].any()


def test_it_is_a_benchmark_and_a_training_set(tmp_path: Path) -> None:
    folder = write(tmp_path / "coco", content(ONE))
    assert np.array_equal(open_benchmark("coco", folder, "val", ["cow", "cat"], ["cow"])[0][1], square(2))
    assemble_real("coco", folder, "val", ["dog", "cat"], None, tmp_path / "set.json")
    assert np.array_equal(load_training_set(tmp_path / "set.json")[0][1], square(2))
    data = Data(str(folder), "coco", "val")
    before, identity = data.fingerprint(), open_annotated(folder).identity
    assert data.files == [folder / "val" / "a.png", folder / "annotations" / "instances_val.json"] and before
    write(folder, content({**ONE, "id": 2}))  # of the same size
    assert open_annotated(folder).identity != identity
    assert Data(str(folder), "coco", "val").fingerprint() not in (before, None)


def test_the_check(tmp_path: Path) -> None:
    report = check_dataset("coco", write(tmp_path, content(ONE)))
    assert report.ok and report.checked[0].startswith("val: 1 images, 1 read with labels, 1 of 2 classes")
    (tmp_path / "val" / "a.png").unlink()
    assert "val: missing image: val/a.png" in check_dataset("coco", tmp_path).text
