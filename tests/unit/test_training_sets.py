"""Training sets: pairs by key in any shards, also of real images, and nothing that does not fit together."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from seediff.datasets import training_sets
from seediff.datasets.benchmarks import open_benchmark
from seediff.datasets.images import encode_mask, encode_png
from seediff.datasets.shards import Sample, write_shard
from seediff.datasets.training_sets import (
    assemble,
    assemble_real,
    benchmark_entry,
    load_training_set,
    pair_entries,
    write_training_set,
)
from seediff.embedded.domains import write_domain
from seediff.embedded.vocabulary import CLASSES
from seediff.errors import SeediffError
from seediff.files.sealed import write_json

NAMES = ("bus", "tv monitor")


def key(name: str, index: int) -> str:
    return f"{name.replace(' ', '-')}-{index:06d}"


def image(name: str, index: int) -> np.ndarray:
    return np.full((4, 5, 3), 100 * NAMES.index(name) + index, np.uint8)


def image_sample(name: str, index: int) -> Sample:
    about = json.dumps({"class_name": name, "index": index}).encode()
    return Sample(key(name, index), {"png": encode_png(image(name, index)), "json": about})


def mask_sample(name: str, index: int, shape: tuple[int, int] = (4, 5)) -> Sample:
    return Sample(key(name, index), {"png": encode_mask(np.full(shape, NAMES.index(name) + 1, np.uint8))})


def shards(folder: Path, groups: Sequence[Sequence[Sample]]) -> list[Path]:
    paths = [folder / f"{number:04d}.tar" for number in range(len(groups))]
    for path, samples in zip(paths, groups):
        write_shard(path, samples)
    return paths


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two classes of four images, two in a shard; masks of two shards in a part."""
    root = tmp_path / "results"
    drawn = [[image_sample(name, i + k) for k in (0, 1)] for name in NAMES for i in (0, 2)]
    made = [[mask_sample(name, i) for i in range(4)] for name in NAMES]
    shards(root / "images", drawn)
    shards(root / "masks", made)
    return root


def found(root: Path, kind: str) -> list[Path]:
    return sorted((root / kind).glob("*.tar"))


def assembled(root: Path, per_class: int | None = None) -> Path:
    out = root / "training_sets" / "recipe.json"
    assemble(found(root, "images"), found(root, "masks"), per_class, out)
    return out


def test_pairs_belong_together(results: Path) -> None:
    training_set = load_training_set(assembled(results))
    assert len(training_set) == 8
    for number, (name, index) in enumerate((name, index) for name in NAMES for index in range(4)):
        pixels, labels = training_set[number]
        assert np.array_equal(pixels, image(name, index))
        assert labels.shape == (4, 5) and (labels == NAMES.index(name) + 1).all()


def test_the_division_into_shards_does_not_matter(results: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    shards(others / "images", [[image_sample(name, i) for name in NAMES] for i in range(4)])
    shards(others / "masks", [[mask_sample(name, i) for i in (3, 1, 0, 2) for name in NAMES]])
    first, second = load_training_set(assembled(results)), load_training_set(assembled(others))
    assert len(first) == len(second)
    assert all(np.array_equal(a, b) for i in range(8) for a, b in zip(first[i], second[i]))


def test_first_of_each_class(results: Path) -> None:
    training_set = load_training_set(assembled(results, per_class=3))
    assert [int(training_set[i][0][0, 0, 0]) for i in range(len(training_set))] == [0, 1, 2, 100, 101, 102]
    with pytest.raises(SeediffError, match=r"5 images of each class.*'bus' has 4"):
        assembled(results, per_class=5)


def test_results_can_be_moved(results: Path, tmp_path: Path) -> None:
    assembled(results)
    shutil.move(results, tmp_path / "elsewhere")
    assert load_training_set(tmp_path / "elsewhere" / "training_sets" / "recipe.json")[7][1].max() == 2


def test_assembling_twice_gives_the_same_bytes(results: Path) -> None:
    assert assembled(results).read_bytes() == assembled(results).read_bytes()


def test_pairs_are_the_callers_own(results: Path) -> None:
    training_set = load_training_set(assembled(results))
    for array in training_set[0]:
        array[:] = 77
    assert training_set[0][0].max() == 0 and training_set[0][1].max() == 1


def test_small_sets_are_kept_in_memory_and_large_ones_are_not(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = assembled(results)
    small = load_training_set(path)
    monkeypatch.setattr(training_sets, "CACHED_BYTES", 8 * (4 * 5 * 4) - 1)
    large = load_training_set(path)
    for training_set in (small, large):
        training_set[0]
    monkeypatch.undo()
    kept = load_training_set(path)
    kept[3]
    shutil.rmtree(results / "masks")
    assert kept[3][1].max() == 1
    for training_set in (kept, large):
        with pytest.raises(OSError):
            training_set[0]


def test_can_be_sent_to_another_process(results: Path) -> None:
    copy = pickle.loads(pickle.dumps(load_training_set(assembled(results))))
    assert np.array_equal(copy[5][0], image("tv monitor", 1))


def test_numbers_out_of_range(results: Path) -> None:
    training_set = load_training_set(assembled(results))
    for number in (8, -1):
        with pytest.raises(IndexError):
            training_set[number]


@pytest.mark.parametrize(("kind", "lacking"), [("images", "image"), ("masks", "mask")])
def test_a_missing_partner(results: Path, kind: str, lacking: str) -> None:
    last = found(results, kind)[-1]
    write_shard(last, [(image_sample if kind == "images" else mask_sample)("tv monitor", 2)])
    with pytest.raises(SeediffError, match=rf"tv-monitor-00000\d in .*0000?\d\.tar has no {lacking}"):
        assembled(results)
    assert not (results / "training_sets" / "recipe.json").exists()


def test_a_key_in_two_shards(results: Path) -> None:
    shards(results / "more", [[image_sample("bus", 0)]])
    with pytest.raises(SeediffError, match="bus-000000 is in both"):
        pair_entries([*found(results, "images"), *found(results, "more")], found(results, "masks"), None, results)


def test_sizes_are_compared_before_anything_is_written(results: Path) -> None:
    write_shard(results / "masks" / "0000.tar", [mask_sample("bus", i, (5, 4)) for i in range(4)])
    with pytest.raises(SeediffError, match=r"different sizes:\nbus-000000\.png in .*5 x 4, .*4 x 5"):
        assembled(results)
    assert not (results / "training_sets" / "recipe.json").exists()


def test_a_prompt_row_without_a_class(results: Path) -> None:
    write_shard(results / "images" / "0000.tar", [Sample(key("bus", i), {"png": b"", "json": b"[]"}) for i in (0, 1)])
    with pytest.raises(SeediffError, match=r"bus-000000\.json in .*class_name"):
        assembled(results, per_class=1)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="no images"):
        assemble([], [], None, tmp_path / "recipe.json")


def test_missing_shards_are_noticed_at_once(results: Path) -> None:
    path = assembled(results)
    found(results, "images")[2].unlink()
    with pytest.raises(SeediffError, match=r"There is no shard .*results/images/0002\.tar"):
        load_training_set(path)


@pytest.mark.parametrize("content", [{}, {"format_version": 1, "entries": [{}]}, {"format_version": 9}])
def test_a_file_that_is_no_training_set(tmp_path: Path, content: dict[str, object]) -> None:
    path = tmp_path / "recipe.json"
    write_json(path, content)
    with pytest.raises(SeediffError, match=r"recipe\.json"):
        load_training_set(path)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "voc"
    write_domain("voc", folder, train=10, val=2, rng_seed=0)
    return folder


def test_real_images(real: Path, tmp_path: Path) -> None:
    benchmark = open_benchmark("voc", real, "train", CLASSES)
    for number, expected in ((None, range(10)), (10, range(10)), (4, (0, 2, 5, 7)), (1, (0,))):
        assemble_real("voc", real, "train", CLASSES, number, tmp_path / "real.json")
        training_set = load_training_set(tmp_path / "real.json")
        assert len(training_set) == len(expected)
        for i, k in enumerate(expected):
            assert all(np.array_equal(a, b) for a, b in zip(training_set[i], benchmark[k]))
    with pytest.raises(SeediffError, match=r"11 images were asked for.*has 10"):
        assemble_real("voc", real, "train", CLASSES, 11, tmp_path / "real.json")


def test_real_images_that_are_gone(real: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(real, tmp_path / "voc")
    (folder / "domain.json").unlink()  # as the real data set, it has no record of its files
    assemble_real("voc", folder, "train", CLASSES, 4, tmp_path / "real.json")
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("train_000000\n")
    with pytest.raises(SeediffError, match="train_000002 is no longer in split 'train'"):
        load_training_set(tmp_path / "real.json")


def test_drawn_and_real_images_together(results: Path, real: Path) -> None:
    out = results / "training_sets" / "both.json"
    drawn = pair_entries(found(results, "images"), found(results, "masks"), None, out.parent)
    write_training_set([*drawn, benchmark_entry("voc", real, "train", CLASSES, 3)], out)
    training_set = load_training_set(out)
    assert len(training_set) == 11 and json.loads(out.read_text())["number"] == 11
    assert training_set[7][0].shape == (4, 5, 3) and training_set[8][0].shape == (64, 64, 3)
