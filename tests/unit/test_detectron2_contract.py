"""Contract with detectron2, checked without it: what it would be given, and the message if it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seediff.detectron2.availability import available, mask2former_available, require_detectron2
from seediff.detectron2.dataset_dicts import dataset_dicts, metadata
from seediff.errors import SeediffError
from seediff.segmenter.registry import ARCHITECTURES, ENGINES
from seediff.segmenter.settings import ENGINES_OF, ROBUST_ARCHITECTURES, segmenter_settings
from seediff.workflow.catalogs import register_pairs
from tests.unit.test_segmenter_train import Squares, run


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No detectron2 and no Mask2Former, whatever is installed."""
    for name in ("detectron2", "detectron2.engine", "mask2former"):
        monkeypatch.setitem(sys.modules, name, None)


def test_every_pair_becomes_a_dict_whose_files_hold_it(tmp_path: Path) -> None:
    pairs = Squares()
    dicts = dataset_dicts(pairs, "squares", tmp_path / "out")
    assert len(dicts) == len(pairs) and len({entry["image_id"] for entry in dicts}) == len(pairs)
    for index, entry in enumerate(dicts):
        image, labels = pairs[index]
        assert set(entry) == {"file_name", "sem_seg_file_name", "height", "width", "image_id"}
        assert (entry["height"], entry["width"]) == labels.shape
        # the way detectron2 reads them
        np.testing.assert_array_equal(np.asarray(Image.open(entry["file_name"])), image)
        np.testing.assert_array_equal(np.asarray(Image.open(entry["sem_seg_file_name"])), labels)
        assert Path(entry["file_name"]).is_absolute()


def test_an_interrupted_export_is_gone_on_with(tmp_path: Path) -> None:
    first = dataset_dicts(Squares(), "squares", tmp_path)
    kept, lost = Path(first[0]["file_name"]), Path(first[1]["sem_seg_file_name"])
    before = kept.stat().st_mtime_ns
    lost.unlink()
    assert dataset_dicts(Squares(), "squares", tmp_path) == first
    assert lost.exists() and kept.stat().st_mtime_ns == before


def test_a_folder_of_other_pairs_is_refused(tmp_path: Path) -> None:
    dataset_dicts(Squares(), "squares", tmp_path)
    with pytest.raises(SeediffError, match="another data set"):
        dataset_dicts(Squares(), "circles", tmp_path)


def test_pairs_whose_files_names_are_no_utf_8(tmp_path: Path) -> None:
    assert len(dataset_dicts(Squares(), "caf\udce9.png 7", tmp_path)) == len(Squares())


def test_the_metadata_is_that_of_semantic_segmentation() -> None:
    assert metadata(("background", "cat")) == {
        "stuff_classes": ["background", "cat"],
        "ignore_label": 255,
        "evaluator_type": "sem_seg",
    }


@pytest.mark.usefixtures("absent")
def test_the_reason_why_it_is_not_available_is_given() -> None:
    for answer in (available(), mask2former_available()):
        there, reason = answer
        assert not there and "ModuleNotFoundError" in reason


@pytest.mark.usefixtures("absent")
@pytest.mark.parametrize("architecture", ["mask2former", "mask2former-official"])
def test_training_without_it_says_what_is_missing(architecture: str, tmp_path: Path) -> None:
    kind = {"architecture": architecture, "engine": "detectron2"}
    settings = segmenter_settings("swin-mini", **kind, iterations=2, crop=32, batch_size=2)
    with pytest.raises(SeediffError, match=r"needs detectron2(.|\n)*docs/detectron2.md") as caught:
        run(tmp_path, settings)
    assert len(str(caught.value).splitlines()) == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("absent")
def test_registering_without_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="cannot be imported"):
        register_pairs("squares", Squares(), "squares", ["background"], tmp_path)
    with pytest.raises(SeediffError, match="cannot be imported"):
        require_detectron2()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mask2fromer"}, r"'mask2fromer'(.|\n)*mask2former"),
        (
            {"engine": "detectron"},
            "'detectron' cannot train architecture 'mask2former'.\nUse 'seediff' or 'detectron2'.",
        ),
        ({"architecture": "pixel", "engine": "detectron2"}, "Use 'seediff'."),
        ({"architecture": "mask2former-official"}, "'seediff' cannot train(.|\n)*Use 'detectron2'."),
    ],
)
def test_an_architecture_and_an_engine_that_do_not_fit(changes: dict[str, str], message: str) -> None:
    with pytest.raises(SeediffError, match=message):
        segmenter_settings("swin-mini", **changes)


def test_every_architecture_and_engine_has_its_name_in_the_settings() -> None:
    assert {*ENGINES_OF} == {*ARCHITECTURES}
    assert {engine for engines in ENGINES_OF.values() for engine in engines} == {*ENGINES}
    assert {name for name in ARCHITECTURES if ARCHITECTURES[name].head} == {*ROBUST_ARCHITECTURES}
