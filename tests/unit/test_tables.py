"""Tables: every number recomputed from the confusion matrices by slow loops, and every format read back."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seediff.cli.terminal import show_tables
from seediff.errors import SeediffError
from seediff.files.sealed import read_json, write_json, write_page
from seediff.segmenter.confusions import read_confusions
from seediff.workflow.reporting.formats import Heading, Note, TextGrid, escape_latex, html, latex, markdown
from seediff.workflow.reporting.specs import SegmenterTable
from seediff.workflow.reporting.tables import write_table
from tests.runs import write_run
from tests.stages import typed

CLASSES = ["background", "bus", "cat", "tvmonitor"]
RECIPES = {"caa": 60.1, "cre": 65.2, "seediff": 70.3}


def row(recipe: str, paper: float | None) -> dict[str, Any]:
    reported = {} if paper is None else {"mIoU": paper}
    return {"label": recipe.upper(), "recipe": recipe, "segmenter": "swin", "benchmark": "voc", "paper": reported}


def mean(heading: str, classes: list[str]) -> dict[str, Any]:
    return {"heading": heading, "kind": "mean", "of": classes}


BOTH = [mean("mIoU", []), mean("listed", CLASSES[1:])]


def spec(**changes: Any) -> SegmenterTable:
    content = {
        "name": "table2",
        "title": "Ablation",
        "caption": "One step at a time.",
        "columns": [mean("mIoU", [])],
        "rows": [row(recipe, paper) for recipe, paper in RECIPES.items()],
        "study": "paper",
        "repeats": 2,
        "reported_on": "VOC 2012 val",
    }
    return typed("tabulate", content | changes)


def metrics_file(results: Path, recipe: str, repeat: int) -> Path:
    return results / "metrics" / recipe / "swin" / str(repeat) / "voc.json"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two repeats of every recipe on 20 images; later recipes make fewer mistakes."""
    rng = np.random.default_rng(7)
    for noise, recipe in zip((400, 250, 90), RECIPES, strict=True):
        for repeat in range(2):
            matrices = rng.integers(0, noise, (20, 4, 4)) + rng.integers(800, 1000, (20, 4, 1)) * np.eye(4, dtype=int)
            write_run(metrics_file(tmp_path, recipe, repeat), CLASSES, matrices)
    return tmp_path


def change_run(path: Path, change: Callable[[np.ndarray], None]) -> None:
    """Change every image's matrix of a run in place."""
    content = read_json(path, "The metrics")
    images = read_confusions(path.with_suffix(".npz"), np.array(content["confusion"]))
    matrices = np.zeros((len(images.names), images.classes, images.classes), int)
    matrices[images.image, images.truth, images.predicted] = images.pixels
    for matrix in matrices:
        change(matrix)
    write_run(path, CLASSES, matrices)


def naive_miou(path: Path, classes: list[str]) -> float:
    """Percent, from long-format pandas: one line per (truth, prediction) pair."""
    content = json.loads(path.read_text())
    cells = pd.DataFrame(content["confusion"], index=content["classes"], columns=content["classes"]).stack()
    cells = cells.rename_axis(["truth", "predicted"]).rename("pixels").reset_index()
    ious = []
    for name in classes:
        truth, predicted = cells.truth == name, cells.predicted == name
        ious.append(cells[truth & predicted].pixels.sum() / cells[truth | predicted].pixels.sum())
    return 100 * sum(ious) / len(ious)


def written(spec: SegmenterTable, results: Path, name: str = "t") -> dict[str, str]:
    write_table(spec, results, results / "tables" / name)
    return {path.name.removeprefix(f"{name}."): path.read_text() for path in (results / "tables").glob(f"{name}.*")}


def frame(texts: dict[str, str]) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(texts["csv"])).set_index("label")


def column(found: pd.DataFrame, heading: str) -> pd.DataFrame:
    return found[found.column == heading]


def test_numbers_are_those_of_the_confusion_matrices(results: Path) -> None:
    found = frame(written(spec(columns=BOTH), results))
    for recipe, paper in RECIPES.items():
        paths = [metrics_file(results, recipe, repeat) for repeat in range(2)]
        runs = [naive_miou(path, CLASSES) for path in paths]
        listed = [naive_miou(path, CLASSES[1:]) for path in paths]
        line = column(found, "mIoU").loc[recipe.upper()]
        assert line.reproduced == round(sum(runs) / 2, 1)
        assert line["std"] == round(abs(runs[0] - runs[1]) / 2**0.5, 1)
        assert line.reported == paper
        assert line.difference == round(line.reproduced - paper, 1)
        assert line.runs == 2
        assert line.source.split(";") == list(map(str, paths))
        other = column(found, "listed").loc[recipe.upper()]
        assert other.reproduced == round(sum(listed) / 2, 1) and np.isnan(other.reported)


def test_json_holds_the_reproduced_numbers_alone(results: Path) -> None:
    quoted = {"label": "Other", "recipe": None, "segmenter": None, "benchmark": None, "paper": {"mIoU": 51.0}}
    texts = written(spec(columns=BOTH, rows=[quoted, row("caa", 60.0), row("cre", None)]), results)
    found = frame(texts)
    assert json.loads(texts["json"]) == {
        label: {heading: column(found, heading).loc[label].reproduced for heading in ("mIoU", "listed")}
        for label in ("CAA", "CRE")
    }


def naive_merged_iou(path: Path, group: list[str]) -> float:
    """Percent: the labels of every pixel are renamed before anything is counted."""
    content = json.loads(path.read_text())
    hits = misses = 0
    for i, truth in enumerate(content["classes"]):
        for j, predicted in enumerate(content["classes"]):
            inside = (truth in group) + (predicted in group)
            hits += content["confusion"][i][j] * (inside == 2)
            misses += content["confusion"][i][j] * (inside == 1)
    return 100 * hits / (hits + misses)


def test_every_kind_of_column(results: Path) -> None:
    columns = [
        {"heading": "h", "kind": "harmonic", "of": ["seen", "unseen"]},
        {"heading": "cat", "kind": "iou", "of": ["cat"]},
        {"heading": "group", "kind": "merged", "of": ["bus", "tvmonitor"]},
        mean("seen", ["bus", "cat"]),
        mean("unseen", ["tvmonitor"]),
    ]
    rows = [{**row("cre", None), "paper": {"cat": 50.0, "group": 60.0}}]
    texts = written(spec(columns=columns, rows=rows, repeats=1), results)
    found, path = frame(texts).set_index("column").reproduced, metrics_file(results, "cre", 0)
    seen, unseen = naive_miou(path, ["bus", "cat"]), naive_miou(path, ["tvmonitor"])
    assert found["cat"] == round(naive_miou(path, ["cat"]), 1)
    assert found["group"] == round(naive_merged_iou(path, ["bus", "tvmonitor"]), 1)
    assert (found["seen"], found["unseen"]) == (round(seen, 1), round(unseen, 1))
    assert found["h"] == round(2 * seen * unseen / (seen + unseen), 1)
    lines = [line.split("|")[1:-1] for line in texts["md"].splitlines() if line.startswith("| ")]
    assert [line[1].strip() for line in lines[-3:]] == ["reported", "reproduced, 1 run", "difference"]
    assert [cell.strip() for cell in lines[-3][2:5]] == ["–", "50.0", "60.0"]


def test_a_quoted_row_has_no_run(results: Path) -> None:
    quoted = {"label": "Other", "recipe": None, "segmenter": None, "benchmark": None, "paper": {"mIoU": 51.0}}
    texts = written(spec(rows=[quoted, row("caa", 60.0)]), results)
    line = next(line for line in texts["md"].splitlines() if line.startswith("| Other"))
    assert [cell.strip() for cell in line.split("|")[2:7]] == ["51.0", "–", "–", "–", "reported only"]
    assert "Other: " not in texts["md"]


def test_the_reading_of_the_papers_mean_is_said_once(results: Path) -> None:
    columns = [{"heading": "foreground", "kind": "foreground", "of": []}, mean("mIoU", [])]
    rows = [{**row("caa", None), "paper": {"foreground": 60.0}}, {**row("cre", None), "paper": {"foreground": 65.8}}]
    texts = written(spec(columns=columns, rows=rows), results)
    assert texts["md"].count("most likely the mean over the foreground") == 1
    found = column(frame(texts), "foreground").loc["CAA"]
    runs = [naive_miou(metrics_file(results, "caa", repeat), CLASSES[1:]) for repeat in range(2)]
    assert found.reproduced == round(sum(runs) / 2, 1) and found.reported == 60.0
    others = [{**row("caa", None), "paper": {"mIoU": 60.0}}]
    assert "foreground (docs" not in written(spec(columns=columns, rows=others), results)["md"]


def test_absent_class_does_not_count(results: Path) -> None:
    def without_class(matrix: np.ndarray) -> None:
        matrix[3, :] = matrix[:, 3] = 0

    path = metrics_file(results, "caa", 0)
    change_run(path, without_class)
    found = frame(written(spec(repeats=1), results))
    assert found.loc["CAA"].reproduced == round(naive_miou(path, CLASSES[:3]), 1)


def test_missing_runs_are_dashes_with_the_command_that_makes_them(results: Path) -> None:
    metrics_file(results, "cre", 1).with_suffix(".npz").unlink()
    for repeat in range(2):
        metrics_file(results, "seediff", repeat).unlink()
    texts = written(spec(), results)
    found = frame(texts)
    assert (
        found.loc["CRE"].runs == 1 and np.isnan(found.loc["CRE", "std"]) and not np.isnan(found.loc["CRE"].reproduced)
    )
    assert found.loc["SEEDIFF"].runs == 0 and np.isnan(found.loc["SEEDIFF"].reproduced)
    cells = next(line for line in texts["md"].splitlines() if line.startswith("| SEEDIFF")).split("|")
    assert [cell.strip() for cell in cells[3:7]] == ["–", "–", "–", "0 of 2"]
    for suffix in ("md", "html"):
        assert f"snakemake --cores all {metrics_file(results, 'cre', 1).with_suffix('.npz')}" in texts[suffix]
        assert str(metrics_file(results, "seediff", 1)) in texts[suffix]
        assert str(metrics_file(results, "caa", 0)) not in texts[suffix]


def test_a_study_without_any_run_still_has_its_table(tmp_path: Path) -> None:
    texts = written(spec(columns=BOTH, embedded=True), tmp_path)
    assert frame(texts).reproduced.isna().all()
    assert "**Shows:** By mIoU, nothing yet" in texts["md"]


def test_embedded_numbers_are_set_apart_from_the_papers(results: Path) -> None:
    texts = written(spec(embedded=True, study="mini"), results)
    assert frame(texts).difference.isna().all()
    for suffix in ("md", "html", "csv"):
        assert "mini: embedded pictogram world" in texts[suffix] and "paper: VOC 2012 val" in texts[suffix]
    assert "not to be compared" in texts["md"]


def test_best_values_are_bold(results: Path) -> None:
    texts = written(spec(), results)
    best = frame(texts).reproduced.max()
    assert f"**{best}**" in texts["md"] and "**70.3**" in texts["md"]
    assert f"<strong>{best}</strong>" in texts["html"] and rf"\textbf{{{best}}}" in texts["tex"]
    assert texts["tex"].count(r"\textbf{") == 3, "with the word before what the table shows"


def test_best_value_is_bold_though_the_first_is_missing(results: Path) -> None:
    for repeat in range(2):
        metrics_file(results, "caa", repeat).unlink()
    texts = written(spec(), results)
    assert f"**{frame(texts).reproduced.max()}**" in texts["md"]


def test_same_input_gives_the_same_bytes(results: Path) -> None:
    assert written(spec(), results) == written(spec(), results)
    assert not list(results.rglob("*.partial"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colums": []}, "columns"),
        ({"columns": [mean("x", []) | {"kind": "iuo"}]}, r"columns\.0\.kind"),
        ({"columns": [{"heading": "x"}]}, r"columns\.0\.kind"),
        ({"rows": [row("../../etc", None)]}, "cannot be used as a name"),
        ({"rows": [{"label": "x"}]}, r"rows\.0\.recipe"),
    ],
)
def test_bad_specs_are_said_plainly(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SeediffError, match=message):
        spec(**change)


@pytest.mark.parametrize("content", [{}, {"classes": ["a"], "confusion": [[1, 2]]}, {"classes": [], "confusion": []}])
def test_broken_metrics_name_the_file(results: Path, content: dict[str, Any]) -> None:
    write_json(metrics_file(results, "caa", 0), content)
    with pytest.raises(SeediffError, match=r"voc\.json holds no confusion matrix"):
        write_table(spec(), results, results / "t")
    assert not (results / "t.csv").exists()


def test_metrics_of_another_run_are_refused(results: Path) -> None:
    for suffix in (".npz", ".json"):
        replaced, other = (metrics_file(results, name, 0).with_suffix(suffix) for name in ("caa", "seediff"))
        replaced.write_bytes(other.read_bytes())
        said = rf"(?s)caa/swin/0/voc\{suffix} is another's.*metrics/seediff/swin/0/voc\{suffix}"
        with pytest.raises(SeediffError, match=said):
            write_table(spec(), results, results / "t")


HOSTILE = r"""<script>alert("1")</script> | `x` **b** 50%_of $5 & {a}~^\b#"""


def hostile_grid() -> TextGrid:
    columns = (Heading(HOSTILE, numeric=False), Heading("n", HOSTILE))
    return TextGrid(
        "t", HOSTILE, HOSTILE, columns, ((HOSTILE, "1.0"),), frozenset({(0, 0)}), (Note(HOSTILE, "make a/b_c"),)
    )


def test_html_escapes_everything() -> None:
    text = html(hostile_grid())
    assert "<script" not in text and text.count("&lt;script&gt;") == 6
    assert "<strong>&lt;script" in text


def test_latex_escapes_every_special_character() -> None:
    assert escape_latex(r"50%_of $5 & {a}~^\b#") == (
        r"50\%\_of \$5 \& \{a\}\textasciitilde{}\textasciicircum{}\textbackslash{}b\#"
    )
    assert escape_latex("−1 – ±2\n<β>") == r"$-$1 -- $\pm$2 \textless{}$\beta$\textgreater{}"
    text = latex(hostile_grid())
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert r"\texttt{make a/\allowbreak b\_c}" in text and r"\toprule" in text


def test_markdown_gives_the_words_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_page(tmp_path / "t.md", markdown(hostile_grid()))
    show_tables([tmp_path / "t.md"])
    shown = capsys.readouterr().out
    for word in HOSTILE.split():
        assert word in shown
    assert HOSTILE in next(line for line in shown.splitlines() if line.endswith("1.0"))
    assert "make a/b_c" in shown


def test_shown_tables_align_numbers(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(spec(), results)
    show_tables([results / "tables" / "t.md"])
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if line.startswith((" CAA", " CRE", " SEEDIFF"))]
    assert len(lines) == 3 and len({line.index(".") for line in lines}) == 1 and "**" not in shown
    with pytest.raises(SeediffError, match="snakemake"):
        show_tables([results / "none.md"])
    with pytest.raises(SeediffError, match=r"t\.json is not Markdown"):
        show_tables([results / "tables" / "t.json"])


def test_tables_need_no_torch() -> None:
    code = (
        "import sys, seediff.workflow.reporting.tables; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
