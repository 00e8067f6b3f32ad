"""The embedded benchmarks: complete, deterministic, and read by the readers of the real formats."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from seediff.datasets.benchmarks import Benchmark, open_benchmark
from seediff.datasets.imagenet_s import FORMATS as IMAGENET_S
from seediff.datasets.imagenet_s import NAMES, SUBSETS
from seediff.embedded import domains
from seediff.embedded.domains import (
    DOMAINS,
    INDOOR_CLASSES,
    PORTRAYED,
    STREET_CLASSES,
    dull,
    edges,
    write_domain,
)
from seediff.embedded.scenes import natural_scene
from seediff.embedded.vocabulary import CLASSES
from seediff.errors import SeediffError

FORMATS = sorted(DOMAINS)
DRAWN = {"voc": CLASSES, "cityscapes": STREET_CLASSES, "ade20k": INDOOR_CLASSES}
DRAWN |= {f"imagenet_s{subset}": PORTRAYED for subset in SUBSETS}


@pytest.fixture(scope="module", params=FORMATS)
def domain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("domains") / request.param
    write_domain(request.param, folder, train=12, val=20, rng_seed=3)
    return request.param, folder


def opened(format: str, folder: Path, split: str) -> Benchmark:
    """The embedded classes by the format's names; the larger ImageNet-S subsets lack some without saying so."""
    if format not in ("imagenet_s300", "imagenet_s919"):
        return open_benchmark(format, folder, split, CLASSES)
    others = [name for name in CLASSES if name not in PORTRAYED]
    classes = [name if name in others else IMAGENET_S[0].own_names(name)[0] for name in CLASSES]
    return open_benchmark(format, folder, split, classes, others)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_is_read_as_the_real_thing(domain: tuple[str, Path]) -> None:
    format, folder = domain
    for split, number in (("train", 12), ("val", 20)):
        benchmark = opened(format, folder, split)
        assert len(benchmark) == number
        for image, labels in benchmark:
            assert image.shape == (64, 64, 3) and labels.shape == (64, 64)
            assert set(np.unique(labels)) - {0, 255} <= {CLASSES.index(name) + 1 for name in DRAWN[format]}
            assert (labels == 0).any() and ((labels > 0) & (labels < 255)).any()


def test_no_image_is_in_both_splits(domain: tuple[str, Path]) -> None:
    format, folder = domain
    drawn = [image.tobytes() for split in ("train", "val") for image, _ in opened(format, folder, split)]
    assert len(set(drawn)) == 32


def test_every_class_occurs(domain: tuple[str, Path]) -> None:
    format, folder = domain
    found = {label for _, labels in opened(format, folder, "val") for label in np.unique(labels)}
    assert found - {0, 255} == {CLASSES.index(name) + 1 for name in DRAWN[format]}


def test_drawing_again_gives_the_same_bytes_and_more_images_the_same_first_ones(domain: tuple[str, Path]) -> None:
    format, folder = domain
    again, longer, other = (folder.parent / f"{format}-{name}" for name in ("again", "longer", "other"))
    write_domain(format, again, train=12, val=20, rng_seed=3)
    assert files(again) == files(folder)
    write_domain(format, longer, train=13, val=21, rng_seed=3)
    different = ("domain.json", "train.txt", "val.txt")
    assert all(
        files(longer)[name] == content for name, content in files(folder).items() if not name.endswith(different)
    )
    write_domain(format, other, train=12, val=20, rng_seed=4)
    records = [json.loads((place / "domain.json").read_text())["splits"] for place in (folder, other)]
    assert len(records[0]["val"]) == 2 * 20 and records[0]["val"].keys() == records[1]["val"].keys()
    assert all(
        records[0]["val"][name] != records[1]["val"][name] for name in records[0]["val"] if "images" in name.lower()
    )


def test_voc_labels_have_vocs_indices_and_a_void(tmp_path: Path) -> None:
    """Against a slow rendering of the same scene."""
    rng, index = np.random.default_rng(5), 6
    image, labels = domains.natural_pair(np.random.default_rng(5), index)
    classes = domains._some_classes(rng, index, CLASSES)
    scene = natural_scene(rng, classes)
    vocs = {"bus": 6, "car": 7, "cat": 8, "chair": 9, "motorbike": 14, "person": 15, "pottedplant": 16, "sheep": 17}
    vocs |= {"train": 19, "tvmonitor": 20}
    assert classes[0] == CLASSES[6] == "pottedplant" and np.array_equal(image, scene.image)
    for y in range(64):
        for x in range(64):
            own = scene.labels[y, x]
            others = {scene.labels[min(y + 1, 63), x], scene.labels[y, min(x + 1, 63)]}
            expected = 255 if others != {own} else (vocs[CLASSES[own - 1]] if own else 0)
            assert labels[y, x] == expected


def test_edges_are_one_pixel_wide() -> None:
    labels = np.zeros((6, 6), np.uint8)
    labels[2:4, 2:4] = 1
    drawn = ["".join(".#"[pixel] for pixel in row) for row in edges(labels).astype(int)]
    assert drawn == ["......", "..##..", ".#.#..", ".###..", "......", "......"]


def test_street_objects_are_small_low_and_have_surroundings() -> None:
    for index in range(30):
        _, ids = domains.street_pair(np.random.default_rng(index), index)
        assert set(np.unique(ids)) <= {7, 11, 24, 26, 28, 31, 32}
        objects = np.isin(ids, [24, 26, 28, 31, 32])
        assert not objects[:24].any() and objects.mean() < 0.4
        assert set(np.unique(ids[:24])) == {11} and (ids[40:] == 7).any()


@pytest.mark.parametrize("subset", SUBSETS)
def test_portraits_have_their_subsets_ids(subset: int) -> None:
    """Against a slow rendering of the same scene; objects of no class are 'other', edges are ignored."""
    names = {"car": "beach wagon", "cat": "siamese cat", "motorbike": "motor scooter", "train": "bullet train"}
    names["tvmonitor"] = "television"
    known = ["other", *NAMES[subset].values()]
    bystanders = 0
    for index in range(20):
        image, ids = domains.portrait_pair(subset, np.random.default_rng(index), index)
        rng = np.random.default_rng(index)
        others = [name for name in CLASSES if name not in names]
        beside = [str(rng.choice(others))] if rng.random() < 0.3 else []
        scene = natural_scene(rng, [list(names)[index % 5], *beside])
        bystanders += len(beside)
        assert np.array_equal(image, scene.image) and ids.dtype == np.uint16
        for y in range(0, 64, 3):
            for x in range(0, 64, 3):
                own = scene.labels[y, x]
                around = {scene.labels[min(y + 1, 63), x], scene.labels[y, min(x + 1, 63)]}
                name = CLASSES[own - 1] if own else ""
                expected = 1000 if around != {own} else known.index(names.get(name, "other"))
                assert ids[y, x] == expected
    assert 0 < bystanders < 20


def test_dull() -> None:
    assert dull(np.array([[[200, 100, 0]]], np.uint8)).tolist() == [[[127, 85, 42]]]


def test_an_earlier_stand_in_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "voc"
    folder.mkdir()
    write_domain("voc", folder, train=3, val=3, rng_seed=0)
    (folder / "domain.json").unlink()  # as the workflow does before it draws again
    write_domain("voc", folder, train=1, val=1, rng_seed=0)
    assert len(list(folder.rglob("*.jpg"))) == 2 and (folder / "domain.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["voc"]


def test_other_peoples_data_is_left_alone(tmp_path: Path) -> None:
    write_domain("voc", tmp_path / "VOC2012", train=1, val=1, rng_seed=0)
    (tmp_path / "VOC2012" / "STAND-IN.txt").unlink()
    before = files(tmp_path)
    with pytest.raises(SeediffError, match="left alone"):
        write_domain("voc", tmp_path / "VOC2012", train=1, val=1, rng_seed=1)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError(errno.ENOSPC, "full"), SeediffError), (RuntimeError(), RuntimeError)]
)
def test_failing_on_the_way_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    write_domain("voc", tmp_path / "voc", train=2, val=1, rng_seed=0)
    before = files(tmp_path)

    def failing(path: Path, content: bytes) -> int:
        if path.name == "train_000001.png":
            raise error
        return path.open("wb").write(content)

    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises(raised):
        write_domain("voc", tmp_path / "voc", train=2, val=1, rng_seed=1)
    assert files(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["voc"]


def test_leftovers_of_a_killed_run_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "voc.partial" / "JPEGImages").mkdir(parents=True)
    (tmp_path / "voc.partial" / "JPEGImages" / "stray.jpg").touch()
    write_domain("voc", tmp_path / "voc", train=1, val=1, rng_seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["voc"] and not list(tmp_path.rglob("stray.jpg"))


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="'cityscapes'"):
        write_domain("cityscape", tmp_path, train=1, val=1, rng_seed=0)
