"""A data set format is one object: every listed one is complete, and a new one only has to be added to the list."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.classes import BACKGROUND
from seediff.datasets.formats import REQUIRED_SPLITS, Format
from seediff.datasets.images import decode_mask, encode_mask, encode_png
from seediff.datasets.items import pairs_below
from seediff.datasets.registry import FORMATS, find_format, list_datasets
from seediff.datasets.training_sets import assemble_real, load_training_set
from seediff.datasets.unlabelled import benchmark_images
from seediff.datasets.verification import check_dataset
from seediff.datasets.voc import CLASSES as VOC_CLASSES
from seediff.errors import SeediffError
from seediff.workflow.sources import Data

TINY = Format(
    name="tiny",
    title="Tiny data set",
    files="PNG images, palette PNGs",
    source=("nowhere",),
    place=Path("data/tiny"),
    layout="a folder for each split",
    holds=("train", "val"),
    splits={"train": 2, "val": 2},
    sizes=((1, 1), (99, 99)),
    split_parts=lambda folder, split: (folder / split,),
    find_items=lambda folder, split: pairs_below(folder / split, "_image.png", folder / split, "_labels.png"),
    decode=partial(decode_mask, known=frozenset({0, 1, 2, 9})),
    labels={0: BACKGROUND, 1: "kitten", 2: "dog", 9: None},
    aliases={"cat": ("kitten",)},
    absent=("cow",),
)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(FORMATS, "tiny", TINY)
    folder = tmp_path / TINY.place
    rng = np.random.default_rng(0)
    for split in TINY.splits:
        (folder / split).mkdir(parents=True)
        for name in ("a", "b"):
            image = encode_png(rng.integers(0, 256, (3, 4, 3), np.uint8))
            labels = encode_mask(np.array([[0, 1, 2, 9]] * 3, np.uint8))
            (folder / split / f"{name}_image.png").write_bytes(image)
            (folder / split / f"{name}_labels.png").write_bytes(labels)
    return folder


def test_a_new_format_works_everywhere(tiny: Path, tmp_path: Path) -> None:
    benchmark = open_benchmark("tiny", tiny, "val", ["cat", "cow"])
    assert [item.name for item in benchmark.items] == ["a", "b"]
    assert benchmark[0][1].tolist() == [[0, 1, 0, 255]] * 3
    assert len(benchmark_images("tiny", tiny, "train")) == 2
    assemble_real("tiny", tiny, "train", ["dog"], None, tmp_path / "set.json")
    assert load_training_set(tmp_path / "set.json")[1][1].tolist() == [[0, 0, 1, 255]] * 3
    with pytest.raises(SeediffError, match="tiny has no class 'cow' to learn from"):
        assemble_real("tiny", tiny, "train", ["dog", "cow"], None, tmp_path / "other.json")
    assert (
        "tiny: Tiny data set" in (text := list_datasets(tmp_path)) and "found: splits train, val (2, 2 images)" in text
    )
    assert Data(str(tiny), "tiny", "val").fingerprint()


def test_a_new_format_is_checked(tiny: Path) -> None:
    assert check_dataset("tiny", tiny).ok
    (tiny / "val" / "a_labels.png").write_bytes(encode_mask(np.full((3, 4), 7, np.uint8)))
    text = check_dataset("tiny", tiny).text
    assert "val: values that are not labels of the data set: val/a_labels.png (7)" in text
    (tiny / "val" / "b_image.png").unlink()
    assert "val: missing image: val/b_image.png" in check_dataset("tiny", tiny).text


@pytest.mark.parametrize("format", FORMATS.values(), ids=list(FORMATS))
def test_every_format_is_complete(format: Format, tmp_path: Path) -> None:
    assert find_format(format.name) is format
    assert format.title and format.files and format.source and format.holds and not format.place.is_absolute()
    assert set(REQUIRED_SPLITS) <= set(format.splits) and all(number > 0 for number in format.splits.values())
    assert all(0 <= value < format.values for value in format.labels)
    assert {own for names in format.aliases.values() for own in names} <= format.class_names
    assert {*format.absent} <= {*VOC_CLASSES} and not {*format.absent} & {*format.aliases}
    assert all(path.is_relative_to(tmp_path) for split in format.splits for path in format.split_parts(tmp_path, split))
    with pytest.raises(SeediffError, match="There is no folder"):
        format.list_items(tmp_path / "nowhere", "val")
