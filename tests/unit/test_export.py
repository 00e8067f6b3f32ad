"""Every format that is exported to, read back as its users read it; and what cannot be exported."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw
from scipy import ndimage

import seediff.export.parquet
import seediff.export.webdataset
from seediff.cli import main
from seediff.datasets.annotated import open_annotated
from seediff.datasets.images import Array, Pair
from seediff.datasets.origins import Origin
from seediff.errors import SeediffError
from seediff.export.folders import MARK, whole_folder
from seediff.export.formats import FORMATS, export
from seediff.export.source import Source
from seediff.export.splits import parse_shares, split_images
from seediff.files.sealed import write_json

CLASSES = ("cat", "traffic light", "Straße: 'a'")
NAMES = tuple(f"{kind}-{index:06d}" for kind in ("train", "test-cat") for index in range(5))
SHARES = {"train": 0.7, "val": 0.3}
SETTINGS = {"model": "some/model", "template": "a photo of a {word}", "variant": "ire", "rng_seed": 0}
ORIGIN = Origin({name: f"a photo of {name}" for name in NAMES}, dict.fromkeys(NAMES, "cat"), SETTINGS)


@dataclass(frozen=True)
class Drawn:
    """Images of noise with labels of rectangles, discs, rings and specks."""

    classes: tuple[str, ...] = CLASSES
    names: tuple[str, ...] = NAMES
    identity: str = "drawn"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Pair:
        random = np.random.default_rng(index)
        height, width = 30 + index, 44 - index
        labels = np.zeros((height, width), np.uint8)
        labels[2:9, 3:14] = 1
        labels[4:6, 5:9] = 0 if index % 2 else 2
        y, x = np.ogrid[:height, :width]
        distance = np.hypot(y - 18, x - 20)
        labels[(distance < 9) & (distance > 4)] = 1 + index % 3
        labels[random.random((height, width)) < 0.02] = 2
        labels[:, -3:] = 255 if index % 4 else 0
        return random.integers(0, 256, (height, width, 3), np.uint8), labels if index != 7 else np.zeros_like(labels)


DATA = Drawn()
BY_NAME: Mapping[str, Pair] = {name: DATA[index] for index, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``exported(format)``: the folder that the format was written to."""
    root = tmp_path_factory.mktemp("exported")

    def to(format: str) -> Path:
        folder = root / format
        if not folder.exists():
            made = export(DATA, format, folder, SHARES, ORIGIN, license="cc-by-4.0")
            assert made == {"train": 7, "val": 3}
        return folder

    return to


def split_of(split: str) -> set[str]:
    return {NAMES[index] for index in split_images(NAMES, SHARES, 0)[split]}


def check(name: str, image: Any, labels: Any) -> None:
    np.testing.assert_array_equal(np.asarray(image), BY_NAME[name][0])
    np.testing.assert_array_equal(np.asarray(labels), BY_NAME[name][1])


# --- COCO and the plain folder, by our own readers


@pytest.mark.parametrize("split", SHARES)
@pytest.mark.parametrize("format", ["coco", "png"])
def test_our_own_readers(exported: Any, format: str, split: str) -> None:
    read = open_annotated(exported(format), split=split)
    assert read.classes == CLASSES and set(read.names) == split_of(split)
    for index, name in enumerate(read.names):
        check(name, *read[index])


# --- COCO, by pycocotools


@pytest.mark.parametrize("split", SHARES)
def test_coco(exported: Any, split: str) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    coder = pytest.importorskip("pycocotools.mask")
    folder = exported("coco")
    read = coco.COCO(str(folder / "annotations" / f"instances_{split}.json"))
    names = set()
    for about in read.loadImgs(read.getImgIds()):
        labels = np.zeros((about["height"], about["width"]), np.uint8)
        for annotation in read.loadAnns(read.getAnnIds(about["id"])):
            mask = read.annToMask(annotation).astype(bool)
            assert set(labels[mask].tolist()) <= ({0, 255} if annotation["iscrowd"] else {0})
            labels[mask] = 255 if annotation["iscrowd"] else annotation["category_id"]
            assert annotation["area"] == coder.area(annotation["segmentation"]) > 0
            assert annotation["bbox"] == coder.toBbox(annotation["segmentation"]).tolist()
        name = about["file_name"].removesuffix(".png")
        check(name, Image.open(folder / split / about["file_name"]), labels)
        names.add(name)
    assert names == split_of(split)
    assert read.getCatIds() == [1, 2, 3] and [each["name"] for each in read.loadCats([1, 2, 3])] == [*CLASSES]
    assert read.dataset["info"]["model"] == "some/model" and read.dataset["licenses"][0]["name"] == "cc-by-4.0"
    captions = coco.COCO(str(folder / "annotations" / f"captions_{split}.json"))
    said = {captions.loadImgs(each["image_id"])[0]["file_name"]: each["caption"] for each in captions.anns.values()}
    assert said == {f"{name}.png": f"a photo of {name}" for name in names}


def test_coco_detections_on_ignored_pixels_do_not_count(exported: Any) -> None:
    """They would without the crowd regions."""
    coco = pytest.importorskip("pycocotools.coco")
    path = exported("coco") / "annotations" / "instances_train.json"
    truth, bare = coco.COCO(str(path)), coco.COCO(str(path))
    crowds = [each for each in truth.dataset["annotations"] if each["iscrowd"]]
    instances = [each for each in truth.dataset["annotations"] if not each["iscrowd"]]
    assert {each["category_id"] for each in crowds} == {1, 2, 3}
    bare.dataset["annotations"] = instances
    bare.createIndex()
    right = [detection(each, score=0.5) for each in instances]
    wrong = [detection(each, score=0.9) for each in crowds]
    assert precision(truth, right) == precision(bare, right) == pytest.approx(1)
    assert precision(truth, [*right, *wrong]) == pytest.approx(1)
    assert precision(bare, [*right, *wrong]) < 0.95


def detection(annotation: Mapping[str, Any], score: float) -> dict[str, Any]:
    """What a model says that finds the annotated mask."""
    return {key: annotation[key] for key in ("image_id", "category_id", "segmentation")} | {"score": score}


def precision(truth: Any, detections: list[dict[str, Any]]) -> float:
    from pycocotools.cocoeval import COCOeval

    evaluated = COCOeval(truth, truth.loadRes(deepcopy(detections)), "segm")
    evaluated.evaluate()
    evaluated.accumulate()
    evaluated.summarize()
    return float(evaluated.stats[0])


# --- YOLO, as Ultralytics documents it


def yolo_regions(text: str, width: int, height: int) -> Iterator[tuple[int, Array]]:
    """The class of every line, counted from 0, and its polygon (n, 2) in pixels."""
    for line in text.splitlines():
        number, *coordinates = line.split(" ")
        yield int(number), np.array(coordinates, float).reshape(-1, 2) * (width, height)


@pytest.mark.parametrize("split", SHARES)
def test_yolo_polygons(exported: Any, split: str) -> None:
    """Filled with its border, as OpenCV does, a polygon differs from the labels in pixels at an outline alone."""
    folder = exported("yolo")
    about = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert about["names"] == dict(enumerate(CLASSES)) and "path" not in about and "masks_dir" not in about
    names = set()
    for path in sorted((folder / about[split]).iterdir()):
        name = path.stem
        labels = BY_NAME[name][1]
        height, width = labels.shape
        text = Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt").read_text()
        for label in range(1, len(CLASSES) + 1):
            drawn = Image.new("1", (width, height))
            areas = 0.0
            for number, polygon in yolo_regions(text, width, height):
                if number == label - 1:
                    assert (polygon >= 0).all() and (polygon <= (width, height)).all()
                    ImageDraw.Draw(drawn).polygon([tuple(corner) for corner in polygon.tolist()], fill=1, outline=1)
                    areas += abs(sum(x * v - u * y for (x, y), (u, v) in pairwise([*polygon, polygon[0]]))) / 2
            truth = labels == label
            assert areas == pytest.approx(truth.sum(), abs=0.05)
            found = np.asarray(drawn)
            reach = ndimage.binary_dilation(truth, np.ones((3, 3)))
            assert not (truth & ~found).any() and not (found & ~reach).any()
        names.add(name)
    assert names == split_of(split)


@pytest.mark.parametrize("split", SHARES)
def test_yolo_class_maps(exported: Any, split: str) -> None:
    folder = exported("yolo")
    about = yaml.safe_load((folder / "semantic.yaml").read_text(encoding="utf-8"))
    assert about["names"] == dict(enumerate(["background", *CLASSES]))
    names = set()
    for path in (folder / about[split]).iterdir():
        mask = Image.open(str(path).replace("/images/", f"/{about['masks_dir']}/"))
        assert mask.mode == "L"
        check(path.stem, Image.open(path), mask)
        names.add(path.stem)
    assert names == split_of(split)


def test_yolo_needs_its_splits(tmp_path: Path) -> None:
    for shares in ({"train": 1.0}, {"train": 0.5, "val": 0.3, "more": 0.2}):
        with pytest.raises(SeediffError, match="needs the splits train and val"):
            export(DATA, "yolo", tmp_path / "out", shares)
    assert not any(tmp_path.iterdir())


# --- VOC, as torchvision reads it


@pytest.mark.parametrize("split", SHARES)
def test_voc(exported: Any, split: str) -> None:
    folder = exported("voc")
    names = [line.strip() for line in (folder / "ImageSets" / "Segmentation" / f"{split}.txt").open()]
    assert set(names) == split_of(split) and len(names) == len(set(names))
    for name in names:
        image = np.asarray(Image.open(folder / "JPEGImages" / f"{name}.jpg").convert("RGB"))
        mask = Image.open(folder / "SegmentationClass" / f"{name}.png")
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), BY_NAME[name][1])
        assert np.abs(image.astype(int) - BY_NAME[name][0]).mean() < 6  # of noise, the worst case of JPEG
    assert (folder / "class_names.txt").read_text(encoding="utf-8").splitlines() == ["background", *CLASSES]


def test_voc_by_our_own_reader(exported: Any) -> None:
    """With its own classes, not with those of PASCAL VOC."""
    with pytest.raises(SeediffError, match="has the splits train, val"):
        open_annotated(exported("voc"))
    read = open_annotated(exported("voc"), split="val", classes=CLASSES[::-1])
    assert set(read.names) == split_of("val")
    for index, name in enumerate(read.names):
        labels = BY_NAME[name][1]
        turned = np.where((labels > 0) & (labels < 255), len(CLASSES) + 1 - labels, labels)
        np.testing.assert_array_equal(read[index][1], turned)


# --- Hugging Face, by datasets


def test_parquet(exported: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    read = datasets.load_dataset(str(exported("parquet")), cache_dir=str(tmp_path))
    assert set(read) == set(SHARES)
    for split in SHARES:
        assert set(read[split]["image_id"]) == split_of(split)
        for row in read[split]:
            assert row["mask"].mode == "L" and row["category"] == "cat"
            assert row["caption"] == f"a photo of {row['image_id']}"
            check(row["image_id"], row["image"], row["mask"])


def test_the_card(exported: Any) -> None:
    _, header, text = (exported("parquet") / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    about = yaml.safe_load(header)
    assert about["license"] == "cc-by-4.0" and about["task_categories"] == ["image-segmentation"]
    assert [each["split"] for each in about["configs"][0]["data_files"]] == [*SHARES]
    for label, name in enumerate(CLASSES, start=1):
        counts = [sum((BY_NAME[each][1] == label).any() for each in split_of(split)) for split in SHARES]
        assert f"| {label} | `{name.replace('`', '')}` | {counts[0]} | {counts[1]} |" in text
    assert "`some/model`" in text and '"rng_seed": 0' in text


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (None, "from the prompts `a {word}`, `one {word}`, with words of the classes in place of `{word}`."),
        ("lines.txt", "from a file of prompts."),
    ],
)
def test_the_card_tells_what_was_drawn_from(prompts: str | None, said: str) -> None:
    origin = Origin(settings={"model": "some/model", "templates": ["a {word}", "one {word}"], "prompts": prompts})
    text = seediff.export.parquet.card(Source(DATA, {}, origin), {})
    assert f"The images were drawn by the model `some/model` {said}\n" in text


def test_parquet_shards_are_bounded(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "out").mkdir()
    source = Source(DATA, {"odd": [*range(1, 10, 2)]})
    seediff.export.parquet.write(tmp_path / "out", source, shard_bytes=8000)
    shards = sorted((tmp_path / "out" / "data").iterdir())
    assert [shard.name for shard in shards] == [f"odd-{number:05d}.parquet" for number in range(len(shards))]
    assert len(shards) > 2
    read = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["odd"]
    assert read["image_id"][:] == [NAMES[index] for index in range(1, 10, 2)]
    assert set(read["caption"]) == {None} == set(read["category"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_captions_are_those_of_the_split(split: str, tmp_path: Path) -> None:
    """Images of two splits may have the same names."""
    data = tmp_path / "data"
    for name in ("train", "val"):
        for kind, mode in (("images", "RGB"), ("masks", "L")):
            (data / name / kind).mkdir(parents=True)
            Image.new(mode, (8, 8), 1).save(data / name / kind / "0001.png")
        row = {"file_name": "images/0001.png", "class": name, "text": f"a photo of a {name}"}
        (data / name / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    (data / "classes.csv").write_text("label,class\n0,background\n1,cat\n")
    write_json(data / "settings.json", {"model": "some/model"})
    line = ["export", str(data), "--format", "webdataset", "--output", str(tmp_path / "out"), "--input-split", split]
    assert main(line) == 0
    about = json.loads(samples(tmp_path / "out", "train")["0001"]["json"])
    assert (about["caption"], about["category"]) == (f"a photo of a {split}", split)
    assert ("model" in json.loads((tmp_path / "out" / "source.json").read_text())) == (split == "train")


def test_imagefolder_reads_the_plain_folder(exported: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    read = datasets.load_dataset("imagefolder", data_dir=str(exported("png")), cache_dir=str(tmp_path))
    assert {*read} == {"train", "validation"}  # what it calls val
    for split, name in zip(SHARES, ("train", "validation")):
        rows = [*read[name]]
        assert {row["text"].removeprefix("a photo of ") for row in rows} == split_of(split)
        for row in rows:
            check(row["text"].removeprefix("a photo of "), row["image"], row["mask"])
            assert (row["class"], row["label"]) == ("cat", 1)


# --- WebDataset, by tarfile


def samples(folder: Path, split: str) -> dict[str, dict[str, bytes]]:
    """Key -> extension -> content, as WebDataset groups them: a key ends at its first dot."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob(f"{split}-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                content = tar.extractfile(member)
                assert content is not None
                found.setdefault(key, {})[extension] = content.read()
    return found


@pytest.mark.parametrize("split", SHARES)
def test_webdataset(exported: Any, split: str) -> None:
    found = samples(exported("webdataset"), split)
    assert found.keys() == split_of(split)
    for name, files in found.items():
        mask = Image.open(BytesIO(files["mask.png"]))
        check(name, Image.open(BytesIO(files["png"])), mask)
        assert np.array_equal(np.asarray(mask.convert("RGB"))[..., 0], mask)  # as WebDataset's "pil" decodes it
        about = json.loads(files["json"])
        assert (about["caption"], about["category"]) == (f"a photo of {name}", "cat")
        labels = [CLASSES.index(each) + 1 for each in about["classes"]]
        assert labels == [each for each in np.unique(BY_NAME[name][1]).tolist() if each not in (0, 255)]


def test_webdataset_by_datasets(exported: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = {split: str(exported("webdataset") / f"{split}-*.tar") for split in SHARES}
    read = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path))
    for split in SHARES:
        assert set(read[split]["__key__"]) == split_of(split)
        for row in read[split]:
            check(row["__key__"], row["png"], row["mask.png"])
            assert row["json"]["category"] == "cat"


def test_webdataset_shards_are_bounded_and_the_same_every_time(tmp_path: Path) -> None:
    source = Source(DATA, {"train": [*range(10)]}, ORIGIN)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        seediff.export.webdataset.write(tmp_path / name, source, shard_bytes=12000)
    shards = sorted((tmp_path / "first").glob("*.tar"))
    assert [shard.name for shard in shards] == [f"train-{number:06d}.tar" for number in range(len(shards))]
    assert len(shards) > 2 and [*samples(tmp_path / "first", "train")] == [*NAMES]
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


# --- the plain folder


@pytest.mark.parametrize("split", SHARES)
def test_png(exported: Any, split: str) -> None:
    folder = exported("png")
    names = {path.stem for path in (folder / split / "images").iterdir()}
    assert names == split_of(split) == {path.stem for path in (folder / split / "masks").iterdir()}
    for name in names:
        mask = Image.open(folder / split / "masks" / f"{name}.png")
        assert mask.mode == "P"
        check(name, Image.open(folder / split / "images" / f"{name}.png"), mask)
    with (folder / "classes.csv").open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["label"], row["class"]) for row in rows] == [*zip("0123", ["background", *CLASSES])]
    assert json.loads((folder / "source.json").read_text())["model"] == "some/model"


# --- splits


def test_splits_depend_on_names_and_seed_alone() -> None:
    names = [f"image-{index}" for index in range(100)]
    shares = {"train": 0.8, "val": 0.15, "test": 0.05}
    splits = split_images(names, shares, 3)
    assert {split: len(found) for split, found in splits.items()} == {"train": 80, "val": 15, "test": 5}
    assert sorted(index for found in splits.values() for index in found) == [*range(100)]
    turned = split_images(names[::-1], shares, 3)
    for split, found in splits.items():
        assert found == sorted(found)
        assert {names[index] for index in found} == {names[::-1][index] for index in turned[split]}
    assert split_images(names, shares, 4) != splits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train=.8", "sum to 0.8, not to 1"),
        ("train=.8,val=.3", "sum to 1.1, not to 1"),
        ("train=1.2,val=-.2", "'1.2' is no share"),
        ("train=nan", "'nan' is no share"),
        ("train", "'' is no share"),
        ("train=.5,train=.5", "'train' is named twice"),
        ("../a=1", "'../a' is no name of a split"),
        ("", "'' is no name of a split"),
    ],
)
def test_wrong_shares(text: str, said: str) -> None:
    with pytest.raises(SeediffError) as error:
        parse_shares(text)
    assert said in str(error.value) and "train=.8,val=.2" in str(error.value)


def test_shares() -> None:
    assert parse_shares("train=.8, val=0.1,test = 1e-1") == {"train": 0.8, "val": 0.1, "test": 0.1}


def test_a_split_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="'val' would have no image"):
        export(DATA, "png", tmp_path / "out", {"train": 0.99, "val": 0.01})
    assert not any(tmp_path.iterdir())


# --- what is refused


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Drawn(names=()), "has no images"),
        (Drawn(classes=tuple(f"class {k}" for k in range(255))), "255 classes, but label files have room for 254"),
        (Drawn(classes=("a\nb",)), "must be one line of text"),
        (Drawn(classes=("cat", "cat")), "hold 'cat' twice"),
        (Drawn(classes=("background",)), "'background' is among the classes"),
        (Drawn(names=("a\nb",)), "must be one line of text"),
        (Drawn(names=("Cat", "cat")), "'Cat' and 'cat' would be one file"),
        (Drawn(names=("cat", "cat")), "'cat' and 'cat' would be one file"),
        (Drawn(names=("../cat",)), "no file can have"),
        (Drawn(names=(".cat",)), "no file can have"),
        (Drawn(names=("c" * 300,)), "no file can have"),
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_refused(format: str, data: Drawn, said: str, tmp_path: Path) -> None:
    with pytest.raises(SeediffError) as error:
        export(data, format, tmp_path / "out", {"train": 1.0})
    assert said in str(error.value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["voc", "png"])
@pytest.mark.parametrize("name", ["void", "_background_", " cat"])
def test_classes_that_a_list_would_change_are_refused(format: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="would be another thing in a list of classes"):
        export(Drawn(classes=("dog", name)), format, tmp_path / "out", {"train": 1.0})


@pytest.mark.parametrize(
    ("format", "name", "said"),
    [("voc", "a cat", "has a space in its name"), ("webdataset", "a.cat", "has a dot in its name")],
)
def test_refused_by_a_format(format: str, name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match=said):
        export(Drawn(names=(name,)), format, tmp_path / "out", {"train": 1.0})
    export(Drawn(names=(name,)), "png", tmp_path / "out", {"train": 1.0})
    assert (tmp_path / "out" / "train" / "images" / f"{name}.png").is_file()


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="Did you mean 'parquet'"):
        export(DATA, "parket", tmp_path / "out", {"train": 1.0})


# --- whole or not at all


class Broken(Drawn):
    """The last image cannot be read."""

    def __getitem__(self, index: int) -> Pair:
        if index == len(self) - 1:
            raise SeediffError("the last image is broken")
        return super().__getitem__(index)


@pytest.mark.parametrize("format", FORMATS)
def test_a_failed_export_leaves_nothing(format: str, tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="the last image is broken"):
        export(Broken(), format, tmp_path / "out", SHARES)
    assert not any(tmp_path.iterdir())


def test_only_what_an_export_left_is_deleted(tmp_path: Path) -> None:
    unfinished = tmp_path / "out.partial"
    (unfinished / "train").mkdir(parents=True)
    with pytest.raises(SeediffError, match="is in the way"), whole_folder(tmp_path / "out"):
        pass
    assert (unfinished / "train").is_dir()
    (unfinished / MARK).touch()
    with whole_folder(tmp_path / "out") as folder:
        assert folder == unfinished and [path.name for path in folder.iterdir()] == [MARK]
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and not any((tmp_path / "out").iterdir())


def test_a_folder_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path, tmp_path / "file"):
        with pytest.raises(SeediffError, match="is not an empty folder"):
            export(DATA, "png", output, {"train": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "empty").mkdir()
    export(DATA, "png", tmp_path / "empty", {"train": 1.0})
    assert (tmp_path / "empty" / "classes.csv").is_file()
