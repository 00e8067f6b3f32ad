"""Hostile copies of known data sets, and of the formats of anyone's data: reported or refused, whatever they hold."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.images import encode_mask, encode_png
from seediff.datasets.items import RECORD
from seediff.embedded.domains import write_domain
from tests.fuzz.hostile import TEXTS, damaged
from tests.fuzz.sandbox import Sandbox, cases, sandbox
from tests.fuzz.test_shards import picture

pytestmark = pytest.mark.fuzz

KNOWN = ("voc", "cityscapes", "ade20k", "imagenet_s50")
FORMATS = (*KNOWN, "folder", "listed", "coco")
"""``listed``: a folder whose splits are lists."""
NAMES_OF_FORMATS = {"listed": "folder"}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sound copy of each data set."""
    folder = tmp_path_factory.mktemp("sound")
    for format in KNOWN:
        write_domain(format, folder / format, train=2, val=1, rng_seed=0)
        (folder / format / RECORD).unlink()  # as a real data set, which has none
        (folder / format / "STAND-IN.txt").unlink()
    pairs = open_benchmark("voc", folder / "voc", "train", ["car", "bus"])
    for at, (image, labels) in enumerate(pairs[index] for index in range(len(pairs))):
        for place in ("folder/train", "listed"):
            write(folder / place / "images" / f"{at}.png", encode_png(image))
            write(folder / place / "masks" / f"{at}.png", encode_mask(labels))
        write(folder / "coco" / "images" / f"{at}.png", encode_png(image))
    write(folder / "folder" / "classes.csv", b"label,class\n1,car\n2,bus\n")
    write(folder / "listed" / "classes.txt", b"background\ncar\nbus\n")
    write(folder / "listed" / "train.txt", b"0\n1\n")
    write(folder / "coco" / "annotations" / "instances_train.json", json.dumps(instances(len(pairs))).encode())
    return folder


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def instances(number: int) -> dict[str, Any]:
    """An object in each image, as a polygon and as runs by turns."""
    runs = {"size": [64, 64], "counts": [64, 64, 64 * 62]}
    return {
        "images": [{"id": at, "file_name": f"{at}.png", "height": 64, "width": 64} for at in range(number)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": at, "image_id": at, "category_id": 1, "segmentation": runs if at % 2 else [[1, 1, 9, 1, 9, 9]]}
            for at in range(number)
        ],
    }


def use(box: Sandbox, format: str) -> tuple[int, str]:
    """Check the copy, then make a training set of it."""
    format = NAMES_OF_FORMATS.get(format, format)
    box.seediff("data", "check", format, "copy")
    box.seediff("data", "list", "--root", ".")
    spec = {"recipe": "x", "kind": "real", "format": format, "folder": "copy", "split": "train", "number": None}
    code, said = box.seediff(
        "stage", "assemble", "--spec", json.dumps({**spec, "classes": ["car"]}), "--output", "out/set.json"
    )
    assert (code == 0) == (box.folder / "out" / "set.json").exists()
    return code, said


@pytest.mark.parametrize("format", FORMATS)
def test_a_sound_copy(copies: Path, format: str) -> None:
    with sandbox() as box:
        shutil.copytree(copies / format, "copy")
        assert use(box, format) == (0, "")


def grown(path: Path) -> None:
    path.write_bytes(b"\0" * 100_000)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def made_a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def made_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def made_endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def made_a_folder_of_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent)


MISCHIEF: tuple[Callable[[Path], None], ...] = (
    Path.unlink, grown, emptied, made_a_folder, made_a_loop, made_a_pipe, made_endless, made_a_folder_of_itself,
)  # fmt: skip
NAMES = [text for text in (*TEXTS, "\udcff") if not {*"/\0\ud800"} & {*text} and len(text) < 100]
"""Names that a file can have, one of which is not UTF-8."""


@cases(150)
@given(st.sampled_from(FORMATS), st.data())
def test_a_file_that_is_something_else(copies: Path, format: str, data: st.DataObject) -> None:
    with sandbox() as box:
        shutil.copytree(copies / format, "copy")
        path = data.draw(st.sampled_from(sorted(path for path in Path("copy").rglob("*") if path.is_file())))
        data.draw(st.sampled_from(MISCHIEF))(path)
        use(box, format)


@cases(150)
@given(st.sampled_from(FORMATS), st.data())
def test_a_damaged_file(copies: Path, format: str, data: st.DataObject) -> None:
    with sandbox() as box:
        shutil.copytree(copies / format, "copy")
        path = data.draw(st.sampled_from(sorted(path for path in Path("copy").rglob("*") if path.is_file())))
        path.write_bytes(data.draw(damaged(path.read_bytes())))
        use(box, format)


@cases(100)
@given(st.sampled_from(FORMATS), st.sampled_from(NAMES), st.data())
def test_a_file_of_a_hostile_name(copies: Path, format: str, name: str, data: st.DataObject) -> None:
    with sandbox() as box:
        shutil.copytree(copies / format, "copy")
        path = data.draw(st.sampled_from(sorted(path for path in Path("copy").rglob("*") if path.is_file())))
        path.rename(path.with_name(f"a{name}{path.suffix}"))
        use(box, format)


@cases(100)
@given(st.text(max_size=60) | st.sampled_from(["../../a", "/etc/passwd", "a\nb/../c", "\0", "x" * 5000]))
def test_a_hostile_list(copies: Path, text: str) -> None:
    with sandbox() as box:
        shutil.copytree(copies / "voc", "copy")
        Path("copy/ImageSets/Segmentation/train.txt").write_text(text, errors="replace")
        assert use(box, "voc")[0] == 1


@pytest.mark.parametrize("mode", ["1", "LA", "RGB", "RGBA", "I;16"])
def test_labels_of_another_mode(copies: Path, mode: str) -> None:
    with sandbox() as box:
        shutil.copytree(copies / "voc", "copy")
        for path in Path("copy/SegmentationClass").iterdir():
            path.write_bytes(picture(mode, (64, 64)))
        code, said = use(box, "voc")
        assert code == 1 and "is not a mask" in said


def test_labels_of_another_size_or_value(copies: Path) -> None:
    with sandbox() as box:
        shutil.copytree(copies / "voc", "copy")
        for path in Path("copy/SegmentationClass").iterdir():
            path.write_bytes(picture("L", (32, 64)))
        assert "different sizes" in use(box, "voc")[1]
