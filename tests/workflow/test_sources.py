"""The workflow with what comes from outside: which jobs a change there runs again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from seediff.diffusion.model_files import identity
from tests.conftest import ROOT, Workspace, make_workspace
from tests.unit.test_model_files import COMMIT, MODEL, OTHER, SCHEDULER, put_on_hub, set_prediction_type

SMOKE = "config/studies/smoke.yaml"
SHARD = "results/smoke/images/basic/cat/0000"
NOTE = "results/smoke/sources.json"


@pytest.mark.slow
@pytest.mark.parametrize("file", [SCHEDULER, "tokenizer/tokenizer.json"])
def test_an_edited_file_of_the_model_reruns_all_that_it_drew(copy_of_finished: Workspace, file: str) -> None:
    assets = copy_of_finished.folder / "assets"
    assets.unlink()
    shutil.copytree(ROOT / "assets", assets)
    assert copy_of_finished.planned() == {}
    with (assets / "pictograms" / file).open("a") as opened:
        opened.write("\n")
    jobs = copy_of_finished.planned()
    assert jobs["synthesize"] == jobs["replay"] == 4 and jobs["strips"] == jobs["figures"] == 1 and jobs["judge"] == 2


@pytest.mark.parametrize(
    ("gone", "target", "again"),
    [
        ("judged/scenes.json", "tables/scenes.md", {"judge": 1, "tabulate": 1}),
        ("images/basic/cat/0000.json", "masks/basic/seediff-pamr/0000.tar", {"synthesize": 1, "refine": 1}),
        ("masks/basic/seediff-pamr/0000.json", "training_sets/seediff.json", {"refine": 1, "assemble": 1}),
    ],
)
def test_a_deleted_file_is_made_again_for_whoever_reads_it(
    copy_of_finished: Workspace, gone: str, target: str, again: dict[str, int]
) -> None:
    """Instead of a message in every run that it is missing."""
    results = copy_of_finished.folder / "results/smoke"
    (results / gone).unlink()
    assert copy_of_finished.planned(f"results/smoke/{target}") == {}
    (results / target).unlink()
    assert copy_of_finished.planned(f"results/smoke/{target}") == again


@pytest.mark.slow
def test_a_run_keeps_to_the_commit_that_it_began_with(tmp_path: Path) -> None:
    """Whatever the hub's id stands for later, until its record is deleted."""
    workspace, cache = make_workspace(tmp_path / "workspace"), tmp_path / "hub"
    workspace.edit(SMOKE, "model: assets/pictograms", "model: somebody/model")
    offline = {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    first = put_on_hub(cache, COMMIT)
    run = workspace.snakemake(f"{SHARD}.tar", **offline)
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads((workspace.folder / NOTE).read_text())["commits"] == {"somebody/model": COMMIT}
    assert json.loads((workspace.folder / f"{SHARD}.json").read_text())["model"] == identity(first) == identity(MODEL)
    set_prediction_type(put_on_hub(cache, OTHER), "epsilon")
    assert workspace.planned(f"{SHARD}.tar", **offline) == {}
    assert workspace.planned(f"{SHARD}.tar", HF_HUB_CACHE=os.devnull, HF_HUB_OFFLINE="1") == {}
    (workspace.folder / NOTE).unlink()
    assert workspace.planned(f"{SHARD}.tar", **offline) == {"synthesize": 1}
    workspace.edit(SMOKE, "model: somebody/model", f"model: somebody/model\n  revision: '{COMMIT}'")
    assert workspace.planned(f"{SHARD}.tar", **offline) == {}


@pytest.mark.slow
def test_a_hub_id_that_may_mean_anything_draws_nothing(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace")
    workspace.edit(SMOKE, "model: assets/pictograms", "model: somebody/model")
    offline = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    assert workspace.planned(**offline)["synthesize"] == 4
    run = workspace.snakemake("results/smoke/prompts/basic.csv", **offline)
    assert run.returncode == 1 and not (workspace.folder / "results/smoke/prompts/basic.csv").exists()
    message = run.stderr[run.stderr.index("error: ") :].strip().splitlines()
    assert message[0].startswith("error: The commit of 'somebody/model' is unknown") and len(message) == 2
    workspace.edit(SMOKE, "model: somebody/model", "model: assets/pictograms")
    assert workspace.snakemake("results/smoke/prompts/basic.csv", **offline).returncode == 0


def test_local_weights_of_backbones_and_of_clip_are_inputs(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    for name in ("swin", "clip"):
        (workspace.folder / "weights" / name).mkdir(parents=True)
        for file in ("config.json", "model.safetensors", "README.md"):
            (workspace.folder / "weights" / name / file).write_text(name)
    workspace.edit(SMOKE, "swin: {backbone: swin-mini,", "swin: {backbone: swin-mini, pretrained: weights/swin,")
    workspace.edit(SMOKE, "good: {keep: 0.7,", "good: {keep: 0.7, clip_model: weights/clip,")
    model, table = "results/smoke/models/caa/swin/0/model.safetensors", "results/smoke/filters/basic/caa-raw/good.csv"
    dry = workspace.snakemake("--workflow-profile", "none", "--dry-run", model, table)
    assert dry.returncode == 0, dry.stderr
    listed = {line for line in (dry.stdout + dry.stderr).splitlines() if line.startswith("    input: ")}
    for name in ("swin", "clip"):
        (reader,) = (line for line in listed if f"weights/{name}/" in line)
        assert f"weights/{name}/config.json, weights/{name}/model.safetensors" in reader and "README" not in reader


@pytest.mark.slow
def test_changed_real_data_run_what_reads_them_again(tmp_path: Path) -> None:
    """The stand-in of VOC, drawn once, plays the part of a data set in a folder."""
    workspace = make_workspace(tmp_path)
    assert workspace.snakemake("data/smoke/voc/domain.json").returncode == 0
    voc = workspace.folder / "data" / "voc"
    shutil.copytree(workspace.folder / "data" / "smoke" / "voc", voc, copy_function=shutil.copyfile)
    (voc / "domain.json").unlink()
    workspace.edit(
        SMOKE,
        "voc: {title: VOC stand-in, format: voc, embedded: {train: 6, val: 4}}",
        "voc: {title: VOC, format: voc, folder: data/voc}",
    )
    targets = ["results/smoke/training_sets/exact.json", "results/smoke/metrics/exact/resnet/0/voc.json"]
    run = workspace.snakemake(*targets)
    assert run.returncode == 0, run.stdout + run.stderr
    assert workspace.planned(*targets) == {}
    name = (voc / "ImageSets" / "Segmentation" / "val.txt").read_text().split()[0]
    with (voc / "JPEGImages" / f"{name}.jpg").open("ab") as file:
        file.write(b"x")
    assert workspace.planned(*targets) == {"evaluate": 1}
    name = (voc / "ImageSets" / "Segmentation" / "train.txt").read_text().split()[0]
    with (voc / "SegmentationClass" / f"{name}.png").open("ab") as file:
        file.write(b"x")
    assert workspace.planned(*targets) == {"assemble": 1, "train": 1, "evaluate": 1}
    gone = voc / "JPEGImages" / f"{name}.jpg"
    gone.unlink()
    refused = workspace.snakemake("--dry-run", *targets)
    assert refused.returncode == 1 and f"{gone.relative_to(workspace.folder)}" in refused.stderr
    workspace.edit("config/config.yaml", "study: mini", "study: mini\npaths: unchecked")
    assert workspace.planned(*targets) == {"evaluate": 1}  # the incomplete split counts as it was noted
