"""What tables show: pairs, the paper's order, who is ahead, in every form of the table."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seediff.errors import SeediffError
from seediff.files.sealed import write_json
from seediff.segmenter.confusions import read_confusions
from seediff.segmenter.metrics import miou
from seediff.workflow.reporting.comparisons import compare_rows
from seediff.workflow.reporting.findings import Findings, Pair, as_content, read_findings
from seediff.workflow.reporting.formats import html, latex, markdown, read_grid
from seediff.workflow.reporting.measurements import measure_rows
from seediff.workflow.reporting.paired import Difference
from seediff.workflow.reporting.sentences import sentence
from seediff.workflow.reporting.specs import SegmenterTable
from seediff.workflow.reporting.tables import write_table
from seediff.workflow.reporting.verdicts import table_findings
from seediff.workflow.study import load_study
from tests.conftest import ROOT
from tests.runs import write_run
from tests.stages import spec_of, typed

CLASSES = ["background", "cat", "car"]
IMAGES = 60
Numbers = dict[str, float]


def write(results: Path, missed: Numbers, benchmark: str = "voc", repeats: int = 3, images: int = IMAGES) -> None:
    """Runs of recipes that miss this share of every object; image and repeat change it alike for all, and at random."""
    of_all = np.random.default_rng(0)
    of_image, of_repeat = of_all.normal(0, 0.03, images), of_all.normal(0, 0.02, repeats)
    for number, (recipe, share) in enumerate(missed.items()):
        for repeat in range(repeats):
            rng = np.random.default_rng([number, repeat])
            shares = share + of_image + of_repeat[repeat] + rng.normal(0, 0.01) + rng.normal(0, 0.01, images)
            pixels = (1000 * np.clip(shares, 0, 1)).astype(int)
            matrices = np.zeros((images, 3, 3), int)
            matrices[:, 0, 0] = 2000
            for image, label in enumerate(np.resize([1, 2], images)):
                matrices[image, label, [0, label]] = pixels[image], 1000 - pixels[image]
            write_run(results / "metrics" / recipe / "swin" / str(repeat) / f"{benchmark}.json", CLASSES, matrices)


def row(label: str, paper: float | None = None, block: str = "", **changes: Any) -> dict[str, Any]:
    run = {"recipe": label, "segmenter": "swin", "benchmark": "voc"} | changes
    return {"label": label, "block": block, **run, "paper": {} if paper is None else {"mIoU": paper}}


def table(rows: list[dict[str, Any]], **changes: Any) -> SegmenterTable:
    columns = [{"heading": "mIoU", "kind": "foreground", "of": []}, {"heading": "cat", "kind": "iou", "of": ["cat"]}]
    content = {"name": "t", "title": "T", "question": "Which?", "caption": "C.", "columns": columns, "rows": rows}
    return typed("tabulate", content | {"study": "mini", "repeats": 3, "reported_on": "VOC"} | changes)


FOUR = {"a": 0.40, "b": 0.30, "c": 0.35, "d": 0.349}
PAPER = {"a": 68.8, "b": 71.0, "c": 73.2, "d": 79.6}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write(tmp_path, FOUR)
    return tmp_path


def test_each_pair_of_the_papers_order_has_its_verdict(results: Path) -> None:
    found = table_findings(table([row(name, PAPER[name]) for name in FOUR]), results)
    assert [pair.verdict for pair in found.pairs] == ["supported", "contradicted", "undecided"]
    assert [(pair.first, pair.second, pair.reported) for pair in found.pairs[:2]] == [("a", "b", 2.2), ("b", "c", 2.2)]
    rows = measure_rows(table([row(name) for name in FOUR]), results)
    means = [np.mean(measured.cells["mIoU"].runs) for measured in rows]
    for pair, (ours, below) in zip(found.pairs, pairwise(means), strict=True):
        assert pair.difference.value == pytest.approx(below - ours)
        assert pair.difference.low < pair.difference.value < pair.difference.high and pair.difference.degrees == 6
    said = found.pairs[1].difference
    size = f"{-said.value:.1f}, {-said.high:.1f} to {-said.low:.1f}"
    assert found.shows.startswith(
        "By mIoU, 1 of 3 of the paper's neighbouring pairs is supported, "
        f"1 contradicted (c below b by {size}), 1 undecided; b is ahead of all other rows"
    )


def test_a_pair_that_the_paper_has_the_other_way_round(results: Path) -> None:
    found = table_findings(table([row("b", 71.0), row("a", 68.8)]), results)
    assert [pair.verdict for pair in found.pairs] == ["supported"] and found.pairs[0].difference.behind
    assert found.shows.startswith("By mIoU, the paper's order of b over a is supported (b above a by")
    assert Pair("a", "b", Difference(1, 0.5, 1.5, 3), 0.0).verdict is None, "the paper has them level"
    found = table_findings(table([row("c", 71.0), row("d", 68.8)]), results)
    assert found.pairs[0].verdict == "undecided" and "order of c over d is undecided" in found.shows


def test_rows_without_the_papers_numbers(results: Path) -> None:
    found = table_findings(table([row(name) for name in FOUR]), results)
    assert {pair.verdict for pair in found.pairs} == {None}
    lead = found.standings[0].lead
    size = f"{lead.value:.1f}, {lead.low:.1f} to {lead.high:.1f}"
    assert (
        found.shows == f"By mIoU, b is ahead of all other rows, of the next, {found.standings[0].rows[1]}, by {size}."
    )
    level = table_findings(table([row(name) for name in ("a", "c", "d")]), results)
    assert level.shows == "By mIoU, c leads, but is not told apart from d."
    assert table_findings(table([row("d"), row("c")]), results).shows == "By mIoU, c and d are not told apart."


def test_a_quoted_row_stands_between_no_neighbours(results: Path) -> None:
    quoted = row("quoted", 60.0, recipe=None, segmenter=None, benchmark=None)
    found = table_findings(table([row("a", 68.8), quoted, row("b", 71.0)]), results)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b")]


def test_blocks_are_judged_apart_and_the_best_of_a_later_against_the_first(results: Path) -> None:
    write(results, FOUR | {"e": 0.33, "f": 0.2})
    rows = [*(row(name, PAPER[name]) for name in FOUR), row("e", block="Late"), row("f", block="Late")]
    spec = table(rows)
    found = table_findings(spec, results)
    assert ("d", "e") not in [(pair.first, pair.second) for pair in found.pairs] and len(found.pairs) == 4
    (overtaking,) = found.overtakings
    assert (overtaking.block, overtaking.row, overtaking.overtaken) == ("Late", "f", "b")
    assert "b is ahead of all other rows in the first block, of the next" in found.shows
    assert "f is ahead of all rows in the first block, of the best, b, by" in found.shows
    worse = table_findings(table([*rows[:4], row("e", block="Late")]), results)
    assert worse.overtakings == () and "Late" not in worse.shows
    texts = written(spec, results)
    assert texts["md"].count("| *Late* ") == 1
    assert texts["html"].count('<tr class="block"><th scope="rowgroup" class="label" colspan="7">Late</th></tr>') == 1
    assert r"\multicolumn{7}{l}{\emph{Late}} \\" in texts["tex"]


def written(spec: SegmenterTable, results: Path) -> dict[str, str]:
    write_table(spec, results, results / "tables" / "t")
    return {path.name.removeprefix("t."): path.read_text() for path in (results / "tables").glob("t.*")}


def test_every_form_of_the_table_says_it(results: Path) -> None:
    spec = table([row(name, PAPER[name]) for name in FOUR], embedded=True)
    texts, found = written(spec, results), table_findings(spec, results)
    assert "Which? C. In percent." in texts["md"]
    assert texts["md"].split("<!--")[0].rstrip().endswith(f"**Shows:** {found.shows}")
    line = "c over b: −" + f"{-found.pairs[1].difference.value:.1f}"
    for form in ("md", "html"):
        assert line in texts[form] and "paper +2.2: contradicted" in texts[form]
    assert "c over b: $-$" in texts["tex"] and r"\textbf{Shows:} By mIoU" in texts["tex"]
    kept = json.loads(texts["verdicts.json"])
    assert [pair["verdict"] for pair in kept["pairs"]] == ["supported", "contradicted", "undecided"]
    read = read_findings(results / "tables" / "t.verdicts.json")
    assert as_content(read) == as_content(found) and read.shows == found.shows
    assert sentence(found) == found.shows and written(spec, results) == texts


def test_cells_and_notes_are_kept_for_the_report(results: Path) -> None:
    rows = [row(name, PAPER[name], block=block) for name, block in zip(FOUR, ("", "", "Late", "Late"), strict=True)]
    texts = written(table(rows, embedded=True), results)
    grid = read_grid(results / "tables" / "t.grid.json")
    assert html(grid) in texts["html"] and markdown(grid) in texts["md"] and latex(grid) == texts["tex"]
    shared = [note.text for note in grid.shared_notes]
    assert len(shared) == 3 and "different worlds" in shared[0] and "most likely the mean" in shared[2]
    rest = html(grid.with_own_notes())
    assert "different worlds" in texts["html"] and "different worlds" not in rest and "d over c" in rest


def test_the_main_of_several_columns_is_named_where_it_is_reproduced(results: Path) -> None:
    means = [{"heading": "cat", "kind": "iou", "of": ["cat"]}, {"heading": "mIoU", "kind": "foreground", "of": []}]
    for columns, headings in ((means, "mIoU, reproduced (mini) cat"), (means[:1], "reproduced (mini)")):
        texts = written(table([row(name) for name in FOUR], columns=columns), results)
        (line,) = (line for line in texts["md"].splitlines() if "reproduced" in line and line.startswith("|"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert " ".join([cells[2], *cells[6:]]) == headings
        assert f"By {columns[-1]['heading']}, b is ahead" in texts["md"]
    quoted = [{**row(name), "paper": {"cat": 50.0}} for name in FOUR]
    assert "cat, reproduced (mini)" in written(table(quoted, columns=means), results)["md"]


def test_only_what_is_ahead_of_all_is_bold(results: Path) -> None:
    write(results, FOUR | {"g": 0.301})
    texts = written(table([row(name, PAPER[name]) for name in FOUR]), results)
    best = next(line for line in texts["md"].splitlines() if line.startswith("| b "))
    assert best.count("**") == 4, "in both columns"
    texts = written(table([row(name) for name in (*FOUR, "g")]), results)
    assert "| **" not in texts["md"] and '<td class="number"><strong>' not in texts["html"]
    spec = table([*(row(name) for name in FOUR), {**row("again"), "recipe": "b"}])
    lines = [line for line in written(spec, results)["md"].splitlines() if "**" in line and line.startswith("|")]
    assert [line.split()[1] for line in lines] == ["b", "again"], "the same run is not another row"


def test_one_training_decides_nothing(results: Path) -> None:
    spec = table([row(name, PAPER[name]) for name in FOUR], repeats=1)
    found, texts = table_findings(spec, results), written(spec, results)
    assert {pair.verdict for pair in found.pairs} == {"undecided"}
    assert "each row was trained once" in found.shows and "over images alone" in texts["md"]
    bold = [line for line in texts["md"].splitlines() if line.startswith("|") and "**" in line]
    assert len(bold) == 1 and bold[0].count("**") == 2 and "**79.6**" in bold[0], "the paper's alone"


def test_rows_of_other_benchmarks_and_without_runs_give_no_pair(results: Path) -> None:
    write(results, {"a": 0.2, "b": 0.3}, benchmark="street", images=20)
    street = [row("a on street", recipe="a", benchmark="street"), row("b on street", recipe="b", benchmark="street")]
    rows = [row("a"), *street, row("b"), row("none")]
    found = table_findings(table(rows), results)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a on street", "b on street")]
    assert found.incomplete == ("none",) and found.shows.endswith(" (none left out, for want of runs).")
    assert {pair.difference.degrees for pair in found.pairs} == {2}, "other benchmarks tell nothing of the noise"
    (results / "metrics/b/swin/2/street.npz").unlink()
    found = table_findings(table(rows), results)
    assert found.pairs == () and found.incomplete == ("b on street", "none")
    assert table_findings(table([row("none"), row("a")]), results).shows.startswith("By mIoU, nothing yet")
    alone = table_findings(table([row("a")]), results)
    assert alone.shows == "By mIoU, nothing: no two rows can be compared."


def test_the_same_run_in_two_rows_adds_nothing_to_what_is_known(results: Path) -> None:
    spec = table([row("a"), {**row("again"), "recipe": "a"}, row("b")])
    first, second = table_findings(spec, results).pairs
    assert (first.difference.value, first.difference.degrees) == (0, 2) and second.difference.degrees == 2


def test_intervals_are_repeatable_and_follow_the_seed(results: Path) -> None:
    rows = [row("c"), row("d")]

    def bounds(**changes: Any) -> Difference:
        return table_findings(table(rows, **changes), results).pairs[0].difference

    assert bounds() == bounds() and bounds().low != bounds(rng_seed=1).low


def test_the_noise_of_images_is_in_the_interval(results: Path) -> None:
    spec = table([row("a"), row("b")])
    rows = measure_rows(spec, results)
    compared, place = compare_rows(spec, rows)._found[("a", "swin", "voc"), "mIoU"]
    rng = np.random.default_rng(0)
    naive = []
    for _ in range(400):
        drawn = rng.integers(0, IMAGES, IMAGES)
        naive.append(mean_of_runs(results, "a", drawn) - mean_of_runs(results, "b", drawn))
    over_images = compared.resampled[place] - compared.resampled[1 - place]
    assert np.std(over_images, ddof=1) == pytest.approx(np.std(naive, ddof=1), rel=0.15)
    whole = mean_of_runs(results, "a", np.arange(IMAGES)) - mean_of_runs(results, "b", np.arange(IMAGES))
    assert compared.means[place] - compared.means[1 - place] == pytest.approx(whole)
    found = compare_rows(spec, rows).difference(rows[0], rows[1], "mIoU")
    assert found and (found.high - found.value) ** 2 > 4.3**2 * np.var(over_images)


@cache
def matrices_of(path: Path) -> np.ndarray:
    """(N, C, C) of a run."""
    images = read_confusions(path.with_suffix(".npz"), np.array(json.loads(path.read_text())["confusion"]))
    matrices = np.zeros((IMAGES, 3, 3), int)
    matrices[images.image, images.truth, images.predicted] = images.pixels
    return matrices


def mean_of_runs(results: Path, recipe: str, drawn: np.ndarray) -> float:
    """The mean over runs of the foreground's mean IoU in percent, of these images, one by one."""
    of_runs = []
    for repeat in range(3):
        matrices = matrices_of(results / "metrics" / recipe / "swin" / str(repeat) / "voc.json")
        of_runs.append(100 * miou(sum(matrices[image] for image in drawn), [1, 2]))
    return float(np.mean(of_runs))


def test_other_images_are_not_compared(results: Path) -> None:
    write(results, {"a": 0.4}, images=50)
    with pytest.raises(SeediffError, match=r"b/swin/0/voc\.json was tested on other images than .*a/swin/0/voc\.json"):
        table_findings(table([row("a"), row("b")]), results)


def test_a_broken_file_of_verdicts_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "t.verdicts.json", {"table": "t", "pairs": 3})
    with pytest.raises(SeediffError, match=r"t\.verdicts\.json is broken"):
        read_findings(tmp_path / "t.verdicts.json")


def test_sentences_name_few_rows() -> None:
    empty = Findings("t", "T", "", "mIoU", 3, incomplete=("a", "b", "c", "d"))
    assert sentence(empty) == "By mIoU, nothing yet (4 rows left out, for want of runs)."
    two = replace(empty, incomplete=("a", "b"))
    assert sentence(two) == "By mIoU, nothing yet (a and b left out, for want of runs)."


def test_a_table_may_repeat_less_than_its_study() -> None:
    study = load_study(ROOT / "config" / "studies" / "mini.yaml")
    table5 = study.segmenter_tables["table5"].model_copy(update={"repeats": 1, "question": "Which?"})
    fewer = study.model_copy(update={"tables": {**study.tables, "table5": table5}})
    spec = spec_of("tabulate", fewer, "table5")
    assert (spec["repeats"], spec["question"], spec["rng_seed"]) == (1, "Which?", study.rng_seed)
    assert spec_of("tabulate", fewer, "table2")["repeats"] == study.repeats


def test_a_row_has_converged_if_longer_training_changes_it_by_less_than_repeats_differ(results: Path) -> None:
    write(results, {"a": 0.40, "longer": 0.40, "much": 0.20})
    rows = [row("a"), row("longer", longer_than="a"), row("b"), row("much", longer_than="b")]
    found = table_findings(table(rows), results)
    numbers = {of.row.label: np.array(of.cells["mIoU"].runs) for of in measure_rows(table(rows), results)}
    for convergence in found.convergences:
        ours, theirs = numbers[convergence.row], numbers[convergence.longer]
        assert convergence.change == pytest.approx(np.mean(theirs - ours))
        assert convergence.deviation == pytest.approx(np.hypot(np.std(ours, ddof=1), np.std(theirs, ddof=1)) / 2**0.5)
    assert [convergence.reached for convergence in found.convergences] == [True, False]
    change, deviation = found.convergences[1].change, found.convergences[1].deviation
    assert found.shows.endswith(
        f"a has converged; b has not converged: much changes it by {change:+.1f}, with a standard deviation of "
        f"{deviation:.1f}."
    )
    single = table_findings(table(rows, repeats=1), results)
    assert single.convergences == (), "the deviation is unknown"
    (results / "metrics/longer/swin/2/voc.json").unlink()
    assert [of.row for of in table_findings(table(rows), results).convergences] == ["b"]
