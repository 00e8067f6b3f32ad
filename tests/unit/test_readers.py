"""Image coding, label names and the readers of the three formats, on hand-made and on damaged data sets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from seediff.datasets import ade20k, cityscapes, imagenet_s, voc
from seediff.datasets.benchmarks import Benchmark, open_benchmark
from seediff.datasets.images import (
    VOC_COLOURS,
    check_same_size,
    decode_ids,
    decode_mask,
    decode_rgb,
    encode_ids,
    encode_jpeg,
    encode_labels,
    encode_mask,
    encode_png,
)
from seediff.datasets.registry import FORMATS
from seediff.datasets.training_sets import assemble_real
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.names import check_name, nearest

MASKS = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))
CLASSES = ("bus", "car", "motorbike", "person")


@settings(max_examples=25, deadline=None)
@given(MASKS, st.integers(0, 2**32))
def test_round_trips(mask: np.ndarray, rng_seed: int) -> None:
    image = np.random.default_rng(rng_seed).integers(0, 256, (*mask.shape, 3), np.uint8)
    assert np.array_equal(decode_rgb(encode_png(image), "x"), image)
    for encode in (encode_mask, encode_labels):
        decoded = decode_mask(encode(mask), "x")
        assert np.array_equal(decoded, mask) and decoded.dtype == np.uint8 and decoded.flags.writeable


def test_masks_have_vocs_colours() -> None:
    assert VOC_COLOURS[[0, 1, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip
    picture = Image.open(BytesIO(encode_mask(np.array([[0, 15]], np.uint8))))
    assert picture.mode == "P" and np.asarray(picture.convert("RGB")).tolist() == [[[0, 0, 0], [192, 128, 128]]]


def test_jpeg_is_nearly_lossless_and_keeps_colours() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:8, :8, 0] = image[8:, 8:, 2] = 255
    decoded = decode_rgb(encode_jpeg(image), "x")
    assert np.abs(decoded.astype(int) - image).max() < 20


def test_grey_images_become_rgb() -> None:
    buffer = BytesIO()
    Image.new("L", (3, 2), 77).save(buffer, format="PNG")
    assert np.array_equal(decode_rgb(buffer.getvalue(), "x"), np.full((2, 3, 3), 77))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_broken_bytes_end_in_an_error_that_names_the_sample(data: st.DataObject) -> None:
    content = bytearray(encode_mask(np.arange(64, dtype=np.uint8).reshape(8, 8)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    for decode in (decode_rgb, decode_mask):
        try:
            decode(cut, "cat-000001.png in x.tar")
        except SeediffError as error:
            assert "cat-000001.png in x.tar" in str(error) and str(error).count("\n") < 3


@pytest.mark.parametrize("content", [b"", b"not an image", encode_png(np.zeros((9, 9, 3), np.uint8))[:40]])
def test_unreadable_bytes(content: bytes) -> None:
    with pytest.raises(SeediffError, match=r"^sample 7 is not a readable"):
        decode_rgb(content, "sample 7")


def test_a_picture_too_large_to_be_true() -> None:
    """A header that asks for gigabytes is refused before anything is allocated."""
    content = bytearray(encode_png(np.zeros((2, 2, 3), np.uint8)))
    content[16:24] = (60_000).to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    with pytest.raises(SeediffError, match=r"^sample 7 is not a readable"):
        decode_rgb(bytes(content), "sample 7")


def test_a_colour_image_is_no_mask() -> None:
    with pytest.raises(SeediffError, match=r"sample 7 is not a mask.*RGB"):
        decode_mask(encode_png(np.zeros((2, 2, 3), np.uint8)), "sample 7")


def test_different_sizes() -> None:
    check_same_size(np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.uint8), "a", "b")
    with pytest.raises(SeediffError, match=r"a\.jpg is 3 x 2, b\.png is 2 x 3 pixels"):
        check_same_size(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2), np.uint8), "a.jpg", "b.png")


def test_class_lists() -> None:
    assert len(voc.CLASSES) == 20 and voc.CLASSES.index("tvmonitor") == 19 and voc.CLASSES.index("bus") == 5
    assert len(set(ade20k.CLASSES)) == 150
    numbers = {"wall": 1, "person": 13, "car": 21, "sofa": 24, "bus": 81, "minibike": 117, "bicycle": 128, "flag": 150}
    assert {name: ade20k.CLASSES.index(name) + 1 for name in numbers} == numbers
    by_training_id = [name for _, name in sorted(cityscapes.IDS.items())]
    assert by_training_id == list(cityscapes.TRAIN_IDS) and list(cityscapes.TRAIN_IDS.values()) == list(range(19))


def test_aliases_name_classes_that_exist() -> None:
    known = {"voc": voc.CLASSES, "cityscapes": cityscapes.TRAIN_IDS, "ade20k": ade20k.CLASSES}
    known |= {f"imagenet_s{subset}": [*names.values()] for subset, names in imagenet_s.NAMES.items()}
    for name, format in FORMATS.items():
        assert all(own in known[name] for names in format.aliases.values() for own in names)


def test_groups_and_overlapping_classes() -> None:
    assert cityscapes.FORMAT.label_by_name(["human", "vehicle"]) == {
        "person": 1, "rider": 1, "car": 2, "bus": 2, "truck": 2, "train": 2,
    }  # fmt: skip
    with pytest.raises(SeediffError, match="'person' and 'human'"):
        cityscapes.FORMAT.label_by_name(["person", "human"])
    with pytest.raises(SeediffError, match=r"cityscapes has no class 'cart'\.\nDid you mean 'car'\?"):
        cityscapes.FORMAT.label_by_name(["cart"])
    with pytest.raises(SeediffError, match="cityscapes has none of the classes cat, dog"):
        cityscapes.FORMAT.label_by_name(["cat", "dog"])


def test_every_class_of_voc_is_accounted_for_elsewhere() -> None:
    """A class has its own name or others, or the data set is known to lack it: never two of these."""
    for format, known in (("cityscapes", cityscapes.IDS.values()), ("ade20k", ade20k.CLASSES)):
        assert {name for name in voc.CLASSES if not {*FORMATS[format].own_names(name)} <= {*known}} == set()
        for name in FORMATS[format].absent:
            assert name in voc.CLASSES and name not in known and name not in FORMATS[format].aliases
    of_fifty = {*imagenet_s.NAMES[50].values()}
    assert all({*FORMATS["imagenet_s50"].own_names(name)} <= of_fifty for name in voc.CLASSES)
    fifty = FORMATS["imagenet_s50"]
    assert len(fifty.absent) == len(voc.CLASSES) - len(fifty.aliases)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["person", "tv/monitor", "couch"], "voc has no class 'tv/monitor'.\nDid you mean 'tvmonitor'?"),
        (["person", "couch"], "voc has no class 'couch'.\nKnown: aeroplane, "),
        (["cat", "car", "dining table"], "voc has no class 'dining table'.\nDid you mean 'diningtable'?"),
        (["background", "cat"], "'background'"),
        (["cat", "cat"], "'cat' twice"),
        ([], "no classes"),
    ],
)
def test_classes_that_the_data_set_does_not_have(tmp_path: Path, classes: list[str], message: str) -> None:
    make("voc", tmp_path, [15, 18, 20])
    with pytest.raises(SeediffError, match=re.escape(message)):
        open_benchmark("voc", tmp_path, "val", classes)
    with pytest.raises(SeediffError, match=re.escape(message)):
        assemble_real("voc", tmp_path, "val", classes, None, tmp_path / "set.json")


def test_classes_that_are_said_to_be_lacking(tmp_path: Path) -> None:
    make("voc", tmp_path, [15, 18, 20])
    assert open_benchmark("voc", tmp_path, "val", ["kettle", "sofa"], ["kettle"])[0][1].tolist() == [[0, 2, 0]]
    with pytest.raises(SeediffError, match="voc has 'sofa', which is said to be lacking"):
        open_benchmark("voc", tmp_path, "val", ["kettle", "sofa"], ["kettle", "sofa"])


def test_nothing_is_learnt_from_a_data_set_that_has_none_of_it(tmp_path: Path) -> None:
    """Cityscapes can be tested without a class that it is known to lack, but not trained on."""
    make("cityscapes", tmp_path, [26, 24])
    assert open_benchmark("cityscapes", tmp_path, "val", ["cat", "car"])[0][1].tolist() == [[2, 0]]
    with pytest.raises(SeediffError, match="cityscapes has no class 'cat' to learn"):
        assemble_real("cityscapes", tmp_path, "val", ["cat", "car"], None, tmp_path / "set.json")


# One image of every format: a row of pixel values, and its labels in the study (bus, car, motorbike, person).
VALUES = {
    "voc": ([0, 6, 7, 14, 15, 255, 12, 20], [0, 1, 2, 3, 4, 255, 0, 0]),
    "cityscapes": ([28, 26, 32, 24, 25, 7, 33, 0, 5, 29], [1, 2, 3, 4, 0, 0, 0, 255, 255, 255]),
    "ade20k": ([81, 21, 117, 13, 0, 1, 150, 84], [1, 2, 3, 4, 255, 0, 0, 0]),
    "imagenet_s50": ([20, 34, 0, 1, 50, 1000], [2, 3, 0, 0, 0, 255]),
}
PLACES = {
    "voc": ("JPEGImages/2007_000032.jpg", "SegmentationClass/2007_000032.png"),
    "cityscapes": (
        "leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png",
        "gtFine/val/ulm/ulm_000000_000019_gtFine_labelIds.png",
    ),
    "ade20k": ("images/validation/ADE_val_00000001.jpg", "annotations/validation/ADE_val_00000001.png"),
    "imagenet_s50": (
        "validation/n01443537/ILSVRC2012_val_00004677.JPEG",
        "validation-segmentation/n01443537/ILSVRC2012_val_00004677.png",
    ),
}
FORMAT_NAMES = sorted(PLACES)


def make(format: str, folder: Path, values: list[int], width: int | None = None) -> tuple[Path, Path]:
    """A data set of one grey image and a label file with one row of the given values."""
    image, labels = (folder / place for place in PLACES[format])
    for path in (image, labels):
        path.parent.mkdir(parents=True)
    Image.new("RGB", (width or len(values), 1), (90, 90, 90)).save(image)
    encode = {"voc": encode_mask, "imagenet_s50": encode_ids}.get(format, encode_labels)
    labels.write_bytes(encode(np.array([values], np.uint16 if encode is encode_ids else np.uint8)))
    if format == "voc":
        lists = folder / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        (lists / "val.txt").write_text("2007_000032\n")
    return image, labels


def opened(format: str, folder: Path, split: str = "val") -> Benchmark:
    return open_benchmark(format, folder, split, CLASSES)


def refusal(format: str, folder: Path, split: str = "val") -> str:
    with pytest.raises(SeediffError) as caught:
        opened(format, folder, split)[0]
    assert str(caught.value).count("\n") <= 2
    return str(caught.value)


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_labels_are_mapped_by_name(tmp_path: Path, format: str) -> None:
    values, expected = VALUES[format]
    make(format, tmp_path, values)
    benchmark = opened(format, tmp_path)
    assert benchmark.label_space.names == ("background", *CLASSES) and benchmark.name == f"{format} val"
    (image, labels), *others = list(benchmark)  # type: ignore[call-overload]
    assert len(benchmark) == 1 and others == []
    assert image.shape == (1, len(values), 3) and image.dtype == labels.dtype == np.uint8
    assert labels.tolist() == [expected]


def test_ade20k_has_three_kinds_of_screens(tmp_path: Path) -> None:
    make("ade20k", tmp_path, [90, 142, 144, 18, 132])
    _, labels = open_benchmark("ade20k", tmp_path, "val", ["pottedplant", "tvmonitor"])[0]
    assert labels.tolist() == [[2, 2, 2, 1, 0]]


@pytest.mark.parametrize(
    ("format", "value"), [("voc", 21), ("voc", 254), ("cityscapes", 34), ("ade20k", 151), ("imagenet_s50", 51)]
)
def test_values_the_data_set_does_not_define(tmp_path: Path, format: str, value: int) -> None:
    _, labels = make(format, tmp_path, [1, value])
    assert str(labels) in (message := refusal(format, tmp_path)) and f" {value}," in message


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_damaged_data_sets(tmp_path: Path, format: str) -> None:
    image, labels = make(format, tmp_path, [1, 2, 3])
    content = labels.read_bytes()
    labels.write_bytes(content[:40])
    assert str(labels) in refusal(format, tmp_path)
    labels.unlink()
    assert str(labels) in (message := refusal(format, tmp_path)) and "missing" in message
    labels.write_bytes(content)
    image.write_bytes(image.read_bytes()[:40])
    assert str(image) in refusal(format, tmp_path)


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_image_and_labels_of_different_sizes(tmp_path: Path, format: str) -> None:
    image, labels = make(format, tmp_path, [1, 2, 3], width=4)
    assert str(image) in (message := refusal(format, tmp_path)) and str(labels) in message


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_missing_folders_and_splits(tmp_path: Path, format: str) -> None:
    assert str(tmp_path / "nowhere") in refusal(format, tmp_path / "nowhere")
    make(format, tmp_path, [1])
    assert "trainval" in refusal(format, tmp_path, "trainval")


def test_missing_images_and_empty_lists(tmp_path: Path) -> None:
    image, _ = make("voc", tmp_path, [1])
    image.unlink()
    assert str(image) in refusal("voc", tmp_path)
    split = tmp_path / "ImageSets" / "Segmentation" / "val.txt"
    split.write_text("\n")
    assert "lists no images" in refusal("voc", tmp_path)
    split.write_text("../../../etc/passwd\n")
    assert "cannot be used as a name" in refusal("voc", tmp_path)


def test_a_list_that_begins_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    """As an editor on Windows writes it."""
    make("voc", tmp_path, [1])
    split = tmp_path / "ImageSets" / "Segmentation" / "val.txt"
    split.write_bytes(b"\xef\xbb\xbf2007_000032\r\n")
    assert [item.name for item in opened("voc", tmp_path).items] == ["2007_000032"]


@pytest.mark.parametrize("format", ["cityscapes", "ade20k", "imagenet_s50"])
def test_what_a_dot_hides_is_no_image(tmp_path: Path, format: str) -> None:
    """As a Mac leaves it beside every file on a foreign disk."""
    for path in make(format, tmp_path, [1, 2]):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert len(opened(format, tmp_path)) == 1


def twin(path: Path, name: str) -> Path:
    return Path(shutil.copy(path, path.with_name(name)))


def other_spellings(path: Path) -> list[str]:
    """Names of another file that could also be meant."""
    names = [f"{path.stem}.bmp", f"{path.stem}{path.suffix.swapcase()}", f"{path.stem.swapcase()}{path.suffix}"]
    return [name for name in names if name != path.name]  # VOC's have no letters


@pytest.mark.parametrize("format", FORMAT_NAMES)
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_beside_its_twin(tmp_path: Path, format: str, which: int) -> None:
    """Names that differ only in case or ending: it is unknown which of the two is meant."""
    path = make(format, tmp_path, [1, 2])[which]
    for name in other_spellings(path):
        other = twin(path, name)
        message = refusal(format, tmp_path)
        assert ": files whose names differ in case or ending alone: " in message
        assert path.name in message and name in message
        other.unlink()
    assert len(opened(format, tmp_path)) == 1


@pytest.mark.parametrize("format", FORMAT_NAMES)
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_of_another_spelling(tmp_path: Path, format: str, which: int) -> None:
    path = make(format, tmp_path, [1, 2])[which]
    for name in other_spellings(path)[:2]:
        path = path.rename(path.with_name(name))
        message = refusal(format, tmp_path)
        assert "missing" in message and f" (there is {name})" in message


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_a_stand_in_is_drawn_anew_and_not_unpacked(tmp_path: Path, format: str) -> None:
    write_domain(format, tmp_path / "drawn", train=1, val=1, rng_seed=0)
    opened(format, tmp_path / "drawn").items[0].image.unlink()
    assert "missing image" in (message := refusal(format, tmp_path / "drawn"))
    assert message.endswith("Delete the folder and run again.")


def test_of_very_many_names_a_hint_shows_some() -> None:
    assert nearest("x", ["b", "a"]) == "Known: a, b."
    hint = nearest("spaceship", [f"{k:03d}" for k in range(919)])
    assert hint.startswith("Known: 000, 001, ") and hint.endswith(", 039, ... (919 in all).")


@pytest.mark.parametrize("format", ["cityscapes", "ade20k", "imagenet_s50"])
def test_images_without_labels_and_labels_without_images(tmp_path: Path, format: str) -> None:
    """Each is reported as missing, whichever of the two exists, with their number."""
    image, labels = make(format, tmp_path, [1, 2])
    for path, problem in ((labels, "missing image: "), (image, "missing label file: ")):
        alone = [twin(path, path.name.replace("00", digits, 1)) for digits in ("77", "88", "99")]
        assert problem in (message := refusal(format, tmp_path)) and ", and 2 more." in message
        for other in alone:
            other.unlink()
    assert len(opened(format, tmp_path)) == 1


@pytest.mark.parametrize("format", ["cityscapes", "ade20k", "imagenet_s50"])
def test_pairs_deeper_than_files_are_looked_for(tmp_path: Path, format: str) -> None:
    """They would be left out without a word."""
    for path in make(format, tmp_path, [1, 2]):
        split = path.parent.parent if format != "ade20k" else path.parent
        (split / "more" / "deep").mkdir(parents=True)
        shutil.copy(path, split / "more" / "deep")
    message = refusal(format, tmp_path)
    assert f"more{os.sep}deep lies deeper than files are looked for" in message


def test_four_label_files_and_two_usable_images(tmp_path: Path) -> None:
    image, labels = make("ade20k", tmp_path, [1, 2])
    for number in (2, 3, 4):
        twin(labels, f"ADE_val_0000000{number}.png")
    twin(image, "ADE_val_00000002.jpg")
    twin(image, "ADE_val_00000003.JPG")
    message = refusal("ade20k", tmp_path)
    assert f"missing image: {image.with_name('ADE_val_00000003.jpg')} (there is ADE_val_00000003.JPG)" in message
    assert "and 1 more" in message


def test_an_image_listed_twice(tmp_path: Path) -> None:
    image, _ = make("voc", tmp_path, [15])
    split = tmp_path / "ImageSets" / "Segmentation" / "val.txt"
    split.write_text("2007_000032\n" * 3)
    assert refusal("voc", tmp_path).startswith(f"{split}: image listed twice: {image}, and 1 more.")


def test_an_image_of_imagenet_s_in_two_folders(tmp_path: Path) -> None:
    for file in make("imagenet_s50", tmp_path, [1, 2]):
        other = file.parent.parent / "n01491361" / file.name
        other.parent.mkdir()
        shutil.copy(file, other)
    assert "image listed twice: " in refusal("imagenet_s50", tmp_path)


def test_files_that_are_no_pictures_are_left_alone(tmp_path: Path) -> None:
    image, labels = make("cityscapes", tmp_path, [26, 24])
    twin(labels, labels.name.replace("labelIds", "color"))
    twin(labels, labels.name.replace("labelIds", "instanceIds"))
    for path in (image.with_suffix(".txt"), image.parent / "Thumbs.db", labels.parent / ".DS_Store"):
        path.write_text("")
    assert len(opened("cityscapes", tmp_path)) == 1


PAIRS = "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png\n"


@pytest.mark.parametrize(
    "line", ["{0}\n", PAIRS, PAIRS.replace("\n", " \r\n"), PAIRS.replace("/J", "J").replace(" /", "\t")]
)
@pytest.mark.parametrize("encode", [encode_mask, encode_labels])
def test_sbd_has_labels_of_its_own(tmp_path: Path, line: str, encode: Callable[[np.ndarray], bytes]) -> None:
    """Both kinds of list, and both kinds of PNG."""
    image, _ = make("voc", tmp_path, [6, 7])
    shutil.copy(image, image.with_name("2008_000008.jpg"))
    (tmp_path / "SegmentationClassAug").mkdir()
    for name in ("2007_000032", "2008_000008"):
        (tmp_path / "SegmentationClassAug" / f"{name}.png").write_bytes(encode(np.array([[255, 15]], np.uint8)))
    split = tmp_path / "ImageSets" / "Segmentation" / "trainaug.txt"
    split.write_bytes("".join(line.format(name) for name in ("2008_000008", "2007_000032")).encode())
    benchmark = opened("voc", tmp_path, "trainaug")
    assert [item.name for item in benchmark.items] == ["2008_000008", "2007_000032"]
    assert [benchmark[index][1].tolist() for index in (0, 1)] == [[[255, 4]], [[255, 4]]]
    assert opened("voc", tmp_path, "val")[0][1].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "line",
    [
        "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000033.png",
        "/JPEGImages/2007_000032.jpg /SegmentationClass/2007_000032.png",
        "/JPEGImages/../../x.jpg /SegmentationClassAug/../../x.png",
        "/JPEGImages/2007_000032.jpg",
    ],
)
def test_sbd_lists_that_lead_elsewhere(tmp_path: Path, line: str) -> None:
    make("voc", tmp_path, [6, 7])
    split = tmp_path / "ImageSets" / "Segmentation" / "trainaug.txt"
    split.write_text(line)
    assert "cannot be used as a name" in (message := refusal("voc", tmp_path, "trainaug")) and str(split) in message


def test_only_sbd_lists_may_hold_paths(tmp_path: Path) -> None:
    make("voc", tmp_path, [6, 7])
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text(PAIRS.format("2007_000032"))
    assert "cannot be used as a name" in refusal("voc", tmp_path)


# --- ImageNet-S


def test_the_classes_of_imagenet_s() -> None:
    """Ids follow the WordNet ids; checked where those can be looked up."""
    assert {subset: len({*names.values()}) for subset, names in imagenet_s.NAMES.items()} == {
        50: 50, 300: 300, 919: 919,
    }  # fmt: skip
    for names in imagenet_s.NAMES.values():
        assert list(names) == sorted(names) and all(check_name("Class", name) for name in names.values())
    assert {*imagenet_s.NAMES[50]} < {*imagenet_s.NAMES[300]} < {*imagenet_s.NAMES[919]}
    fifty = (
        "goldfish, tiger shark, goldfinch, tree frog, kuvasz, red fox, siamese cat, american black bear, ladybug, "
        "sulphur butterfly, wood rabbit, hamster, wild boar, gibbon, african elephant, giant panda, airliner, ashcan, "
        "ballpoint, beach wagon, boathouse, bullet train, cellular telephone, chest, clog, container ship, "
        "digital watch, dining table, golf ball, grand piano, iron, lab coat, mixing bowl, motor scooter, padlock, "
        "park bench, purse, streetcar, table lamp, television, toilet seat, umbrella, vase, water bottle, "
        "water tower, yawl, street sign, lemon, carbonara, agaric"
    )
    assert list(imagenet_s.NAMES[50].values()) == fifty.split(", ")
    merged_away = {"n04356056", "n04493381", "n03642806", "n04008634", "n03887697"}
    kept = {"n04355933", "n02808440", "n03832673", "n03773504", "n15075141"}
    assert not merged_away & {*imagenet_s.NAMES[919]} and kept < {*imagenet_s.NAMES[919]}
    cranes = {wnid: name for wnid, name in imagenet_s.NAMES[919].items() if wnid in ("n02012849", "n03126707")}
    assert cranes == {"n02012849": "crane bird", "n03126707": "construction crane"}


@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_ids_are_red_and_256_green(ids: np.ndarray) -> None:
    content = encode_ids(ids)
    assert np.array_equal(decode_ids(content, "x"), ids)
    for y, x in np.ndindex(ids.shape):
        red, green, blue = (int(part) for part in decode_rgb(content, "x")[y, x])
        assert (red + 256 * green, blue) == (ids[y, x], 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encode_labels(np.zeros((2, 2), np.uint8)), "its pixels are L, not RGB"),
        (encode_mask(np.zeros((2, 2), np.uint8)), "its pixels are P, not RGB"),
        (encode_png(np.full((2, 2, 3), 9, np.uint8)), "it has blue as well"),
        (encode_ids(np.zeros((9, 9), np.uint16))[:40], "is not a readable PNG"),
    ],
)
def test_what_holds_no_ids(content: bytes, message: str) -> None:
    with pytest.raises(SeediffError, match=f"^sample 7 .*{message}"):
        decode_ids(content, "sample 7")


def test_more_classes_than_a_byte_has_labels(tmp_path: Path) -> None:
    """A study's own few are bytes; all of a large subset take two, and 65535 is ignored."""
    make("imagenet_s50", tmp_path, [0, 1, 254, 255, 256, 919, 1000])
    names = list(imagenet_s.NAMES[919].values())
    _, labels = open_benchmark("imagenet_s919", tmp_path, "val", names)[0]
    assert labels.dtype == np.uint16 and labels.tolist() == [[0, 1, 254, 255, 256, 919, 65535]]
    _, labels = open_benchmark("imagenet_s919", tmp_path, "val", [names[918], names[254]])[0]
    assert labels.dtype == np.uint8 and labels.tolist() == [[0, 0, 0, 2, 0, 1, 255]]
    assert open_benchmark("imagenet_s919", tmp_path, "val", names).label_space.ignore_label == 65535
    with pytest.raises(SeediffError, match="254 classes at most, not 919"):
        assemble_real("imagenet_s919", tmp_path, "val", names, None, tmp_path / "set.json")
    assert not (tmp_path / "set.json").exists()


def test_images_of_imagenet_s_come_by_their_own_name(tmp_path: Path) -> None:
    image, labels = make("imagenet_s50", tmp_path, [1, 2])
    for file, suffix in ((image, "JPEG"), (labels, "png")):
        other = file.parent.parent / "n01491361" / f"ILSVRC2012_val_00000001.{suffix}"
        other.parent.mkdir()
        shutil.copy(file, other)
    names = [item.name for item in open_benchmark("imagenet_s50", tmp_path, "val", ["lemon"]).items]
    assert names == ["ILSVRC2012_val_00000001", "ILSVRC2012_val_00004677"]


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="'voc'"):
        open_benchmark("vocs", tmp_path, "val", CLASSES)


def test_every_value_of_a_format_is_named() -> None:
    assert set(voc.LABELS) == {*range(21), 255}
    assert set(cityscapes.LABELS) == set(range(34)) and set(ade20k.LABELS) == set(range(151))
    for subset in imagenet_s.SUBSETS:
        assert set(imagenet_s.labels(subset)) == {*range(subset + 1), 1000}


def test_nothing_here_imports_torch() -> None:
    modules = "images, shards, benchmarks, training_sets, verification"
    code = f"from seediff.datasets import {modules}; from seediff.embedded import domains; import sys"
    found = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert found.stdout.strip() == "False", found.stderr
