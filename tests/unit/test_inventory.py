"""Facts about the real data sets, and the check of a copy: on stand-ins, and on stand-ins damaged on purpose."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seediff.datasets.cityscapes import IDS, TRAIN_IDS
from seediff.datasets.findings import Report
from seediff.datasets.formats import STAND_IN_SIGN
from seediff.datasets.imagenet_s import SUBSETS
from seediff.datasets.images import decode_mask, encode_ids, encode_labels, encode_mask, encode_png
from seediff.datasets.palettes import VOC_COLOURS
from seediff.datasets.registry import FORMATS, list_datasets
from seediff.datasets.verification import check_dataset
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError

NAMES = sorted(FORMATS)
LABELS = {
    "voc": "SegmentationClass/val_00000{}.png",
    "cityscapes": "gtFine/val/pictogram/pictogram_00000{}_000019_gtFine_labelIds.png",
    "ade20k": "annotations/validation/ADE_val_0000000{}.png",
    **{f"imagenet_s{subset}": "validation-segmentation/{}/val_0000000{}.png" for subset in SUBSETS},
}
FIRST = {"ade20k": 1}
WNIDS = ("n02814533", "n02123597", "n03791053", "n02917067", "n04404412")
"""Folders of the stand-ins' first five images of ImageNet-S."""
BY_BYTES = ("voc", "cityscapes", "ade20k")
every_name = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in of each data set, by name; tests must not change them."""
    folder = tmp_path_factory.mktemp("drawn")
    for name in NAMES:
        write_domain(name, folder / name, train=6, val=6, rng_seed=0)
    return folder


@pytest.fixture
def copy(drawn: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A stand-in that may be damaged."""
    return lambda name: Path(shutil.copytree(drawn / name, tmp_path / name))


def label_file(name: str, folder: Path, index: int = 0) -> Path:
    place = (WNIDS[index % 5], index) if name.startswith("imagenet") else (FIRST.get(name, 0) + index,)
    path = folder / LABELS[name].format(*place)
    assert path.is_file()
    return path


def image_file(name: str, folder: Path) -> Path:
    return FORMATS[name].list_items(folder, "val")[0].image


def errors(report: Report) -> list[str]:
    """The texts of the errors, after a check of the report's form."""
    assert all(str(finding).count("\n") <= 2 and str(finding) in report.text for finding in report.findings)
    texts = [finding.text for finding in report.findings if finding.severity == "error"]
    assert report.ok == (not texts)
    return texts


def only_error(name: str, folder: Path, **options: object) -> str:
    (text,) = errors(check_dataset(name, folder, **options))  # type: ignore[arg-type]
    return text


def refusal(*arguments: object) -> str:
    with pytest.raises(SeediffError) as caught:
        check_dataset(*arguments)  # type: ignore[arg-type]
    return str(caught.value)


# --- what is known


def test_official_numbers() -> None:
    assert {name: dict(known.splits) for name, known in FORMATS.items()} == {
        "voc": {"train": 1464, "val": 1449, "trainval": 2913, "trainaug": 10582},
        "cityscapes": {"train": 2975, "val": 500},
        "ade20k": {"train": 20210, "val": 2000},
        "imagenet_s50": {"train": 500, "val": 752},
        "imagenet_s300": {"train": 3000, "val": 4097},
        "imagenet_s919": {"train": 9190, "val": 12419},
    }


def test_list_says_what_there_is_to_know(tmp_path: Path) -> None:
    text = list_datasets(tmp_path)
    for known in FORMATS.values():
        assert known.title in text and str(known.place) in text and all(name in text for name in known.holds)
    assert text.count("not there") == 6 and max(map(len, text.splitlines())) <= 120
    for fact in (
        "classes: 20 and background",
        "classes: 19\n",
        "classes: 150",
        "classes: 50 and background",
        "classes: 919 and background",
        "trainaug 10,582",
        "VOCtrainval_11-May-2012.tar",
        "registration",
    ):
        assert fact in text


def test_list_says_what_is_there(copy: Callable[[str], Path], tmp_path: Path) -> None:
    place = tmp_path / FORMATS["voc"].place
    shutil.move(copy("voc"), place)
    assert "data/VOCdevkit/VOC2012: found: a stand-in with splits train, val (6, 6 images)" in list_datasets(tmp_path)
    (place / STAND_IN_SIGN).unlink()
    assert "data/VOCdevkit/VOC2012: found: splits train, val (6, 6 images)" in list_datasets(tmp_path)
    (place / "ImageSets" / "Segmentation" / "val.txt").write_text("../x\n")
    assert "(6, unreadable images)" in list_datasets(tmp_path)
    (tmp_path / "data" / "cityscapes").mkdir()
    assert "data/cityscapes: found, but none of the splits train, val" in list_datasets(tmp_path)


@every_name
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_check_looks_at_what_the_reader_reads(drawn: Path, name: str, split: str) -> None:
    assert FORMATS[name].find_items(drawn / name, split) == FORMATS[name].list_items(drawn / name, split)


def test_unknown_names(drawn: Path) -> None:
    assert "'cityscapes'" in refusal("cityscape", drawn)
    assert "'trainaug'" in refusal("voc", drawn / "voc", ["train_aug"])


# --- whole copies


@every_name
def test_a_stand_in_is_sound_and_told_as_such(drawn: Path, name: str) -> None:
    report = check_dataset(name, drawn / name)
    assert errors(report) == [] and [finding.severity for finding in report.findings] == ["note"]
    assert "stand-in" in report.text and "No problem was found." in report.text
    assert [line.partition(":")[0] for line in report.checked] == ["train", "val"]


@every_name
def test_without_its_sign_it_has_to_have_the_official_numbers_and_sizes(copy: Callable[[str], Path], name: str) -> None:
    folder = copy(name)
    (folder / STAND_IN_SIGN).unlink()
    texts = errors(check_dataset(name, folder))
    for split in ("train", "val"):
        number = f"officially there are {FORMATS[name].splits[split]:,}"
        assert sum(text.startswith(f"{split}: 6 images") and text.endswith(number) for text in texts) == 1
    odd = [text for text in texts if "size that the data set does not have" in text]
    assert len(odd) == (2 if name == "cityscapes" else 0) and len(texts) == 2 + len(odd)
    assert all("(64 x 64), and 5 more" in text for text in odd)


@pytest.mark.parametrize("name", ["voc", "ade20k", "imagenet_s50", "imagenet_s919"])
def test_a_real_copy_that_is_sound(copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (folder := copy(name)).joinpath(STAND_IN_SIGN).unlink()
    monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], splits={"train": 6, "val": 6}))
    report = check_dataset(name, folder)
    assert report.findings == () and report.ok and report.text.endswith("No problem was found.")


def test_checksums_compare_copies(copy: Callable[[str], Path], drawn: Path) -> None:
    folder, original = copy("voc"), check_dataset("voc", drawn / "voc").checked
    assert check_dataset("voc", folder).checked == original
    expected = hashlib.sha256()
    for item in FORMATS["voc"].list_items(folder, "val"):
        for path in (item.image, item.labels):
            content = path.read_bytes()
            expected.update(f"{path.relative_to(folder)}\n{len(content)}\n".encode() + content)
    assert original[1].endswith(f"sha256 {expected.hexdigest()}")
    path = image_file("voc", folder)
    path.write_bytes(path.read_bytes() + b" ")
    train, val = check_dataset("voc", folder).checked
    assert train == original[0] and val != original[1]


def test_a_sample_is_spread_evenly(copy: Callable[[str], Path]) -> None:
    folder = copy("voc")
    for index in (1, 2, 4, 5):
        label_file("voc", folder, index).write_bytes(b"")
    report = check_dataset("voc", folder, ["val"], sample=2)
    assert errors(report) == [] and "6 images, 2 read with labels" in report.text
    assert "val_000001.png, and 3 more" in only_error("voc", folder, sample=None)


def test_splits_may_be_chosen(copy: Callable[[str], Path]) -> None:
    folder = copy("voc")
    label_file("voc", folder).unlink()
    assert errors(check_dataset("voc", folder, ["train"])) == []
    assert only_error("voc", folder, splits=["val"]).startswith("val: missing label file")
    shutil.copy(folder / "ImageSets/Segmentation/train.txt", folder / "ImageSets/Segmentation/trainval.txt")
    assert [line.partition(":")[0] for line in check_dataset("voc", folder).checked] == ["train", "val", "trainval"]


# --- wrong folders


def test_missing_folders(tmp_path: Path, copy: Callable[[str], Path]) -> None:
    assert "There is no folder" in only_error("voc", tmp_path / "nowhere")
    folder = copy("cityscapes")
    shutil.move(folder / "gtFine", folder / "unpacked" / "gtFine")
    report = check_dataset("cityscapes", folder)
    assert f"{folder} does not hold gtFine" in errors(report)[0]
    assert f"Move to {folder}: {folder / 'unpacked' / 'gtFine'}" in report.text
    assert any("val: missing label file" in text and "and 5 more" in text for text in errors(report))


@pytest.mark.parametrize("wrong", [".", "..", "VOC2012/JPEGImages", "VOC2012/ImageSets/Segmentation"])
def test_the_wrong_level(copy: Callable[[str], Path], tmp_path: Path, wrong: str) -> None:
    """Above or below the right folder, beside another one that also looks right."""
    right = tmp_path / "VOCdevkit" / "VOC2012"
    shutil.move(copy("voc"), right)
    shutil.copytree(right, right.with_name("VOC2007"))
    report = check_dataset("voc", right.parent / wrong)
    (text,) = errors(report)
    assert "does not hold JPEGImages" in text
    assert any(Path(line.split()[0]).resolve() == right for line in report.text.splitlines() if "looks right" in line)


def test_another_data_set(drawn: Path) -> None:
    report = check_dataset("voc", drawn / "ade20k")
    assert len(errors(report)) == 1 and "give the name ade20k" in report.text


def test_missing_empty_and_broken_split_files(copy: Callable[[str], Path]) -> None:
    folder = copy("voc")
    splits = folder / "ImageSets" / "Segmentation"
    (splits / "val.txt").write_text("")
    assert only_error("voc", folder) == f"val: {splits / 'val.txt'} lists no images"
    (splits / "val.txt").write_text("../../../etc/passwd\n")
    assert "cannot be used as a name" in only_error("voc", folder)
    (splits / "val.txt").unlink()
    assert only_error("voc", folder) == f"val: {splits / 'val.txt'} is missing"
    assert f"{splits / 'trainaug.txt'} is missing" in only_error("voc", folder, splits=["trainaug"])


@pytest.mark.parametrize("name", ["cityscapes", "ade20k"])
def test_missing_and_empty_split_folders(copy: Callable[[str], Path], name: str) -> None:
    folder = copy(name)
    split = FORMATS[name].split_path(folder, "val")
    shutil.rmtree(split)
    assert only_error(name, folder) == f"val: {split} is missing"
    split.mkdir()
    assert f"val: missing image: {split.relative_to(folder)}" in (text := only_error(name, folder))
    assert text.endswith("and 5 more")
    shutil.rmtree(label_file(name, folder).parent)
    assert only_error(name, folder) == f"val: {split} lists no images"


# --- damaged files


@every_name
def test_a_missing_label_file(copy: Callable[[str], Path], name: str) -> None:
    (path := label_file(name, folder := copy(name), 3)).unlink()
    assert only_error(name, folder) == f"val: missing label file: {path.relative_to(folder)}"
    assert only_error(name, folder, sample=1) == f"val: missing label file: {path.relative_to(folder)}"


@every_name
def test_a_missing_image(copy: Callable[[str], Path], name: str) -> None:
    """Distinguished from a file that exists with another spelling."""
    path = image_file(name, folder := copy(name))
    path.rename(path.with_suffix(".tiff"))
    place = path.relative_to(folder)
    assert only_error(name, folder) == f"val: missing image: {place} (there is {path.with_suffix('.tiff').name})"
    path.with_suffix(".tiff").unlink()
    assert only_error(name, folder) == f"val: missing image: {place}"


@every_name
@pytest.mark.parametrize("which", [image_file, label_file])
def test_a_file_beside_its_twin(copy: Callable[[str], Path], name: str, which: Callable[[str, Path], Path]) -> None:
    path = which(name, folder := copy(name))
    shutil.copy(path, other := path.with_suffix(".BMP"))
    expected = f"files whose names differ in case or ending alone: {path.relative_to(folder)} and {other.name}"
    assert only_error(name, folder) == f"val: {expected}"


def test_lines_that_come_twice(copy: Callable[[str], Path]) -> None:
    folder = copy("voc")
    with (folder / "ImageSets/Segmentation/val.txt").open("a") as split:
        split.write("val_000003\nval_000005\n")
    assert only_error("voc", folder) == "val: image listed twice: JPEGImages/val_000003.jpg, and 1 more"


@every_name
@pytest.mark.parametrize("which", [image_file, label_file])
def test_a_cut_off_file(copy: Callable[[str], Path], name: str, which: Callable[[str, Path], Path]) -> None:
    path = which(name, folder := copy(name))
    path.write_bytes(path.read_bytes()[:-40])
    assert only_error(name, folder) == f"val: broken or cut off file: {path.relative_to(folder)}"


def test_a_file_that_cannot_be_read(copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy("voc")
    path, read = label_file("voc", folder), Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert only_error("voc", folder) == f"val: file that cannot be read: {LABELS['voc'].format(0)}"


@every_name
def test_image_and_labels_of_different_sizes(copy: Callable[[str], Path], name: str) -> None:
    path = label_file(name, folder := copy(name))
    decode, encode = FORMATS[name].decode, encode_labels if name in BY_BYTES else encode_ids
    path.write_bytes(encode(decode(path.read_bytes(), path.name)[:48]))
    image = image_file(name, folder).relative_to(folder)
    assert only_error(name, folder) == (
        f"val: image and label file of different sizes: {image} (64 x 64, labels 64 x 48)"
    )


VALUES = [("voc", 21), ("cityscapes", 34), ("ade20k", 151), ("imagenet_s50", 51), ("imagenet_s919", 920)]


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_values_outside_the_classes(copy: Callable[[str], Path], name: str, value: int) -> None:
    path = label_file(name, folder := copy(name))
    labels = FORMATS[name].decode(path.read_bytes(), path.name)
    labels[0, 0], labels[0, 1] = value, (other := value + 40)
    path.write_bytes((encode_mask if name in BY_BYTES else encode_ids)(labels))
    expected = f"val: values that are not labels of the data set: {path.relative_to(folder)} ({value}, {other})"
    assert only_error(name, folder) == expected


@pytest.mark.parametrize("name", BY_BYTES)
def test_colour_pictures_in_place_of_labels(copy: Callable[[str], Path], name: str) -> None:
    folder = copy(name)
    for index in range(6):
        path = label_file(name, folder, index)
        path.write_bytes(encode_png(VOC_COLOURS[decode_mask(path.read_bytes(), path.name)]))
    text = only_error(name, folder)
    assert text.startswith("val: colour picture in place of label ids:") and text.endswith("(RGB), and 5 more")


@pytest.mark.parametrize("kind", ["L", "P", "RGB"])
def test_labels_of_imagenet_s_that_hold_no_ids(copy: Callable[[str], Path], kind: str) -> None:
    """Converted to bytes, or drawn in colours."""
    path = label_file("imagenet_s50", folder := copy("imagenet_s50"))
    labels = FORMATS["imagenet_s50"].decode(path.read_bytes(), path.name).astype(np.uint8)
    encode = {"L": encode_labels, "P": encode_mask, "RGB": lambda ids: encode_png(VOC_COLOURS[ids])}[kind]
    path.write_bytes(encode(labels | 1))
    place = path.relative_to(folder)
    assert only_error("imagenet_s50", folder) == f"val: label file without class ids: {place} ({kind})"


def test_a_larger_subset_given_for_a_smaller_one(copy: Callable[[str], Path]) -> None:
    """Their folders look the same, their ids differ."""
    assert "values that are not labels of the data set" in " ".join(
        errors(check_dataset("imagenet_s50", copy("imagenet_s919")))
    )


@pytest.mark.parametrize("void", [0, 255])
def test_training_ids_in_place_of_label_ids(copy: Callable[[str], Path], void: int) -> None:
    """With a void, which has a value that label ids do not have, or without."""
    table = np.full(256, 255, np.uint8)
    for label, known in IDS.items():
        table[label] = TRAIN_IDS[known]
    folder = copy("cityscapes")
    for index in range(6):
        path = label_file("cityscapes", folder, index)
        labels = table[decode_mask(path.read_bytes(), path.name)]
        labels[0] = void
        path.write_bytes(encode_labels(labels))
    assert only_error("cityscapes", folder).startswith("val: these are trainIds, not labelIds")


def test_labels_that_tell_nothing_apart(copy: Callable[[str], Path]) -> None:
    folder = copy("voc")
    for index in range(6):
        path = label_file("voc", folder, index)
        path.write_bytes(encode_mask(np.zeros_like(decode_mask(path.read_bytes(), path.name))))
    report = check_dataset("voc", folder)
    assert report.ok and "1 warning." in report.text
    assert "val: 100% of the sampled pixels are 0, classes that occur: 0" in report.text


@pytest.mark.parametrize("name", ["voc", "ade20k"])
def test_labels_that_leave_out_the_background(copy: Callable[[str], Path], name: str) -> None:
    """Classes from 0, and 255 for the rest, as some trainings count: each would be read as the previous class."""
    folder = copy(name)
    for index in range(6):
        path = label_file(name, folder, index)
        labels = decode_mask(path.read_bytes(), path.name)
        labels[8:], labels[:8] = 0, 15
        path.write_bytes(encode_labels(np.where(labels == 255, labels, labels - 1)))
    report = check_dataset(name, folder, ["val"])
    assert "val: 88% of the sampled pixels are ignored" in report.text and "1 warning" in report.text
    assert [text.split(": ")[1] for text in errors(report)] == ["values that are not labels of the data set"] * (
        name == "ade20k"
    )
    assert check_dataset(name, folder, ["train"]).text.endswith("No problem was found.")


def test_masks_of_one_object_in_place_of_classes(tmp_path: Path) -> None:
    write_domain("voc", tmp_path / "voc", train=6, val=12, rng_seed=0)
    for path in (tmp_path / "voc" / "SegmentationClass").glob("val_*.png"):
        path.write_bytes(encode_mask((decode_mask(path.read_bytes(), path.name) > 0).astype(np.uint8)))
    report = check_dataset("voc", tmp_path / "voc")
    assert report.ok and "classes that occur: 1\n" in report.text


def test_images_of_val_to_train_on(copy: Callable[[str], Path]) -> None:
    """SBD's own split has some: training on it means seeing test images."""
    folder = copy("voc")
    splits = folder / "ImageSets" / "Segmentation"
    shutil.copytree(folder / "SegmentationClass", folder / "SegmentationClassAug")
    (splits / "trainaug.txt").write_text((splits / "train.txt").read_text() + "val_000003\nval_000005\n")
    text = only_error("voc", folder)
    assert text == "trainaug: 2 of its images are in val as well, such as val_000003.jpg"


def test_every_kind_of_problem_is_told_at_once(copy: Callable[[str], Path]) -> None:
    folder = copy("voc")
    label_file("voc", folder, 0).unlink()
    label_file("voc", folder, 1).write_bytes(b"")
    Image.new("RGB", (64, 64)).save(label_file("voc", folder, 2))
    Image.new("L", (60, 64), 5).save(label_file("voc", folder, 3))
    Image.new("L", (64, 64), 99).save(label_file("voc", folder, 4))
    (folder / "JPEGImages" / "train_000001.jpg").unlink()
    kinds = {text.split(": ")[1] for text in errors(check_dataset("voc", folder))}
    assert kinds == {
        "missing image",
        "missing label file",
        "broken or cut off file",
        "colour picture in place of label ids",
        "image and label file of different sizes",
        "values that are not labels of the data set",
    }
