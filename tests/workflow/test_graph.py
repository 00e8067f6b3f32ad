"""The job graph: how many jobs a study has, and exactly which of them an edit runs again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seediff.workflow.stages import evaluate
from tests.conftest import ROOT, Workspace, make_workspace

SMOKE = "config/studies/smoke.yaml"


def test_job_counts_of_the_mini_study(workspace: Workspace) -> None:
    jobs = workspace.planned(study="mini")
    assert jobs["synthesize"] == 10 * 3 + 10 * 2 + 4 * 2 + 4 * 2  # a shard for each class and draw
    assert jobs["adapter"] == jobs["filter"] == jobs["judge"] == 1
    assert jobs["refine"] == 40
    assert jobs["assemble"] == 54
    assert jobs["train"] == 156
    assert jobs["evaluate"] == 178
    assert jobs["tabulate"] == 16
    assert jobs["predictions"] == 2


def test_job_counts_of_the_smoke_study(workspace: Workspace) -> None:
    jobs = workspace.planned()
    assert jobs["synthesize"] == jobs["replay"] == 4  # two classes, three images each, two to a shard
    assert jobs["refine"] == 4
    assert jobs["assemble"] == 6
    assert jobs["train"] == 7  # one of them only to start another, one to judge
    assert jobs["evaluate"] == 8
    assert jobs["judge"] == 2
    assert jobs["domain"] == 3


def test_all_models_can_be_asked_for(workspace: Workspace) -> None:
    """Also those that start from others, which --until train would never begin."""
    assert workspace.planned("models")["train"] == 7
    refused = workspace.snakemake("--dry-run", "--until", "train")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-2:] == [
        "error: With --until train Snakemake never begins a training that starts from the weights of another.",
        "Ask for the models themselves: snakemake --cores all models",
    ]


def test_what_dvc_runs_can_be_planned(workspace: Workspace) -> None:
    (stage,) = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    assert stage["cmd"] == "snakemake --cores all --config study=${study}"
    assert workspace.planned()


def test_the_graph_is_built_without_torch() -> None:
    modules = "seediff.cli, seediff.workflow.plan, seediff.workflow.study"
    program = f"import sys, {modules}; from pathlib import Path; seediff.workflow.study.load_study(Path('{SMOKE}'))"
    check = f"{program}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0


def test_lint_has_nothing_to_say(workspace: Workspace) -> None:
    lint = workspace.snakemake("--lint")
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_a_single_file_can_be_asked_for(tmp_path: Path) -> None:
    """Although the tables, which are shown at the end of a run, do not exist."""
    alone = make_workspace(tmp_path)
    prompts = "results/smoke/prompts/basic.csv"
    run = alone.snakemake(prompts)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (alone.folder / prompts).is_file()
    assert "Report:" not in run.stdout


def test_a_typo_in_the_study_ends_in_a_few_lines(tmp_path: Path) -> None:
    broken = make_workspace(tmp_path)
    broken.edit(SMOKE, "judges:", "jugdes:")
    assert refused(broken) == [f"error: {SMOKE}: unknown key 'jugdes'.", "Did you mean 'judges'?"]


def test_a_setting_that_the_workflow_does_not_have_is_refused(tmp_path: Path) -> None:
    """And no other study is run in place of the intended one."""
    mistaken = make_workspace(tmp_path)
    mistaken.edit("config/config.yaml", "study:", "stduy:")
    assert "error: The workflow has no setting 'stduy'." in refused(mistaken)


def test_a_path_that_is_not_there_is_said_before_the_first_job(tmp_path: Path) -> None:
    """Unless the study is only planned; a single job does not look again."""
    away = make_workspace(tmp_path)
    away.edit(SMOKE, "embedded: {train: 6, val: 4}", "folder: data/NOPE")
    assert refused(away) == [
        "error: The study 'smoke' names files or folders that do not exist: benchmarks.voc.folder (data/NOPE).",
        "Add what is missing, or change the study; `seediff data list` says where to get data sets.",
        "To plan without them, or to run what does not need them: --config study=smoke paths=unchecked",
    ]
    away.edit("config/config.yaml", "study: mini", "study: mini\npaths: unchecked")
    assert away.planned()["evaluate"] == 8
    away.edit("config/config.yaml", "paths: unchecked", "paths: checked")
    assert refused(away)[0] == "error: The setting 'paths' can only be 'unchecked'; leave it out to check the paths."
    away.edit("config/config.yaml", "paths: checked", "paths: unchecked")
    prompts = "results/smoke/prompts/basic.csv"
    assert away.snakemake(prompts).returncode == 0 and (away.folder / prompts).is_file()


def refused(workspace: Workspace) -> list[str]:
    """The output of a dry run, which must fail."""
    run = workspace.snakemake("--dry-run")
    assert run.returncode == 1
    return [line for line in run.stderr.splitlines() if "profile" not in line and "onfig file" not in line]


def test_the_finished_study_has_nothing_to_do(finished: Workspace) -> None:
    assert finished.planned() == {}


def test_a_comment_reruns_nothing(copy_of_finished: Workspace) -> None:
    copy_of_finished.edit(SMOKE, "repeats: 1", "# a remark\nrepeats: 1")
    copy_of_finished.edit("rules/segment.smk", "rule train:", "# a remark\nrule train:")
    assert copy_of_finished.planned() == {}


def test_an_edited_threshold_reruns_its_chain_alone(copy_of_finished: Workspace) -> None:
    copy_of_finished.edit(SMOKE, "raw: {pamr: null}", "raw: {pamr: null, threshold: 0.4}")
    assert copy_of_finished.planned() == {
        "refine": 3,  # caa, ire and their mixture; seediff is refined by PAMR
        "assemble": 3,
        "train": 5,  # what starts from the mixture's model is trained again as well, and a judge
        "evaluate": 4,
        "judge": 2,
        "tabulate": 4,
        "predictions": 1,
        "report": 1,
        "all": 1,
    }


def test_a_new_table_row_runs_what_it_alone_needs(copy_of_finished: Workspace) -> None:
    row = "      - {label: SeeDiff, recipe: seediff, segmenter: swin, benchmark: voc, paper: 79.6}"
    copy_of_finished.edit(
        SMOKE, row, f"{row}\n      - {{label: R, recipe: seediff, segmenter: resnet, benchmark: voc}}"
    )
    assert copy_of_finished.planned() == {"train": 1, "evaluate": 1, "tabulate": 1, "report": 1, "all": 1}


def test_a_new_pass_leaves_finished_images_alone(copy_of_finished: Workspace) -> None:
    later = "  later: {image_set: basic, variants: [ire]}"
    copy_of_finished.edit(SMOKE, later, f"{later}\n  more: {{image_set: basic, variants: [cre]}}")
    recipe = "  ire: {image_set: basic, variant: ire, refinement: raw}"
    copy_of_finished.edit(SMOKE, recipe, f"{recipe}\n  cre: {{image_set: basic, variant: cre, refinement: raw}}")
    row = "      - {label: IRE, recipe: ire, segmenter: swin, benchmark: voc, paper: 73.2}"
    copy_of_finished.edit(SMOKE, row, f"{row}\n      - {{label: CRE, recipe: cre, segmenter: swin, benchmark: voc}}")
    jobs = copy_of_finished.planned()
    assert jobs.pop("replay") == 4
    assert jobs == {"refine": 1, "assemble": 1, "train": 1, "evaluate": 1, "tabulate": 1, "report": 1, "all": 1}


def test_a_raised_version_reruns_its_stage_and_what_follows(copy_of_finished: Workspace, tmp_path: Path) -> None:
    code = tmp_path / "code"
    shutil.copytree(ROOT / "seediff", code / "seediff")
    stage = code / "seediff" / "workflow" / "stages" / "evaluate.py"
    stage.write_text(stage.read_text().replace(f"VERSION = {evaluate.VERSION}", f"VERSION = {evaluate.VERSION + 1}"))
    jobs = copy_of_finished.planned(PYTHONPATH=str(code))
    assert jobs == {"evaluate": 8, "tabulate": 3, "report": 1, "all": 1}


@pytest.mark.slow
def test_a_tampered_shard_is_made_again(copy_of_finished: Workspace) -> None:
    shard = copy_of_finished.folder / "results/smoke/images/basic/cat/0000.tar"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    masks = copy_of_finished.folder / "results/smoke/masks/basic/caa-raw/0000.tar"
    before = masks.read_bytes()
    masks.unlink()
    run = copy_of_finished.snakemake("results/smoke/masks/basic/caa-raw/0000.tar")
    assert run.returncode == 0, run.stderr
    assert masks.read_bytes() == before and shard.read_bytes() != bytes(content)


def test_a_failed_run_shows_what_the_job_said_at_once_and_at_its_end(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    workspace.edit("config/studies/smoke.yaml", "model: assets/pictograms", "model: broken")
    (workspace.folder / "broken").mkdir()
    (workspace.folder / "broken/model_index.json").write_text("{}")
    run = workspace.snakemake("results/smoke/judged/scenes.json")
    assert run.returncode != 0
    log = "results/smoke/logs/judge/scenes.log"
    error = next(line for line in (workspace.folder / log).read_text().splitlines() if line.startswith("error: "))
    at_once, at_end = run.stderr.partition(f"\nfailed: judge ({log})\n")[2], run.stdout
    assert f"  {error}\n" in at_once.partition("Exiting because a job execution failed")[0]
    assert f"    {error}\n" in at_end.partition("\nfailed:\n")[2]
