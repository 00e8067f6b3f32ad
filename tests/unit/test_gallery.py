"""The page that ``seediff gallery`` writes: what is in it, and that nothing from outside becomes a part of its code."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seediff.cli import main
from seediff.datasets.images import Pair, encode_mask, encode_png
from seediff.datasets.origins import Origin
from seediff.datasets.palettes import VOC_COLOURS, overlay
from seediff.errors import SeediffError
from seediff.files.sealed import write_json
from seediff.filtering.measures import area, connectedness
from seediff.filtering.selection import Measured, write_selection
from seediff.gallery.entries import Table, read_table
from seediff.gallery.page import write_gallery

HOSTILE = "</script><img src=x onerror=alert(1)>&amp;<!--$title$$"


@dataclass(frozen=True)
class Drawn:
    """Three images of noise: one with two classes, one black, one without an object."""

    classes: tuple[str, ...] = ("cat", "dog")
    names: list[str] = field(default_factory=lambda: ["cat-0", "cat-1", "dog-0"])
    identity: str = "drawn"
    shape: tuple[int, int] = (40, 60)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Pair:
        image = np.random.default_rng(index).integers(0, 256, (*self.shape, 3), np.uint8)
        labels = np.zeros(self.shape, np.uint8)
        if index < 2:
            labels[2:9, 3:20], labels[12:18, 5:9], labels[-3:] = 1, 2, 255
        return image * (index != 1), labels


class Elements(HTMLParser):
    """Every element of a page, with its attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1][2].append(data)

    def text(self, name: str) -> str:
        (texts,) = [texts for _, attributes, texts in self.found if attributes.get("id") == name]
        return "".join(texts)


def written(data: Drawn, path: Path, **options: Any) -> tuple[Elements, dict[str, Any], list[list[bytes]]]:
    """The page, the content of its JSON, and the thumbnails of each image: the image and its overlay."""
    assert write_gallery(data, options.pop("title", "pairs"), path, **options) == len(data)
    page = Elements(path.read_text(encoding="utf-8"))
    lines = page.text("pictures").strip().split("\n")
    pictures = [[*map(b64decode, line.split(" "))] for line in lines]
    return page, json.loads(page.text("data")), pictures


def opened(content: bytes) -> np.ndarray[Any, Any]:
    picture = Image.open(BytesIO(content))
    assert picture.format == "WEBP"
    return np.asarray(picture)


def test_what_is_shown_of_each_image(tmp_path: Path) -> None:
    data = Drawn()
    origin = Origin({"cat-0": "a photo of a cat"}, {"cat-0": "cat", "cat-1": "cat"})
    table = Table(("clip",), {"cat-0": {"clip": 0.25, "area": 0.5}}, {"cat-0": "clip 0.2500 is below 0.3"})
    _, content, pictures = written(data, tmp_path / "page.html", origin=origin, table=table)
    assert content["columns"] == ["clip", "area", "connectedness"] and content["title"] == "pairs"
    assert content["colours"] == {"cat": "#800000", "dog": "#008000"} and len(pictures) == 3
    whole = round(connectedness(data[0][1]), 3)
    assert content["rows"] == [
        ["cat-0", ["cat"], "a photo of a cat", "", "clip 0.2500 is below 0.3", [0.25, 0.5, whole]],
        ["cat-1", ["cat"], "", "black", "", [None, round(area(data[1][1]), 4), whole]],
        ["dog-0", [], "", "no object", "", [None, 0, 0]],
    ]
    assert written(data, tmp_path / "page.html")[1]["rows"][0][1] == ["cat", "dog"]  # those in the mask


def test_the_overlay_is_that_of_pictures(tmp_path: Path) -> None:
    data = Drawn()
    _, _, pictures = written(data, tmp_path / "page.html")
    image, (_, labels) = opened(pictures[0][0]), data[0]
    tint = opened(pictures[0][1]).astype(float)
    shares = tint[..., 3:] / 255
    laid = image * (1 - shares) + tint[..., :3] * shares
    assert np.abs(laid - np.asarray(overlay(image, labels, VOC_COLOURS))).max() <= 1.5


@pytest.mark.parametrize(("shape", "size"), [((40, 60), (40, 60)), ((300, 600), (80, 160)), ((1000, 2), (160, 1))])
def test_thumbnails_are_small(tmp_path: Path, shape: tuple[int, int], size: tuple[int, int]) -> None:
    _, _, pictures = written(Drawn(shape=shape), tmp_path / "page.html")
    for image, tint in pictures:
        assert opened(image).shape == (*size, 3)
        assert opened(tint).shape[:2] == size


def test_nothing_from_outside_becomes_code(tmp_path: Path) -> None:
    hostile = Drawn(classes=(HOSTILE, "dog"), names=[HOSTILE, "cat-1", "dog-0"])
    origin = Origin({HOSTILE: HOSTILE, "cat-1": "line\u2028break\x00"}, {"cat-1": HOSTILE})
    table = Table((HOSTILE,), {HOSTILE: {HOSTILE: 1.0}}, {HOSTILE: HOSTILE})
    page, content, _ = written(hostile, tmp_path / "page.html", origin=origin, table=table, title=HOSTILE)
    harmless, _, _ = written(Drawn(), tmp_path / "page.html")
    kinds = [[(tag, *attributes) for tag, attributes, _ in each.found] for each in (page, harmless)]
    assert kinds[0] == kinds[1]
    assert [tag for tag, *_ in kinds[0]].count("script") == 3
    assert content["rows"][0] == [HOSTILE, [HOSTILE, "dog"], HOSTILE, "", HOSTILE, [1.0, *content["rows"][1][5][1:]]]
    assert content["title"] == HOSTILE and content["rows"][1][2] == "line\u2028break\x00"
    assert "".join(page.found[[tag for tag, *_ in page.found].index("title")][2]).strip() == HOSTILE


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    page, _, _ = written(Drawn(), tmp_path / "page.html")
    assert not [attributes for _, attributes, _ in page.found if {"src", "href"} & attributes.keys()]
    (policy,) = [attributes["content"] for _, attributes, _ in page.found if "http-equiv" in attributes]
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")


def test_the_table_of_a_filter(tmp_path: Path) -> None:
    pairs = [Measured("cat-0", "cat", {"area": 0.2, "contrast": 0.7}), Measured("cat-1", "cat", {"area": 0.9})]
    write_selection(tmp_path / "filter.csv", pairs, {"cat-0": "", "cat-1": "area 0.9000 is above 0.8"})
    table = read_table(tmp_path / "filter.csv")
    assert table.columns == ("area", "contrast")
    assert table.measures == {"cat-0": {"area": 0.2, "contrast": 0.7}, "cat-1": {"area": 0.9}}
    assert table.notes == {"cat-1": "area 0.9000 is above 0.8"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,clip\na,1\n", "no column 'key'"),
        ("", "no column 'key'"),
        ("key,clip\na,high\n", "'high' in the column 'clip'"),
        ("key,clip\na,inf\n", "'inf' in the column 'clip'"),
        (b"\xff\xfe", "cannot be read as a table"),
        (None, "cannot be read as a table"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str | bytes | None, said: str) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SeediffError) as error:
        read_table(path)
    assert said in str(error.value) and len(str(error.value).splitlines()) == 2


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="has no images"):
        write_gallery(Drawn(names=[]), "pairs", tmp_path / "page.html")
    with pytest.raises(SeediffError, match="about other images"):
        write_gallery(Drawn(), "pairs", tmp_path / "page.html", table=Table(("a",), {"x": {"a": 1.0}}))
    assert not any(tmp_path.iterdir())


# --- the command


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    """A folder as ``seediff generate`` leaves it."""
    data, folder = Drawn(), tmp_path / "pairs"
    rows = []
    for kind in ("images", "masks"):
        (folder / "train" / kind).mkdir(parents=True)
    for index, name in enumerate(data.names):
        image, labels = data[index]
        (folder / "train" / "images" / f"{name}.png").write_bytes(encode_png(image))
        (folder / "train" / "masks" / f"{name}.png").write_bytes(encode_mask(labels))
        kind = name.partition("-")[0]
        rows.append({"file_name": f"images/{name}.png", "class": kind, "text": f"a photo of a {kind}"})
    (folder / "train" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "classes.csv").write_text("label,class\n0,background\n1,cat\n2,dog\n")
    write_json(folder / "settings.json", {"model": "some/model", "template": "a photo of a {word}"})
    return folder


def test_the_gallery_of_a_generated_folder(generated: Path, capsys: Any) -> None:
    assert main(["gallery", str(generated)]) == 0
    assert capsys.readouterr().out == f"{generated / 'gallery.html'}: 3 images; open it in a browser\n"
    content = json.loads(Elements((generated / "gallery.html").read_text()).text("data"))
    assert content["title"] == "pairs"
    assert [row[:4] for row in content["rows"]] == [
        ["cat-0", ["cat"], "a photo of a cat", ""],
        ["cat-1", ["cat"], "a photo of a cat", "black"],
        ["dog-0", ["dog"], "a photo of a dog", "no object"],
    ]


@pytest.mark.parametrize("format", ["png", "voc", "webdataset", "yolo"])
def test_the_export_of_a_generated_folder(generated: Path, tmp_path: Path, format: str, capsys: Any) -> None:
    output = tmp_path / "out"
    line = ["export", str(generated), "--format", format, "--output", str(output), "--split", "train=.6,val=.4"]
    assert main([*line, "--license", "a\udcff"]) == 1
    assert "License 'a\\udcff': its name must be one line of text" in capsys.readouterr().err
    assert main(line) == 0
    assert capsys.readouterr().out == f"3 images (train 2, val 1) in {output}\n"
    about = json.loads((output / "source.json").read_text())
    assert about["model"] == "some/model" and about["license"] == "unknown"
    assert main(line) == 1
    assert "is not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("line", ['{"text": 1}', "[1]", "text", '{"file_name": "images/a.png", "text": "\\ud800"}'])
def test_broken_metadata_are_named(generated: Path, capsys: Any, line: str) -> None:
    metadata = generated / "train" / "metadata.jsonl"
    metadata.write_text(f"{metadata.read_text()}{line}\n")
    assert main(["gallery", str(generated)]) == 1
    assert f"{metadata}, line 4: not a JSON object with a file_name, in Unicode." in capsys.readouterr().err
    assert not (generated / "gallery.html").exists()
