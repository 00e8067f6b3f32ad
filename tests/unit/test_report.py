"""The report and its figures: whole, self-contained, the same bytes twice, and safe with hostile names."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from seediff.datasets.images import encode_picture
from seediff.datasets.palettes import overlay
from seediff.errors import SeediffError
from seediff.files.sealed import write_csv, write_json
from seediff.workflow.reporting.charts import training_curves, verdict_chart
from seediff.workflow.reporting.findings import Findings, Pair, read_findings
from seediff.workflow.reporting.formats import TextGrid, html, read_grid
from seediff.workflow.reporting.paired import Difference
from seediff.workflow.reporting.report import data_uri, write_report
from seediff.workflow.reporting.strips import GAP, TILE, strip
from seediff.workflow.reporting.tables import write_table
from tests.stages import typed

HOSTILE = '<img src="http://evil.example/x" onerror=alert(1)> & "co"'
RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
SCORE = RNG.random((8, 8))
OBJECTS = {"iou": [0.5, 0.7], "missed": 0.1, "spilled": 0.2, "best_threshold": 0.3, "best_iou": [0.6]}


class Page(HTMLParser):
    """What a page is made of: tags, attributes that make a browser fetch something, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.resources: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        fetching = {"src", "srcset", "data", "poster", "action"} | ({"href"} if tag != "a" else set())
        self.resources += [value or "" for name, value in attrs if name in fetching]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def histories(tmp_path: Path) -> dict[str, list[Path]]:
    paths = []
    for repeat in range(2):
        path = tmp_path / "models" / str(repeat) / "history.csv"
        write_csv(path, [{"iteration": i, "loss": 9 / (i + 1) + repeat, "learning_rate": 0.1} for i in range(50)])
        paths.append(path)
    return {"caa/swin": paths, "seediff/swin": paths[:1]}


Tables = list[tuple[TextGrid, Findings]]


def tables(results: Path) -> Tables:
    row = {"label": HOSTILE, "recipe": "caa", "segmenter": "swin", "benchmark": "voc", "paper": {"mIoU": 68.8}}
    content = {
        "title": "Ablation",
        "question": f"Which? {HOSTILE}",
        "caption": HOSTILE,
        "columns": [{"heading": "mIoU", "kind": "mean"}],
        "rows": [row],
        "study": "mini",
        "embedded": True,
    }
    masks = {"label": HOSTILE, "variant": "seediff", "refinement": "raw"}
    of_judge = {"judge": "scenes", "reference": None, "rows": [masks]}
    write_json(results / "judged" / "scenes.json", {"rows": {"seediff-raw": {"one class": OBJECTS}}})
    specs = [
        typed("tabulate", content | {"name": "table2"}),
        typed("tabulate", content | {"name": "table5"}),
        typed("tabulate", {"name": "masks", "title": "Mask quality", "caption": HOSTILE, "study": "mini", **of_judge}),
    ]
    for spec in specs:
        write_table(spec, results, results / "tables" / spec.name)
    stems = [str(results / "tables" / spec.name) for spec in specs]
    return [(read_grid(Path(f"{stem}.grid.json")), read_findings(Path(f"{stem}.verdicts.json"))) for stem in stems]


def judged(name: str, *values: float, reported: float = 1.0, degrees: int = 4) -> Findings:
    """A table of pairs with the paper's order, each two points certain."""
    found = [Difference(value, value - 2, value + 2, degrees) for value in values]
    pairs = [Pair(f"{name} {at}", f"{name} {at + 1}", each, reported) for at, each in enumerate(found)]
    return Findings(name, f"Table {name}", f"Is {name} so?", "mIoU", 3, pairs=tuple(pairs), shows=f"By mIoU, {name}.")


def study(**changes: Any) -> dict[str, Any]:
    facts = {"classes": ["bus", HOSTILE], "diffusion": {"model": "m", "dtype": None}}
    base = {"name": "mini", "title": "A small study", "embedded": True, "repeats": 2, "rng_seed": 17, "facts": facts}
    return base | changes


def report(tmp_path: Path, shown: Tables, histories: dict[str, list[Path]], name: str = "report.html") -> str:
    picture = encode_picture(strip([("image", IMAGE), ("CA 1/4", SCORE)]))
    curves = {"Training loss": training_curves(histories)}
    provenance = {"seediff": "0.1.0", "packages": {"torch": "2.13.0"}, "commit": None}
    out = tmp_path / name
    write_report(
        study(notes=[HOSTILE], samples="The first of each class."),
        shown,
        [("bus", picture), (HOSTILE, picture)],
        [(HOSTILE, HOSTILE, picture)],
        curves,
        provenance,
        out,
    )
    return out.read_text(encoding="utf-8")


def test_report_holds_everything_and_fetches_nothing(tmp_path: Path, histories: dict[str, list[Path]]) -> None:
    text = report(tmp_path, shown := tables(tmp_path), histories)
    page = Page(text)
    for grid, findings in shown:
        assert html(grid.with_own_notes()) in text and text.count(f'href="#table-{grid.name}"') == bool(
            findings.question
        )
    assert page.tags.count("table") == 3 and page.tags.count("img") == 4
    assert page.resources and all(source.startswith("data:image/") for source in page.resources)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(|@import", text)
    assert HOSTILE in page.words and '<img src="http' not in text
    for words in ("17", "torch 2.13.0", "not to be compared", "--config 'study=mini'", "embedded world"):
        assert words in page.words
    for once in ("not to be compared", "partly supervised", "The first of each class.", "By mIoU, nothing"):
        assert page.words.count(once) == (4 if once.startswith("By") else 1), "each answer in the summary and below"
    assert "None" not in page.words
    assert not list(tmp_path.rglob("*.partial"))


def test_report_of_photographs_speaks_of_no_embedded_world(tmp_path: Path) -> None:
    write_report(study(embedded=False, repeats=1), [], [], [], {}, {}, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "embedded" not in text and "pictogram" not in text and "one training run" in text
    assert 'href="#tables"' not in text


def test_report_is_the_same_bytes_twice(tmp_path: Path, histories: dict[str, list[Path]]) -> None:
    paths = tables(tmp_path)
    assert report(tmp_path, paths, histories, "a.html") == report(tmp_path, paths, histories, "b.html")


def test_the_summary_answers_ten_questions_and_counts_verdicts(tmp_path: Path) -> None:
    grid = tables(tmp_path)[0][0]
    findings = [judged(f"t{number}", 3.0, -3.0, 1.0) for number in range(12)]
    write_report(study(), [(grid, found) for found in findings], [], [], {}, {}, tmp_path / "r.html")
    page = Page(text := (tmp_path / "r.html").read_text(encoding="utf-8"))
    summary = page.words[page.words.index("What was asked") : page.words.index("random seed")]
    assert summary.count("By mIoU") == 10 and "Is t9 so? By mIoU, t9." in summary
    assert "More is asked in Table t10, Table t11." in summary and 'href="#table-t11"' in text
    assert "12 of 36 pairs are supported, 12 contradicted, 12 undecided" in summary
    assert page.tags.count("img") == 1


def test_the_chart_of_verdicts_is_of_pairs_that_have_any(tmp_path: Path) -> None:
    few = [judged("a", 3.0, -3.0), judged("b", 1.0), judged("c", 9.0, reported=0.0)]
    assert (first := verdict_chart(few)) and first == verdict_chart(few)
    assert ElementTree.parse(io.BytesIO(first)).getroot().tag.endswith("svg")
    assert verdict_chart(few[2:]) is None and verdict_chart([]) is None
    assert first == verdict_chart(few[:2]), "a table without verdicts takes no room"
    assert first != verdict_chart([judged("a", 3.0, -3.0), judged("b", 1.0, reported=-1.0)]), "the paper's order counts"
    many = verdict_chart([judged(f"{HOSTILE} $x$ {number}", *RNG.normal(0, 5, 8)) for number in range(5)])
    assert many and len(many) > len(first)


def test_pictures_are_inlined_by_what_they_are() -> None:
    png = encode_picture(Image.new("RGB", (2, 2)))
    assert base64.b64decode(data_uri(png).removeprefix("data:image/png;base64,")) == png
    with pytest.raises(SeediffError, match="neither PNG nor SVG"):
        data_uri(b"GIF89a")


def test_strip_shows_scores_enlarged_in_the_colours_of_the_map() -> None:
    picture = np.asarray(
        strip([("image", IMAGE), ("a score with a long title that wraps", SCORE), ("seeds", SCORE > 0.5)])
    )
    assert picture.shape[1] == 3 * TILE + 2 * GAP
    tiles = [picture[-TILE:, start : start + TILE] for start in (0, TILE + GAP, 2 * (TILE + GAP))]
    colormap = matplotlib.colormaps["viridis"]
    for i, j in ((0, 0), (3, 5), (7, 7)):
        expected = colormap(SCORE[i, j], bytes=True)[:3]
        square = tiles[1][24 * i : 24 * (i + 1), 24 * j : 24 * (j + 1)]
        assert (square == expected).all()
        assert (tiles[2][24 * i, 24 * j] == colormap(float(SCORE[i, j] > 0.5), bytes=True)[:3]).all()
    assert (tiles[0][::3, ::3] == IMAGE).all()


def test_strip_reduces_large_images_and_keeps_their_shape() -> None:
    picture = strip([("wide", np.zeros((512, 1024, 3), np.uint8))])
    assert picture.width == 2 * TILE


@pytest.mark.parametrize("tile", [SCORE * 3, SCORE * np.nan, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_strip_refuses_what_is_neither_image_nor_score(tile: np.ndarray) -> None:
    with pytest.raises(SeediffError, match="'odd'"):
        strip([("odd", tile)])


def test_overlay_tints_outlines_and_pales() -> None:
    image = np.full((5, 5, 3), 100, np.uint8)
    palette = np.array([[0, 0, 0], [200, 0, 0]], np.uint8)
    mask = np.zeros((5, 5), np.uint8)
    mask[1:4, 1:4] = 1
    mask[4, :] = 255
    picture = np.asarray(overlay(image, mask, palette))
    assert (picture[2, 2] == [150, 50, 50]).all()
    assert (picture[1, 1] == [200, 0, 0]).all()
    assert (picture[0, 0] > image[0, 0]).all()
    assert (picture[4, 2] == 128).all()
    with pytest.raises(SeediffError, match="palette ends at 1"):
        overlay(image, mask * 0 + 2, palette)
    with pytest.raises(SeediffError, match="differ in size"):
        overlay(image, mask[:3], palette)


def test_charts_are_well_formed_and_the_same_twice(histories: dict[str, list[Path]]) -> None:
    first, second = training_curves(histories), training_curves(histories)
    assert first == second
    assert ElementTree.parse(io.BytesIO(first)).getroot().tag.endswith("svg")
    more = histories | {"real/resnet": histories["caa/swin"]}
    assert training_curves(more).count(b'id="axes_') == 3


def test_curves_of_many_recipes_stay_small(histories: dict[str, list[Path]]) -> None:
    few, many = (training_curves({f"{k}/swin": histories["caa/swin"] for k in range(n)}) for n in (8, 32))
    assert len(many) < 4.5 * len(few)


def test_unreadable_history_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "history.csv", [{"step": 1, "value": 2}])
    with pytest.raises(SeediffError, match=r"history\.csv"):
        training_curves({"caa": [tmp_path / "history.csv"]})
    with pytest.raises(SeediffError, match="no training history"):
        training_curves({"caa": []})
