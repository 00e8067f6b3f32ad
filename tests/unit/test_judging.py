"""Judges of masks: verdicts against counted pixels, scenes by their classes, drawn pairs, and the tables of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from seediff.datasets.benchmarks import Benchmark, open_benchmark
from seediff.datasets.images import encode_png, read_png
from seediff.datasets.shards import Sample, write_shard
from seediff.diffusion.judges import DRAWN, Judgement, judge_drawn, judge_scenes, scenes_by_classes, stratum
from seediff.diffusion.loading import load
from seediff.diffusion.scenes import annotated_scenes
from seediff.embedded.domains import write_domain
from seediff.embedded.vocabulary import CLASSES
from seediff.errors import SeediffError
from seediff.files.sealed import write_json
from seediff.masks.judging import THRESHOLDS, Verdict, judge, summarise
from seediff.masks.refinement import Refinement
from seediff.masks.shards import SCORES
from seediff.masks.variants import VARIANTS, named_steps, resolve
from seediff.segmenter.evaluate import Segmenter
from seediff.segmenter.registry import architecture_of
from seediff.segmenter.settings import segmenter_settings
from seediff.workflow.reporting.judged_picture import _from_worst_to_best, _grid, write_picture
from seediff.workflow.reporting.specs import JudgedRow, JudgedTable
from seediff.workflow.reporting.tables import write_table

MODEL = Path(__file__).parents[2] / "assets" / "pictograms"
WORDS = {name: name for name in CLASSES}
RAW = Refinement(pamr=None, threshold=0.3)
UNSURE = Refinement(pamr=None, threshold=0.6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.3, 0.7]))
def test_a_verdict_counts_pixels(seed: int, beta: float) -> None:
    rng = np.random.default_rng(seed)
    soft = rng.choice([0.01, 0.22, 0.31, 0.72, 0.99], size=(5, 6)).astype(np.float32)
    truth, valid = rng.random((5, 6)) < 0.4, rng.random((5, 6)) < 0.8
    truth[0, 0] = valid[0, 0] = True
    verdict = judge(soft, truth, valid, beta)
    pixels = [(value >= beta, inside) for value, inside, v in zip(soft.flat, truth.flat, valid.flat) if v]
    area = sum(inside for _, inside in pixels)
    assert verdict.missed == pytest.approx(sum(inside and not found for found, inside in pixels) / area)
    assert verdict.spilled == pytest.approx(sum(found and not inside for found, inside in pixels) / area)
    both, either = (
        sum(f(found, inside) for found, inside in pixels) for f in (lambda a, b: a and b, lambda a, b: a or b)
    )
    assert verdict.iou == pytest.approx(both / either)
    assert verdict.iou == pytest.approx((1 - verdict.missed) / (1 + verdict.spilled))
    assert verdict.curve.shape == THRESHOLDS.shape


def verdict(iou: float, *curve: float) -> Verdict:
    return Verdict(iou, 0.1, 0.2, np.array([*curve, *[0.0] * (len(THRESHOLDS) - len(curve))]))


def test_the_best_threshold_is_chosen_on_other_images_than_it_is_judged_on() -> None:
    summary = summarise(
        [verdict(0.5, 0.2, 0.9), verdict(0.6, 0.4, 0.5), verdict(0.7, 0.9, 0.3), verdict(0.8, 0.9, 0.5)]
    )
    assert summary["best_threshold"] == 0.1 and summary["best_iou"] == [0.3, 0.5]
    assert summary["iou"] == [0.5, 0.6, 0.7, 0.8]
    assert summary["missed"] == pytest.approx(0.1) and summary["spilled"] == pytest.approx(0.2)
    assert summarise([verdict(0.5, 0.2, 0.9)])["best_iou"] == [0.9]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    folder = tmp_path_factory.mktemp("voc")
    write_domain("voc", folder, train=1, val=40, rng_seed=0)
    return open_benchmark("voc", folder, "val", CLASSES)


def test_scenes_are_the_first_that_show_so_many_classes(benchmark: Benchmark) -> None:
    found = [*scenes_by_classes(benchmark, WORDS, [2, 3], 64)]
    shown = [{*np.unique(benchmark[index][1])} - {0, 255} for index in range(len(benchmark))]
    first = {k: [at for at, labels in enumerate(shown) if len(labels) == k][:number] for k, number in ((1, 2), (2, 3))}
    assert [scene.index for scene in found] == sorted([*first[1], *first[2]])
    with pytest.raises(SeediffError, match=r"The benchmark lacks images: \d+ with one class, 1 with 4 classes"):
        [*scenes_by_classes(benchmark, WORDS, [90, 0, 0, 1], 64)]


def test_the_prompt_has_the_words_that_stand_for_the_classes(benchmark: Benchmark) -> None:
    words = {name: f"small {name}" for name in CLASSES}
    for scene in annotated_scenes(benchmark, words, 64):
        named = [f"a small {name}" for name in CLASSES if name in scene.classes]
        assert named and scene.prompt == "a photo of " + " and ".join(named)


def test_every_class_has_the_place_of_its_own_word(benchmark: Benchmark) -> None:
    """Where one class's word is part of another's, or the same."""
    words = {name: ("bus", "school bus", "bus stop")[label % 3] for label, name in enumerate(CLASSES)}
    several = [scene for scene in annotated_scenes(benchmark, words, 64) if len(scene.classes) > 1]
    assert several
    for scene in several:
        expected = "a photo of"
        for name, start in zip(scene.classes, scene.starts, strict=True):
            expected += f"{' and' if start > 13 else ''} a {words[name]}"
            assert start == len(expected) - len(words[name])
        assert scene.prompt == expected


def test_scenes_are_judged_by_their_annotation(benchmark: Benchmark) -> None:
    variants: dict[str, Any] = {
        "caa": resolve(VARIANTS["caa"]),
        "look": resolve(named_steps([("look_again", {"timestep": 150}), "ca_32"])),
        "centre": resolve(named_steps(["centre_disc"])),
    }
    rows = [("caa", "raw"), ("look", "raw"), ("look", "unsure"), ("centre", "raw")]
    refinements = {"raw": RAW, "unsure": UNSURE}

    def judged(batch_size: int) -> list[Judgement]:
        return [
            *judge_scenes(load(MODEL), benchmark, WORDS, variants, refinements, rows, [2, 1], [850, 450], 0, batch_size)
        ]

    found, again = judged(2), judged(3)
    assert sorted(judgement.stratum for judgement in found) == [stratum(2)] * 2 + [stratum(1)] * 2
    for judgement, other in zip(found, again, strict=True):
        assert {*judgement.masks} == {*judgement.verdicts} == {*rows}
        for row in rows:
            outside = (judgement.masks[row] & ~judgement.truth).sum()  # the ignored border included
            assert judgement.verdicts[row].spilled <= outside / judgement.truth.sum() + 1e-9
            assert judgement.verdicts[row].iou == pytest.approx(other.verdicts[row].iou, abs=0.02)
    mean = {row: np.mean([judgement.verdicts[row].iou for judgement in found]) for row in rows}
    assert mean["look", "raw"] > mean["caa", "raw"] > 0.1
    assert mean["look", "raw"] != mean["look", "unsure"]


class Halves(torch.nn.Module):
    """Sees the first class on the left half of every image, and the second nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(len(pixels), 3, *pixels.shape[2:])
        scores[:, 1, :, : pixels.shape[3] // 2] = 1.0
        return scores


def drawn_shards(folder: Path, classes: list[str]) -> tuple[Path, Path]:
    left = np.zeros((8, 8), np.float16)
    left[:, :4] = 1
    images, scores = [], []
    for name in classes:
        about = json.dumps({"class_name": name}).encode()
        images.append(Sample(f"{name}-0", {"png": encode_png(np.full((64, 64, 3), 90, np.uint8)), "json": about}))
        scores.append(Sample(f"{name}-0", {SCORES: save({"left": left, "right": 1 - left})}))
    for kind, samples in (("images", images), ("scores", scores)):
        write_shard(folder / f"{kind}.tar", samples, {})
    return folder / "images.tar", folder / "scores.tar"


def test_drawn_images_are_judged_by_what_a_segmenter_sees(tmp_path: Path) -> None:
    pixel = segmenter_settings("resnet-mini", architecture="pixel")
    architecture = replace(architecture_of(pixel), scores=lambda model, pixels: model.scores(pixels))
    segmenter = Segmenter(architecture, Halves(), pixel, ("background", "cat", "car"))
    images, scores = drawn_shards(tmp_path, ["cat", "car"])
    rows = [("left", "raw"), ("right", "raw")]
    (found,) = judge_drawn(segmenter, [images], [scores], {"raw": RAW}, rows)  # there is no car to compare with
    assert (found.stratum, found.name) == (DRAWN, "cat") and found.truth.mean() == 0.5
    left, right = found.verdicts["left", "raw"], found.verdicts["right", "raw"]
    assert left.missed == 0 and left.iou > 0.9 and right.missed > 0.9 and right.iou < 0.1
    (tmp_path / "cars").mkdir()
    shards = [[path] for path in drawn_shards(tmp_path / "cars", ["car"])]
    with pytest.raises(SeediffError, match="sees nothing of their classes"):
        [*judge_drawn(segmenter, *shards, {"raw": RAW}, rows)]
    (tmp_path / "other").mkdir()
    with pytest.raises(SeediffError, match="hold different images"):
        [*judge_drawn(segmenter, [images], [drawn_shards(tmp_path / "other", ["car", "cat"])[1]], {"raw": RAW}, rows)]


# --- tables ----------------------------------------------------------------------------------------------------------

ROWS = (
    JudgedRow(label="CAA", variant="caa", refinement="pamr"),
    JudgedRow(label="Another look", variant="look", refinement="pamr"),
)
TABLE = JudgedTable(
    name="strata", title="Masks", caption="Exact.", judge="scenes", reference=None, rows=ROWS, study="x"
)


def judged_file(folder: Path, **changes: Any) -> None:
    rows = {
        name: dict.fromkeys(("one class", "2 classes"), summarise([verdict(iou, iou), verdict(iou + 0.1, iou)]))
        for name, iou in (("caa-pamr", 0.5), ("look-pamr", 0.8))
    }
    write_json(folder / "judged" / "scenes.json", {"rows": rows} | changes)


def test_a_table_of_masks(tmp_path: Path) -> None:
    judged_file(tmp_path)
    write_table(TABLE, tmp_path, tmp_path / "strata")
    texts = {path.name.removeprefix("strata."): path.read_text() for path in tmp_path.glob("strata.*")}
    assert {*texts} == {"csv", "md", "tex", "html", "json", "verdicts.json", "grid.json"}
    found = pd.read_csv(io.StringIO(texts["csv"])).set_index(["label", "stratum"])
    line = found.loc["CAA", "one class"]
    assert (line.iou, line.standard_error, line.missed, line.spilled, line.n) == (55.0, 5.0, 10.0, 20.0, 2)
    assert (line.best_iou, line.best_threshold) == (50.0, 0.05)
    assert json.loads(texts["json"])["Another look"] == {"one class": 85.0, "2 classes": 85.0}
    row = next(line for line in texts["md"].splitlines() if "Another look" in line)
    assert "**85.0 (5.0)**" in row and "**80.0" not in row, "a best threshold was tested on a single mask"
    assert json.loads(texts["verdicts.json"])["shows"] == (
        "By IoU (one class), Another look is ahead of CAA by 30.0, 30.0 to 30.0."
    )


def test_masks_are_compared_mask_by_mask(tmp_path: Path) -> None:
    """The difference is the same on every mask up to its noise, though masks differ far more."""
    for noise, ahead in ((0.02, True), (0.3, False)):
        rng = np.random.default_rng(0)
        ious = rng.uniform(0.35, 0.6, 40)
        others = ious + 0.03 + rng.permutation(np.linspace(-noise, noise, 40))
        strata = {"caa-pamr": ious, "look-pamr": others}
        found = {name: {"one class": summarise([verdict(iou, iou) for iou in of])} for name, of in strata.items()}
        write_json(tmp_path / "judged" / "scenes.json", {"rows": found})
        write_table(TABLE, tmp_path, tmp_path / "strata")
        text = (tmp_path / "strata.md").read_text()
        assert (text.count("**") == 2 * 2 + 2) == ahead and ("is ahead of CAA" in text) == ahead


def test_rows_of_other_masks_are_refused(tmp_path: Path) -> None:
    counts = {"caa-pamr": 3, "look-pamr": 4}
    rows = {name: {"one class": summarise([verdict(0.5, 0.5)] * count)} for name, count in counts.items()}
    write_json(tmp_path / "judged" / "scenes.json", {"rows": rows})
    with pytest.raises(SeediffError, match=r"scenes\.json are of other objects"):
        write_table(TABLE, tmp_path, tmp_path / "strata")


def test_a_judge_that_is_a_segmenter_says_how_good_it_is(tmp_path: Path) -> None:
    judged_file(tmp_path)
    run = {"recipe": "exact", "segmenter": "pixel", "repeat": "0", "benchmark": "voc"}
    metrics = {"classes": ["background", "cat"], "confusion": [[9, 1], [0, 10]], "images": 1}
    write_json(tmp_path / "metrics/exact/pixel/0/voc.json", metrics)
    write_table(TABLE.model_copy(update={"reference": run}), tmp_path, tmp_path / "strata")
    expected = 100 * (9 / 10 + 10 / 11) / 2
    assert f"a mean IoU of {expected:.1f} on annotated images" in (tmp_path / "strata.md").read_text()


@pytest.mark.parametrize(
    "rows",
    [
        {},
        {"caa-pamr": {}},
        {"caa-pamr": {}, "look-pamr": {}},
        {"caa-pamr": {"one class": {"iou": [2.0]}}},
        {"caa-pamr": 3},
        {"look-pamr": {}},
    ],
)
def test_a_broken_file_of_a_judge_is_named(tmp_path: Path, rows: Any) -> None:
    judged_file(tmp_path, rows=rows)
    with pytest.raises(SeediffError, match=r"scenes\.json"):
        write_table(TABLE, tmp_path, tmp_path / "strata")
    assert not [*tmp_path.glob("strata.*")]


def test_a_missing_file_of_a_judge_names_its_command(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match=r"snakemake --cores all .*judged/scenes\.json"):
        write_table(TABLE, tmp_path, tmp_path / "strata")


# --- the picture -----------------------------------------------------------------------------------------------------


def test_the_picture_shows_the_worst_and_the_best(tmp_path: Path) -> None:
    image, truth = np.full((8, 8, 3), 200, np.uint8), np.zeros((8, 8), bool)
    truth[:4] = True
    judgements = [
        Judgement("drawn", f"image {k}", image, truth, {("caa", "raw"): truth}, {("caa", "raw"): verdict(iou)})
        for k, iou in enumerate([0.5, 0.9, 0.1, 0.6, 0.7, 0.8, 0.4, 0.3])
    ]
    grid = _grid(_from_worst_to_best(judgements))
    assert [title.partition(": ")[2] for title in grid.columns] == [f"image {k}" for k in (2, 7, 0, 3, 5, 1)]
    assert [row.title for row in grid.rows] == ["image", "judge", "caa"]
    assert grid.rows[2].note == "raw; IoU 10, 30, 50, 60, 80, 90"
    write_picture(judgements[:1], tmp_path / "a.png")
    write_picture(judgements[:1], tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert read_png(tmp_path / "a.png")
