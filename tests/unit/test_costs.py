"""The costs of a study, checked by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from seediff.adaptation.settings import Adaptation
from seediff.cli.bill import plan_text
from seediff.errors import SeediffError
from seediff.segmenter.settings import PRESETS_BY_BACKBONE, segmenter_settings
from seediff.workflow import plan
from seediff.workflow.costs.bill import StageCost, job_costs, jobs_of, stage_costs
from seediff.workflow.costs.cores import wall_seconds
from seediff.workflow.costs.embedded import read_unit_costs
from seediff.workflow.costs.full_size import NETWORKS
from seediff.workflow.costs.memory import memory_of
from seediff.workflow.costs.work import crop_area, network_name
from seediff.workflow.graph import Job
from seediff.workflow.study import find_study, load_study
from seediff.workflow.study.outputs import MaskTable, ReferenceJudge, SceneJudge
from tests.conftest import ROOT


@pytest.fixture
def costs() -> dict[str, list[StageCost]]:
    study = load_study(ROOT / "config/studies/paper.yaml")
    found: dict[str, list[StageCost]] = {}
    for cost in stage_costs(study, jobs_of(study)):
        found.setdefault(cost.stage, []).append(cost)
    return found


def test_every_image_is_drawn_once(costs: dict[str, list[StageCost]]) -> None:
    basic, city, varied, adapted = costs["synthesize"]
    assert (basic.jobs, basic.work) == (20 * 30, "60,000 images of basic")
    assert (city.jobs, city.work) == (6 * 167, "100,002 images of city")
    assert (varied.jobs, varied.work) == (20 * 85, "168,680 images of varied")
    assert (adapted.jobs, adapted.work) == (city.jobs, "100,002 images of city_adapted")
    assert basic.gpu_tflop / 60_000 == pytest.approx(102 * 0.804 * 1.13 + 2 * 0.045 + 2.515)
    assert basic.bytes == pytest.approx(60_000 * (450e3 + 10 * 64 * 64 * 2))


def test_models_that_only_start_others_are_counted(costs: dict[str, list[StageCost]]) -> None:
    (train,) = costs["train"]
    whole, pixel, city, tuned = 21, 7, 5, 4
    iterations = whole * 160_000 + (pixel + city) * 90_000 + tuned * 20_000
    assert (train.jobs, train.work) == (whole + pixel + city + tuned, f"{iterations:,} iterations")


def test_a_crop_costs_by_its_area() -> None:
    segmenters = load_study(ROOT / "config/studies/paper.yaml").segmenters
    square, wide = (crop_area(segmenters[name]) for name in ("swin", "swin_city"))
    assert square / wide == pytest.approx(640 * 640 / (512 * 1024))


def test_a_judge_is_on_the_bill(costs: dict[str, list[StageCost]]) -> None:
    (judged,) = costs["judge"]
    masks = (350 + 2 * 120 + 3 * 30) * (2 + 9) * 2
    assert judged.work == f"{masks:,} masks by scenes" and judged.core_seconds == pytest.approx(masks * 0.2)
    assert judged.gpu_tflop == pytest.approx(500 * (10 * 0.804 * 1.13 + 0.045 + 1.117))


def test_both_kinds_of_judges_are_on_the_bill() -> None:
    paper = load_study(ROOT / "config/studies/paper.yaml")
    judges = {
        "scenes": SceneJudge(benchmark="voc", images=(100, 50), timesteps=(500, 150)),
        "drawn": ReferenceJudge(image_set="basic", recipe="seediff", segmenter="pixel", benchmark="voc"),
    }
    row = {"label": "SeeDiff", "variant": "seediff", "refinement": "pamr"}
    tables = {name: MaskTable(title="T", caption="C", judge=name, rows=[row]) for name in judges}
    study = paper.model_copy(update={"judges": judges, "tables": {**paper.segmenter_tables, **tables}})
    scenes, drawn = (cost for cost in stage_costs(study, jobs_of(study)) if cost.stage == "judge")
    assert (scenes.work, drawn.work) == ("200 masks by scenes", "60,000 masks by drawn")
    assert scenes.gpu_tflop == pytest.approx(150 * (2 * 0.804 * 1.13 + 0.045 + 1.117))
    assert drawn.gpu_tflop == pytest.approx(60_000 * 0.043) and drawn.core_seconds == pytest.approx(60_000 * 0.2)


def test_a_per_pixel_network_is_no_mask2former() -> None:
    segmenters = load_study(ROOT / "config/studies/paper.yaml").segmenters
    plain, masks = (NETWORKS[network_name(segmenters[name])] for name in ("pixel", "resnet"))
    assert plain.training < masks.training / 2 and plain.parameters < masks.parameters


@pytest.mark.parametrize("backbone", [name for name in PRESETS_BY_BACKBONE if not name.endswith("-mini")])
@pytest.mark.parametrize("architecture", ["mask2former", "pixel"])
def test_every_backbone_of_full_size_has_its_price(architecture: str, backbone: str) -> None:
    network = NETWORKS[network_name(segmenter_settings(backbone, architecture=architecture))]
    assert network.training == pytest.approx(3 * network.forward, rel=0.01), "backward is twice forward"


def test_a_frozen_backbone_is_not_learnt() -> None:
    """Of the three passes through the backbone, forward and twice that backward, one is left."""
    paper = load_study(ROOT / "config/studies/paper.yaml")
    frozen = {**paper.segmenters, "resnet": replace(paper.segmenters["resnet"], freeze_at=5)}
    study = paper.model_copy(update={"segmenters": frozen})
    jobs = [job for job in jobs_of(paper) if job.stage == "train" and job.wildcards["segmenter"] == "resnet"]
    crops = 160_000 * 16
    for (_, whole), (_, head) in zip(job_costs(paper, jobs), job_costs(study, jobs), strict=True):
        assert whole.gpu_tflop == pytest.approx(0.397 * crops)
        assert head.gpu_tflop == pytest.approx((0.397 - 2 * 0.043) * crops, rel=0.01)


def test_a_mask_set_is_refined_once(costs: dict[str, list[StageCost]]) -> None:
    (refine,) = costs["refine"]
    assert refine.core_seconds == pytest.approx((14 * 60_000 + 4 * 168_680 + 3 * 100_002) * 0.2)


def test_an_adapter_costs_its_iterations() -> None:
    study = load_study(ROOT / "config/studies/paper.yaml")
    adaptation = Adaptation(("a photo",), rank=8, iterations=500, batch_size=4, benchmark="cityscapes")
    study = study.model_copy(update={"adaptations": {"street": adaptation}})
    (cost,) = (cost for cost in stage_costs(study, jobs_of(study)) if cost.stage == "adapter")
    assert (cost.stage, cost.jobs, cost.work) == ("adapter", 1, "500 iterations of street")
    assert cost.gpu_tflop == pytest.approx(2000 * (1.117 + 1.727))
    assert cost.bytes == pytest.approx(8 * 0.83e6, rel=0.01)


def test_a_faster_gpu_takes_fewer_hours() -> None:
    study = load_study(ROOT / "config/studies/paper.yaml")
    slow, fast = (plan_text(study, None, 2, tflops).splitlines() for tflops in (40.0, 80.0))
    hours = [float(line.split()[-3]) for lines in (slow, fast) for line in lines if line.startswith("all ")]
    assert hours[0] == pytest.approx(2 * hours[1], abs=0.2)


def test_an_embedded_bill_is_the_sum_of_its_jobs() -> None:
    study, seconds = load_study(ROOT / "config/studies/smoke.yaml"), read_unit_costs().seconds
    (train,) = (cost for cost in stage_costs(study, jobs_of(study)) if cost.stage == "train")
    swin, resnet, pixel = 3, 3, 1
    small = 64 * 64 / 512**2
    expected = 7 * seconds["start of train"]
    for name, models, iterations, batch in [
        ("mask2former swin-mini", swin, 4, 2),
        ("mask2former resnet-mini", resnet, 4, 2),
        ("pixel resnet-mini", pixel, 80, 4),
    ]:
        expected += models * iterations * seconds[f"iteration of {name}"]
        expected += models * iterations * batch * small * seconds[f"crop learnt by {name}"]
    assert (train.jobs, train.work) == (7, f"{6 * 4 + 80} iterations")
    assert train.core_seconds == pytest.approx(expected)


def test_only_the_jobs_of_a_table_are_billed() -> None:
    study = load_study(ROOT / "config/studies/smoke.yaml")
    models = {job.name for job in jobs_of(study, "table2") if job.stage == "train"}
    assert models == {"caa/swin/0", "ire/swin/0", "seediff/swin/0"}
    assert {job.name for job in jobs_of(study, "table2") if job.stage == "tabulate"} == {"table2"}
    with pytest.raises(SeediffError, match="no table 'table9'"):
        jobs_of(study, "table9")


def test_networks_without_prices_are_named() -> None:
    study = load_study(ROOT / "config/studies/paper.yaml")
    with pytest.raises(
        SeediffError, match=r"'crop learnt by mask2former resnet-50' is not among those of python -m benchmarks\.units"
    ):
        job_costs(study.model_copy(update={"embedded": True}), jobs_of(study))


def job(name: str, *reads: str) -> Job:
    return Job("stage", name, inputs=reads, outputs=(name,), log="", version=1, spec="")


def test_jobs_wait_for_files_and_cores() -> None:
    chain = [job("a"), job("b", "a"), job("c", "b")]
    apart = [job("d"), job("e")]
    assert wall_seconds(chain, [1.0, 2.0, 3.0], cores=2) == 6
    assert wall_seconds([*chain, *apart], [1.0, 2.0, 3.0, 4.0, 2.0], cores=1) == 12
    assert wall_seconds([*chain, *apart], [1.0, 2.0, 3.0, 4.0, 2.0], cores=2) == 6
    assert wall_seconds(apart, [4.0, 2.0], cores=8) == 4


def test_memory_grows_with_the_batch() -> None:
    study = load_study(ROOT / "config/studies/paper.yaml")
    doubled = replace(study.segmenters["pixel"], batch_size=32)
    twice = study.model_copy(update={"segmenters": {**study.segmenters, "pixel": doubled}})
    once, two = (
        next(found.gib for found in memory_of(of, jobs_of(of)) if found.what.startswith("train pixel,"))
        for of in (study, twice)
    )
    states = NETWORKS["pixel resnet-50"].parameters * 18 / 2**30
    assert two - states == pytest.approx(2 * (once - states)) and once > 5 * states


def test_a_study_is_named_or_given_as_a_file() -> None:
    assert find_study("mini") == Path("config/studies/mini.yaml")
    assert find_study("own/study.yaml") == Path("own/study.yaml")


def test_the_bill_needs_no_torch() -> None:
    program = "import sys; from seediff.cli import main; main(['plan', '--study', 'paper'])"
    command = [sys.executable, "-c", f"{program}; sys.exit('torch' in sys.modules)"]
    assert subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("study", ["smoke", "mini", "paper", "one-gpu"])
def test_a_part_is_that_of_all_parts(study: str) -> None:
    loaded = load_study(ROOT / f"config/studies/{study}.yaml")
    for image_set in loaded.image_sets:
        parts = plan.parts(loaded, image_set)
        assert [plan.part(loaded, image_set, number) for number in range(len(parts))] == parts
        with pytest.raises(IndexError):
            plan.part(loaded, image_set, len(parts))
