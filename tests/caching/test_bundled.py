"""Clone, pull, continue: only what an edit or a changed file requires is run again."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.caching.conftest import Repository

STUDY = "config/studies/smoke.yaml"
SCORES = "results/smoke/scores/basic/cat/0000.tar"
JUDGED = "results/smoke/judged/scenes.json"
SHARD = {"synthesize": 1}


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def stored(store: Path, md5: str) -> Path:
    return store / "files/md5" / md5[:2] / md5[2:]


def list_of(repository: Repository, artifact: str, store: str = "dvc-store") -> Path:
    """Where a store keeps the names and checksums of an artifact's files."""
    stages = yaml.safe_load((repository.folder / "dvc.lock").read_text())["stages"].values()
    (md5,) = (out["md5"] for stage in stages for out in stage["outs"] if out["path"] == artifact)
    return stored(repository.folder / store, md5)


def object_of(repository: Repository, file: str, store: str = "dvc-store") -> Path:
    """Where a store keeps the content of a file of the artifact of scores."""
    members = json.loads(list_of(repository, "results/smoke/scores", store).read_text())
    (md5,) = (member["md5"] for member in members if f"results/smoke/scores/{member['relpath']}" == file)
    return stored(repository.folder / store, md5)


def start_over(repository: Repository) -> None:
    """What docs/caching.md says to do after an accident in the store or the cache."""
    repository.run("git", "checkout", "dvc-store")
    for folder in (".dvc/cache", "results/smoke"):
        shutil.rmtree(repository.folder / folder)
    repository.run("dvc", "pull")


def test_after_a_pull_nothing_is_to_be_done(pulled: Repository) -> None:
    assert pulled.planned() == {}
    assert "up to date" in pulled.run("dvc", "status")
    assert pulled.run("git", "status", "--short") == ""


def test_the_models_can_be_asked_for_although_their_weights_are_not_published(pulled: Repository) -> None:
    assert pulled.planned("models") == {}


def test_without_a_pull_everything_is_to_be_done(published: Repository, tmp_path: Path) -> None:
    jobs = published.clone(tmp_path / "clone").planned()
    assert jobs == published.planned("--forceall")


def test_only_the_weights_of_seediff_are_published(pulled: Repository) -> None:
    models = pulled.folder / "results/smoke/models"
    weights = {str(path.relative_to(models)) for path in models.rglob("*.safetensors")}
    assert not weights
    assert len(list(models.rglob("history.csv"))) == 7


def test_an_edited_threshold_reruns_its_chain_alone(pulled: Repository) -> None:
    pulled.edit(STUDY, "raw: {pamr: null}", "raw: {pamr: null, threshold: 0.4}")
    assert pulled.planned() == {
        "domain": 1, "refine": 3, "assemble": 5, "train": 6, "evaluate": 4, "judge": 2,
        "tabulate": 4, "predictions": 1, "report": 1, "all": 1,
    }  # fmt: skip
    (changed,) = json.loads(pulled.run("dvc", "params", "diff", "--json")).values()
    assert set(changed) == {"refinements.raw.threshold"}
    assert changed["refinements.raw.threshold"]["new"] == 0.4


def test_a_tampered_artifact_is_noticed_by_both(pulled: Repository) -> None:
    flip_a_bit(pulled.folder / SCORES)
    assert pulled.planned(SCORES) == SHARD
    status = json.loads(pulled.run("dvc", "status", "--json"))
    assert {"changed outs": {"results/smoke/scores": "modified"}} in status["study"]
    assert SCORES in pulled.run("dvc", "diff")


def test_a_tampered_artifact_is_restored_from_the_cache(pulled: Repository) -> None:
    whole = (pulled.folder / SCORES).read_bytes()
    flip_a_bit(pulled.folder / SCORES)
    pulled.run("dvc", "checkout", "--force")
    assert (pulled.folder / SCORES).read_bytes() == whole
    assert pulled.planned() == {}


@pytest.mark.slow
def test_a_deleted_artifact_is_made_again_and_nothing_follows(pulled: Repository) -> None:
    """The same bytes are made, so results made from them stay valid."""
    flip_a_bit(pulled.folder / SCORES)
    (pulled.folder / SCORES).unlink()
    run = pulled.snakemake(SCORES)
    assert run.returncode == 0, run.stderr
    assert pulled.planned() == {}
    assert "up to date" in pulled.run("dvc", "status")


def test_an_archive_without_git_is_as_good_as_a_clone(published: Repository, tmp_path: Path) -> None:
    archive, unpacked = tmp_path / "archive.tar", Repository(tmp_path / "unpacked")
    published.run("git", "archive", "--output", str(archive), "HEAD")
    unpacked.folder.mkdir()
    unpacked.run("tar", "--extract", "--file", str(archive))
    unpacked.run("dvc", "pull")
    assert "up to date" in unpacked.run("dvc", "status")
    assert unpacked.planned() == {}


def test_an_altered_object_of_the_store_is_refused(published: Repository, tmp_path: Path) -> None:
    clone = published.clone(tmp_path / "clone")
    flip_a_bit(object_of(clone, SCORES))
    said = clone.refused("dvc", "pull")
    assert "Checkout failed for following targets:\nresults/smoke/scores\n" in said
    assert not (clone.folder / SCORES).exists()
    status = json.loads(clone.run("dvc", "status", "--json"))
    assert {"changed outs": {"results/smoke/scores": "not in cache"}} in status["study"]
    start_over(clone)
    assert "up to date" in clone.run("dvc", "status")


def test_an_altered_list_of_the_store_is_named(published: Repository, tmp_path: Path) -> None:
    """The pull itself does not check the list of an artifact's files."""
    clone = published.clone(tmp_path / "clone")
    names = list_of(clone, "results/smoke/scores")
    names.write_text(names.read_text().replace("cat/0000", "cat/0009"))
    clone.run("dvc", "pull")
    status = json.loads(clone.run("dvc", "status", "--json"))
    assert {"changed outs": {"results/smoke/scores": "not in cache"}} in status["study"]
    start_over(clone)
    assert "up to date" in clone.run("dvc", "status")
    assert clone.planned() == {}


def test_an_altered_object_of_the_cache_is_gone_after_starting_over(pulled: Repository) -> None:
    """DVC trusts the content of its cache, and says that everything is up to date."""
    whole = (pulled.folder / SCORES).read_bytes()
    flip_a_bit(object_of(pulled, SCORES, ".dvc/cache"))
    (pulled.folder / SCORES).unlink()
    pulled.run("dvc", "checkout", "--force")
    assert (pulled.folder / SCORES).read_bytes() != whole
    assert "up to date" in pulled.run("dvc", "status")
    start_over(pulled)
    assert (pulled.folder / SCORES).read_bytes() == whole
    assert pulled.planned() == {}


@pytest.mark.slow
def test_published_results_are_restored_after_a_finished_rerun(pulled: Repository) -> None:
    pulled.edit(STUDY, "raw: {pamr: null}", "raw: {pamr: null, threshold: 0.4}")
    run = pulled.snakemake(JUDGED)
    assert run.returncode == 0, run.stdout + run.stderr
    pulled.run("git", "checkout", STUDY)
    pulled.run("dvc", "checkout", "--force")
    assert pulled.planned() == {}
    assert "up to date" in pulled.run("dvc", "status")


def test_metrics_are_the_numbers_of_table_2(pulled: Repository) -> None:
    shown = json.loads(pulled.run("dvc", "metrics", "show", "--json"))
    (data,) = [metrics["data"] for metrics in shown[""]["data"].values()]
    assert set(data) == {"CAA", "IRE", "SeeDiff"}
    assert all(0 <= row["mIoU"] <= 100 for row in data.values())


def test_plots_show_every_variant(pulled: Repository, tmp_path: Path) -> None:
    pulled.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots" / "index.html").read_text()
    assert all(f'"label": "{name}"' in page for name in ("SeeDiff", "another look"))


def test_every_stage_can_be_asked_of_dvc(pulled: Repository) -> None:
    """Nothing has changed, so no stage calls the workflow."""
    said = pulled.run("dvc", "repro", "--dry")
    assert "Running stage" not in said


@pytest.mark.slow
def test_a_stage_runs_what_is_missing(pulled: Repository) -> None:
    """A model, the model that it starts from, and what follows: few jobs, which take a minute."""
    tuned = "results/smoke/metrics/tuned/resnet/0/voc.json"
    metrics = (pulled.folder / tuned).read_bytes()
    for folder in ("models/tuned", "models/mixed", "metrics/tuned"):
        shutil.rmtree(pulled.folder / "results/smoke" / folder)
    for table in (pulled.folder / "results/smoke/tables").glob("domains.*"):
        table.unlink()
    said = pulled.run("dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", said) == ["study"]
    finished = Counter(re.findall(r"\(Rule: (\w+)\)", said))
    assert (finished["train"], finished["evaluate"], finished["tabulate"]) == (2, 1, 1)
    assert (pulled.folder / tuned).read_bytes() == metrics
    assert pulled.planned() == {}


@pytest.mark.slow
def test_an_earlier_commit_has_its_own_results(pulled: Repository) -> None:
    """Files and records change together, in both directions between versions."""
    earlier = (pulled.folder / JUDGED).read_bytes()
    pulled.edit(STUDY, "timesteps: [300]", "timesteps: [400]")
    run = pulled.snakemake(JUDGED)
    assert run.returncode == 0, run.stdout + run.stderr
    assert pulled.run("git", "status", "--short") == f" M {STUDY}\n"
    pulled.run("dvc", "commit", "--force")
    pulled.run("git", "commit", "--all", "--message", "Another timestep")
    assert pulled.planned(JUDGED) == {}
    pulled.run("git", "checkout", "HEAD~1")
    assert pulled.planned(JUDGED)["judge"] == 1  # the files are still those of the later commit
    pulled.run("dvc", "checkout")
    assert (pulled.folder / JUDGED).read_bytes() == earlier
    assert pulled.planned() == {}
    pulled.run("git", "checkout", "-")
    assert pulled.planned(JUDGED)["judge"] == 1
    pulled.run("dvc", "checkout")
    assert pulled.planned(JUDGED) == {}
