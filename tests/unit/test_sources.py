"""What a study takes from outside: hub ids become commits, data sets fingerprints, and both are recorded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.files.sealed import write_json
from seediff.workflow import sources
from seediff.workflow.sources import (
    Data,
    Sources,
    check_commits,
    check_data,
    find_sources,
    hub_models,
    pinned,
    read_sources,
    real_data,
    write_sources,
)
from seediff.workflow.study import Study, load_study
from seediff.workflow.study.load import parse_study
from tests.conftest import ROOT
from tests.stages import spec_of

COMMIT = "0123456789" * 4
CONTENT = yaml.safe_load((ROOT / "config/studies/smoke.yaml").read_text())


def study(**diffusion: Any) -> Study:
    """The smoke study with two diffusion models, a backbone and a CLIP model of the hub."""
    judges = CONTENT["judges"]
    return parse_study(
        CONTENT
        | {"diffusion": CONTENT["diffusion"] | {"model": "somebody/model"} | diffusion}
        | {"segmenters": CONTENT["segmenters"] | {"swin": {"backbone": "swin-mini", "pretrained": "somebody/swin"}}}
        | {"judges": judges | {"scenes": judges["scenes"] | {"model": "somebody/judged"}}}
        | {"filters": {"good": {"clip_model": "somebody/clip", "rank_by": ["clip"]}}}
    )


NAMES = ["somebody/model", "somebody/judged", "somebody/swin", "somebody/clip"]


def test_every_hub_id_of_a_study_is_found() -> None:
    assert hub_models(study()) == NAMES
    assert hub_models(study(revision="v1"))[0] == "somebody/model@v1"
    assert hub_models(study(revision=COMMIT)) == NAMES[1:]


@pytest.mark.parametrize("name", ["mini", "smoke", "deviations"])
def test_a_study_of_local_files_takes_nothing_from_the_hub(name: str) -> None:
    local = load_study(ROOT / f"config/studies/{name}.yaml")
    assert (
        hub_models(local) == [] and pinned(local, Sources()) == local and not find_sources(local, Sources(), []).commits
    )


def test_large_files_of_every_local_model_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = str(shutil.copytree(ROOT / "assets/pictograms", tmp_path / "other"))
    monkeypatch.setattr(sources, "LARGE", 1_000_000)
    monkeypatch.chdir(ROOT)
    judged = {"judges": CONTENT["judges"] | {"scenes": CONTENT["judges"]["scenes"] | {"model": other}}}
    noted = find_sources(parse_study(CONTENT | judged), Sources(), [])
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert {f"assets/pictograms/{weights}", f"{other}/{weights}"} <= {*noted.files}


def test_every_job_is_told_the_commit() -> None:
    told = pinned(study(), Sources(dict.fromkeys(NAMES, COMMIT)))
    assert spec_of("synthesize", told, "basic")["diffusion"]["model"] == f"somebody/model@{COMMIT}"
    assert spec_of("judge", told, "scenes")["model"] == f"somebody/judged@{COMMIT}"
    assert spec_of("judge", told, "drawn")["model"] == f"somebody/model@{COMMIT}"
    assert spec_of("evaluate", told, "caa", "swin", "0", "voc")["model"] == f"somebody/model@{COMMIT}"
    assert spec_of("train", told, "caa", "swin", "0")["segmenter"]["pretrained"] == f"somebody/swin@{COMMIT}"
    assert spec_of("filter", told, "basic", "caa", "good")["filter"]["clip_model"] == f"somebody/clip@{COMMIT}"
    assert hub_models(told) == []
    tagged = pinned(study(revision="v1"), Sources({"somebody/model@v1": COMMIT}))
    assert spec_of("synthesize", tagged, "basic") == spec_of("synthesize", told, "basic")


def test_a_revision_changes_the_spec_and_its_absence_does_not() -> None:
    assert "revision" not in spec_of("synthesize", study(), "basic")["diffusion"]
    assert "revision" not in spec_of("report", study())["study"]["diffusion"]
    assert spec_of("synthesize", study(revision="v1"), "basic")["diffusion"]["revision"] == "v1"


@pytest.mark.parametrize(
    ("diffusion", "words"),
    [
        ({"model": "assets/pictograms", "revision": "v1"}, "a folder has none"),
        ({"model": "somebody/model@v1", "revision": "v1"}, "leave 'revision' out"),
        ({"revision": "v1; ls"}, "diffusion.revision"),
        ({"revision": None}, "nothing after 'revision'"),
    ],
)
def test_revisions_that_make_no_sense(diffusion: dict[str, Any], words: str) -> None:
    with pytest.raises(SeediffError, match=words):
        study(**diffusion)


def test_what_was_noted_stands_against_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seediff.workflow.sources.hub_commit", lambda model: "b" * 40)
    found = find_sources(study(), Sources({"somebody/model": COMMIT}), [])
    assert found.commits == {"somebody/model": COMMIT, **dict.fromkeys(NAMES[1:], "b" * 40)}
    write_sources(tmp_path, found)
    assert read_sources(tmp_path) == found


def test_nothing_is_noted_of_nothing(tmp_path: Path) -> None:
    write_sources(tmp_path, Sources())
    assert not list(tmp_path.iterdir()) and read_sources(tmp_path) == Sources()


def test_a_note_that_was_edited_is_refused(tmp_path: Path) -> None:
    write_sources(tmp_path, Sources({"somebody/model": COMMIT}))
    note = tmp_path / "sources.json"
    note.write_text(note.read_text().replace("0123", "3210"))
    with pytest.raises(SeediffError, match="not as it was written"):
        read_sources(tmp_path)


@pytest.mark.parametrize(
    "content", [{}, {"commits": {"somebody/model": "../main"}, "data": {}}, {"commits": [], "data": {}}]
)
def test_a_note_that_makes_no_sense_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    write_json(tmp_path / "sources.json", content)
    with pytest.raises(SeediffError, match="not the list of a study's sources"):
        read_sources(tmp_path)


def test_a_hub_id_that_may_mean_anything_is_refused() -> None:
    check_commits(study(), dict.fromkeys(NAMES, COMMIT))
    with pytest.raises(SeediffError, match="commit of 'somebody/judged' is unknown"):
        check_commits(study(), {"somebody/model": COMMIT})


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voc") / "drawn"
    write_domain(folder=folder, format="voc", rng_seed=0, train=2, val=2)
    return folder


def test_a_copy_of_a_data_set_has_the_same_fingerprint(voc: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(voc, tmp_path / "copy", copy_function=shutil.copyfile))
    assert Data(str(copy), "voc", "val").fingerprint() == Data(str(voc), "voc", "val").fingerprint()
    assert Data(str(voc), "voc", "val").fingerprint() != Data(str(voc), "voc", "train").fingerprint()


def test_a_changed_data_set_has_another(voc: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(voc, tmp_path / "copy"))
    before = Data(str(copy), "voc", "val").fingerprint()
    listed = copy / "ImageSets" / "Segmentation" / "val.txt"
    names = listed.read_text().split()
    listed.write_text("\n".join(names[::-1]) + "\n")
    assert Data(str(copy), "voc", "val").fingerprint() != before
    listed.write_text("\n".join(names) + "\n")
    with (copy / "SegmentationClass" / f"{names[0]}.png").open("ab") as file:
        file.write(b"x")
    assert Data(str(copy), "voc", "val").fingerprint() != before
    (copy / "JPEGImages" / f"{names[0]}.jpg").unlink()
    assert Data(str(copy), "voc", "val").fingerprint() is None


def test_a_folder_of_images_has_one_too(voc: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(voc / "JPEGImages", tmp_path / "copy"))
    before = Data(str(copy)).fingerprint()
    assert before == Data(str(voc / "JPEGImages")).fingerprint()
    next(copy.iterdir()).unlink()
    assert Data(str(copy)).fingerprint() not in (before, None)
    assert Data(str(tmp_path / "nowhere")).fingerprint() is None


def test_data_that_are_gone_are_as_they_were_noted(voc: Path, tmp_path: Path) -> None:
    benchmark = {"title": "VOC", "format": "voc", "folder": str(tmp_path / "voc")}
    real = parse_study(CONTENT | {"benchmarks": CONTENT["benchmarks"] | {"voc": benchmark}})
    assert [data.name for data in real_data(real)] == [f"{tmp_path / 'voc'} val", f"{tmp_path / 'voc'} train"]
    assert find_sources(real, Sources(), real_data(real)) == Sources()
    shutil.copytree(voc, tmp_path / "voc")
    here = find_sources(real, Sources(), real_data(real))
    assert set(here.data) == {data.name for data in real_data(real)}
    shutil.rmtree(tmp_path / "voc")
    assert find_sources(real, here, real_data(real)) == here


@pytest.mark.parametrize("gone", ["JPEGImages/{}.jpg", "SegmentationClass/{}.png"])
def test_data_of_which_a_file_is_gone_are_refused(voc: Path, tmp_path: Path, gone: str) -> None:
    """Otherwise they would count as what was noted; ``check_paths`` reports a folder that does not exist at all."""
    copy = Path(shutil.copytree(voc, tmp_path / "voc"))
    (copy / "domain.json").unlink()
    benchmark = {"title": "VOC", "format": "voc", "folder": str(copy)}
    real = parse_study(CONTENT | {"benchmarks": CONTENT["benchmarks"] | {"voc": benchmark}})
    check_data(real_data(real))
    name = (copy / "ImageSets" / "Segmentation" / "train.txt").read_text().split()[0]
    (copy / gone.format(name)).unlink()
    with pytest.raises(SeediffError, match=gone.format(name)):
        check_data(real_data(real))


def test_a_folder_of_images_with_a_broken_link_is_refused(voc: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(voc / "JPEGImages", tmp_path / "copy"))
    adaptation = {"folder": str(copy), "prompts": ["a photo"], "iterations": 1}
    adapted = parse_study(CONTENT | {"adaptations": {"target": adaptation}})
    check_data(real_data(adapted))
    (copy / "link.jpg").symlink_to("nowhere")
    with pytest.raises(SeediffError, match=r"link\.jpg is not a file"):
        check_data(real_data(adapted))


def test_data_are_listed_once(voc: Path, tmp_path: Path) -> None:
    """The check before a run and the fingerprint use one listing, whatever happens to the files between them."""
    copy = Path(shutil.copytree(voc, tmp_path / "voc"))
    data = Data(str(copy), "voc", "val")
    check_data([data])
    before = data.fingerprint()
    (copy / "ImageSets" / "Segmentation" / "val.txt").unlink()
    assert data.fingerprint() == before and Data(str(copy), "voc", "val").fingerprint() is None
