"""What reaches a terminal, a browser, TeX and a spreadsheet: text from outside controls none of them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from seediff.cli import main
from seediff.datasets.images import decode_rgb
from seediff.errors import SeediffError
from seediff.files.sealed import read_csv, write_csv, write_json, write_page
from seediff.files.seals import seal
from seediff.files.spreadsheets import escaped, unescaped
from seediff.names import cut, reason
from seediff.prompts.prompt_sets import make_prompts, read_prompts, write_prompts
from seediff.workflow.reporting.charts import verdict_chart
from seediff.workflow.reporting.findings import Findings, Pair
from seediff.workflow.reporting.formats import Heading, Note, TextGrid, html, latex, markdown
from seediff.workflow.reporting.paired import Difference
from seediff.workflow.reporting.report import write_report
from seediff.workflow.reporting.tables import write_table
from tests.conftest import ROOT
from tests.stages import typed

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""All but the line break."""
STEERING = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\rd\x00e\u202ef\x7fg"
FORMULA = '=HYPERLINK("http://x","y")'


def study_file(folder: Path, **changes: Any) -> Path:
    content = yaml.safe_load((ROOT / "config" / "studies" / "smoke.yaml").read_text()) | changes
    path = folder / "smoke.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_title_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study_file(tmp_path, title=STEERING + "\nfailed:\n  everything")
    (tmp_path / "results").mkdir()
    assert main(["status", "--study", str(path), "--results", str(tmp_path / "results")]) == 0
    said = capsys.readouterr().out
    assert not CONTROL.search(said) and r"a\x1b[2J\x1b]0;title\x07b\x9b31mc" in said
    assert "everything" in said.splitlines()[0], "a title is one line"


def test_the_costs_of_a_study_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load((ROOT / "config" / "studies" / "paper.yaml").read_text()) | {"title": STEERING}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(content))
    assert main(["plan", "--study", str(tmp_path / "paper.yaml")]) == 0
    said = capsys.readouterr().out
    assert not CONTROL.search(said) and r"\x1b[2J" in said


def test_a_failed_jobs_log_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "results" / "smoke" / "logs" / "prompts" / "basic.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"error: {STEERING}\n")
    study = ROOT / "config" / "studies" / "smoke.yaml"
    assert main(["status", "--study", str(study), "--results", str(tmp_path / "results" / "smoke")]) == 0
    said = capsys.readouterr().out
    assert not CONTROL.search(said) and r"\x1b[2J" in said


def test_a_shown_table_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Anyone who writes a table can seal it."""
    steering = STEERING.replace("\r", "")  # which would end the line
    path, text = tmp_path / "t.md", f"### T{steering}\n\n| a{steering} | b |\n| --- | ---: |\n| x | 1.0 |\n"
    path.write_bytes(f"{text}<!-- t.md {seal('t.md', [text.encode()])} -->\n".encode())
    assert main(["show", str(path)]) == 0
    said = capsys.readouterr().out
    assert not CONTROL.search(said) and r"\x1b[2J" in said


def test_a_file_of_a_data_set_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name in ("JPEGImages", "SegmentationClass"):
        (tmp_path / name).mkdir()
    (lists / "train.txt").write_text("a\x1b[2Jb\n")
    main(["data", "check", "voc", str(tmp_path), "--split", "train"])
    found = capsys.readouterr()
    assert r"a\x1b[2Jb" in found.out + found.err and not CONTROL.search(found.out)


def steering_grid() -> TextGrid:
    columns = (Heading(STEERING, numeric=False), Heading("n", STEERING))
    note = Note(STEERING, f"snakemake '{STEERING}'")
    return TextGrid("t", STEERING, STEERING, columns, ((STEERING, "1.0"),), frozenset({(0, 0)}), (note,))


@pytest.mark.parametrize("form", [markdown, latex, html])
def test_a_table_holds_no_control_characters(form: Any) -> None:
    text = form(steering_grid())
    assert not CONTROL.search(text)
    assert text.count("x1b") == 2 * 6 + 2, "two in each of seven texts, and all of them can be seen"


def test_no_entity_of_html_in_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = TextGrid("t", "&lt;b&gt; & &#60;", "", (Heading("", numeric=False),), (("&amp;",),))
    assert markdown(grid).splitlines()[0] == r"### \&lt;b\&gt; & \&#60;".replace("#60", r"\#60")
    write_page(tmp_path / "t.md", markdown(grid))
    assert main(["show", str(tmp_path / "t.md")]) == 0
    shown = capsys.readouterr().out
    assert "&amp;" in shown and "&lt;b&gt; & &#60;" in shown


def test_the_report_holds_no_control_characters(tmp_path: Path) -> None:
    facts = {"classes": [STEERING], STEERING: STEERING}
    study = {"name": "x", "title": STEERING, "embedded": False, "repeats": 1, "rng_seed": 0}
    picture = b"\x89PNG"
    found = Findings("t", STEERING, STEERING, STEERING, 0, shows=STEERING)
    write_report(
        {**study, "facts": facts, "notes": [STEERING, "two\nlines", "<b>"]},
        [(steering_grid(), found)],
        [(STEERING, picture)],
        [(STEERING, STEERING, picture)],
        {STEERING: picture},
        {"machine": STEERING},
        tmp_path / "r.html",
    )
    text = (tmp_path / "r.html").read_text()
    assert not CONTROL.search(text) and r"a\x1b[2J" in text
    assert "two\nlines" in text and "&lt;b&gt;" in text and "<figure" in text


def cells(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(), newline="")))


def dangerous(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell[:1] in ("=", "+", "-", "@", "\t", "\r")
    return False


LABELS = [FORMULA, "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-1.3", "CAA + CRE", "'=1"]


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    rows = [
        {"label": label, "recipe": None, "segmenter": None, "benchmark": None, "paper": {FORMULA: -1.3}}
        for label in LABELS
    ]
    columns = [{"heading": FORMULA, "kind": "mean", "of": []}]
    spec = {"name": "t", "title": "T", "caption": "", "study": "x", "reported_on": "", "columns": columns, "rows": rows}
    write_table(typed("tabulate", spec), tmp_path, tmp_path / "t")
    header, *lines = cells(tmp_path / "t.csv")
    assert not any(dangerous(cell) for line in lines for cell in line)
    found = [dict(zip(header, line, strict=True)) for line in lines]
    assert [line["reported"] for line in found] == ["-1.3"] * len(LABELS), "numbers stay numbers"
    labels = [line["label"] for line in found]
    assert labels[0] == f"'{FORMULA}" and labels[7:9] == ["-1.3", "CAA + CRE"]


def test_no_cell_of_a_table_of_masks_is_a_formula(tmp_path: Path) -> None:
    objects = {"iou": [0.5], "missed": 0.1, "spilled": 0.2, "best_threshold": 0.4, "best_iou": [0.6]}
    write_json(tmp_path / "judged" / "scenes.json", {"rows": {"caa-raw": {FORMULA: objects}}})
    row = {"label": FORMULA, "variant": "caa", "refinement": "raw"}
    spec = {"name": "t", "title": "T", "caption": "", "study": "x", "judge": "scenes", "reference": None, "rows": [row]}
    write_table(typed("tabulate", spec), tmp_path, tmp_path / "t")
    assert not any(dangerous(cell) for line in cells(tmp_path / "t.csv") for cell in line)


texts = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    [*LABELS, "'", "''=1", "=", "'-1.3", "−1", "+", "1e5", "nan", "-inf"]
)


@given(texts)
def test_disarmed_cells_are_read_back(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert not dangerous(escaped(text))
    assert escaped(text) in (text, f"'{text}")


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_stay_numbers(number: float) -> None:
    assert escaped(str(number)) == str(number)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_sealed_rows_come_back(rows: list[tuple[str, str]]) -> None:
    written = [{"a": first, "b": second} for first, second in rows]
    with TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        write_csv(path, written)
        assert read_csv(path, "The table") == written
        assert not any(dangerous(cell) for line in cells(path) for cell in line)


def test_a_prompt_that_is_a_formula_comes_back(tmp_path: Path) -> None:
    made = make_prompts("basic", ["cat"], 1, f"{FORMULA} {{word}}")
    write_prompts(made, tmp_path / "prompts.csv")
    assert read_prompts(tmp_path / "prompts.csv") == made
    assert not any(dangerous(cell) for line in cells(tmp_path / "prompts.csv") for cell in line)


def test_a_chart_holds_the_names_as_they_are() -> None:
    pair = Pair(r"$\frac$", STEERING, Difference(1.0, 0.5, 1.5, 3), 2.0)
    chart = verdict_chart([Findings("t", STEERING, "", "mIoU", 3, pairs=(pair,))])
    assert chart and not CONTROL.search(chart.decode())


def test_what_another_library_says() -> None:
    with pytest.raises(SeediffError) as raised:
        decode_rgb(b"no picture", "x.png")
    assert str(raised.value).startswith("x.png is not a readable PNG") and "0x" not in str(raised.value)
    assert reason(ValueError("a  b\n<_io.BytesIO object at 0x7f0> c")) == "a b c"
    assert reason(ValueError()) == "ValueError"


@given(st.text(), st.integers(1, 50))
def test_what_is_cut_off_says_so(text: str, most: int) -> None:
    found = cut(text, most)
    assert found == text if len(text) <= most else found.endswith(" ...") and text.startswith(found[:-4])
    assert len(found) <= most + 4
