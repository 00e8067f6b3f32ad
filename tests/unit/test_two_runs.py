"""Two runs compared: numbers that moved, that did not, and that are missing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from seediff.cli import main
from seediff.errors import SeediffError
from seediff.workflow import layout
from seediff.workflow.reporting.two_runs import Sample, compare, is_beyond_noise, numbers_of, sample_of
from seediff.workflow.study import Study, load_study, write_snapshot
from tests.conftest import ROOT
from tests.runs import write_run

ROWS = {"caa": "CAA", "ire": "IRE", "seediff": "SeeDiff"}
PIXELS = 10_000


@pytest.fixture
def study() -> Study:
    smoke = load_study(ROOT / "config/studies/smoke.yaml")
    return smoke.model_copy(update={"repeats": 3, "tables": {"table2": smoke.tables["table2"]}})


def run(study: Study, folder: Path, hits: Mapping[str, Sequence[int]]) -> Path:
    """Results in which each recipe has so many of ``PIXELS`` right in each repeat."""
    write_snapshot(layout.below(folder, layout.SNAPSHOT), study)
    for recipe, of_repeats in hits.items():
        for repeat, right in enumerate(of_repeats):
            names = {"recipe": recipe, "segmenter": "swin", "repeat": repeat, "benchmark": "voc"}
            confusion = np.array([[[right, PIXELS - right, 0], [0, PIXELS, 0], [0, 0, PIXELS]]])
            write_run(layout.below(folder, layout.METRICS, **names), ["background", "cat", "car"], confusion)
    return folder


def test_a_number_moves_if_it_leaves_its_noise(study: Study, tmp_path: Path) -> None:
    before = run(
        study, tmp_path / "a", {"caa": (7000, 7100, 7050), "ire": (7000, 7900, 7400), "seediff": (8000, 8100, 8020)}
    )
    after = run(
        study, tmp_path / "b", {"caa": (7300, 7420, 7380), "ire": (7100, 7800, 7600), "seediff": (8000, 8100, 8020)}
    )
    found = compare(before, after)
    labels = {name: {change.place.row for change in getattr(found, name)} for name in ("moved", "within", "same")}
    assert labels == {"moved": {"CAA"}, "within": {"IRE"}, "same": {"SeeDiff"}}
    assert not found.unknown and not found.only_before and not found.only_after


def test_numbers_are_those_of_the_confusion_matrices(study: Study, tmp_path: Path) -> None:
    numbers = numbers_of(run(study, tmp_path, {"caa": (7000, 7100, 7050)}))
    runs = [100 * (right / PIXELS + PIXELS / (2 * PIXELS - right) + 1) / 3 for right in (7000, 7100, 7050)]
    (place,) = (place for place in numbers if place.column == "mIoU")
    assert (place.table, place.row) == ("table2", "CAA")
    assert numbers[place].mean == pytest.approx(statistics.mean(runs))
    assert numbers[place].std == pytest.approx(statistics.stdev(runs)) and numbers[place].count == 3


def test_what_a_run_lacks_is_named_and_does_not_count_as_moved(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run(study, tmp_path / "a", {"caa": (7000, 7100, 7050), "ire": (7000, 7100, 7050)})
    after = run(study, tmp_path / "b", {"caa": (7000, 7100, 7050), "seediff": (9000,)})
    assert main(["compare", str(before), str(after)]) == 0
    said = capsys.readouterr().out
    assert (
        f"only in {before}: table2, IRE (foreground mIoU, mIoU)" in said
        and f"only in {after}: table2, SeeDiff (foreground mIoU, mIoU)" in said
    )
    assert "0 moved beyond noise" in said


def test_the_exit_code_says_whether_something_moved(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run(study, tmp_path / "a", {"caa": (7000, 7100, 7050)})
    after = run(study, tmp_path / "b", {"caa": (8000, 8100, 8050)})
    assert main(["compare", str(before), str(after)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("table2, CAA, foreground mIoU: ") and said[0].count("±") == 2 and said[0].endswith(")")
    assert said[-1].startswith("Numbers: 2 moved beyond noise; 0 within noise; 0 the same")


def test_noise_is_unknown_of_a_single_run(study: Study, tmp_path: Path) -> None:
    single = study.model_copy(update={"repeats": 1})
    found = compare(
        run(single, tmp_path / "a", {"caa": (7000,)}), run(study, tmp_path / "b", {"caa": (9000, 9001, 9002)})
    )
    assert {change.place.row for change in found.unknown} == {"CAA"} and not found.moved


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0, 4.0])
def test_noise_is_that_of_welch(shift: float) -> None:
    """Against the statistic by hand, and the quantile of Student's t at 2 degrees of freedom, 4.303."""
    before, after = sample_of([70.0, 71.0, 69.0]), sample_of([70.0 + shift] * 3)
    by_hand = shift / math.sqrt(1 / 3)
    assert is_beyond_noise(before, after) == (by_hand > 4.303)


def test_without_noise_every_difference_is_beyond_it() -> None:
    assert is_beyond_noise(Sample(70.0, 0.0, 3), Sample(70.1, 0.0, 3))


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeediffError, match="holds no results"):
        compare(tmp_path, tmp_path)
