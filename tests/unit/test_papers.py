"""The studies quote what the papers print: every number and setting is compared with docs/papers.md."""

from __future__ import annotations

import re
from typing import Any

import pytest

from seediff.segmenter.settings import SegmenterSettings
from seediff.workflow.study import Row, Study, load_study
from tests.conftest import ROOT
from tests.stages import spec_of

STUDIES = {name: load_study(ROOT / f"config/studies/{name}.yaml") for name in ("paper", "mini", "smoke")}
Cells = dict[str, str]


def printed(heading: str) -> list[Cells]:
    """The rows of the first table under a heading of the page that quotes the papers."""
    page = (ROOT / "docs/papers.md").read_text()
    section = re.split(rf"^#+ {re.escape(heading)}.*$", page, maxsplit=1, flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table
    head, _, *rows = ([cell.strip() for cell in line.strip("| \n").split(" | ")] for line in table[0].splitlines())
    return [dict(zip(head, [cell.strip("|").strip() for cell in row], strict=True)) for row in rows]


def numbers(cells: Cells, columns: list[str]) -> dict[str, float]:
    return {column: float(cells[column]) for column in columns if cells[column] != "–"}


def quoted(study: Study, table: str, blocks: tuple[str, ...] = ()) -> list[dict[str, float]]:
    """What the rows of the table quote, of these blocks or of all; a mIoU, whichever mean it is taken for, is what the
    paper calls so."""

    def by_column(row: Row) -> dict[str, float]:
        by_heading = row.paper if isinstance(row.paper, dict) else {"mIoU": row.paper or 0.0}
        return {"mIoU" if heading == "foreground" else heading: number for heading, number in by_heading.items()}

    rows = [row for row in study.segmenter_tables[table].rows if row.paper is not None]
    return [by_column(row) for row in rows if not blocks or row.block in blocks]


TABLES = {
    "table1": "Table 1", "table2": "Table 2", "table3": "Table 3", "table4": "Table 4", "table5": "Table 5",
    "tableS1": "Table S1", "tableS2": "Table S2", "tableS3": "Table S3", "tableS4": "Table S4",
}  # fmt: skip


@pytest.mark.parametrize("study", ["paper", "mini"])
@pytest.mark.parametrize("table", TABLES)
def test_every_number_of_a_table_is_the_printed_one(study: str, table: str) -> None:
    rows, blocks = (
        printed(TABLES[table]),
        [row.block for row in STUDIES[study].segmenter_tables[table].rows if row.paper],
    )
    # A block is the whole table, made in another way; only the blocks of Table S4 are parts of it.
    for block in [tuple(blocks)] if table == "tableS4" else [(block,) for block in blocks]:
        found = quoted(STUDIES[study], table, block)
        columns = [column for column in rows[0] if any(column in row for row in found)]
        assert found == [numbers(row, columns) for row in rows]


def test_the_paper_study_leaves_no_column_out() -> None:
    for table, heading in TABLES.items():
        found = {column for row in quoted(STUDIES["paper"], table) for column in row}
        cells = (item for row in printed(heading) for item in row.items())
        assert found == {column for column, cell in cells if re.fullmatch(r"[\d.]+", cell)} - {"resolution"}


def test_rows_are_those_of_the_same_method_and_backbone() -> None:
    backbones = {"ResNet50": "resnet-50", "Swin-B": "swin-base", "R50": "resnet-50"}
    for table in ("table1", "tableS3"):
        rows = STUDIES["paper"].tables[table].rows
        for row, cells in zip(rows, printed(TABLES[table]), strict=True):
            assert STUDIES["paper"].segmenters[str(row.segmenter)].backbone == backbones[cells["backbone"]]
            assert cells["method"] in row.label or (cells["method"] == "Real" and row.label.startswith("R:"))


@pytest.mark.parametrize("name", ["table2"])
def test_the_smoke_study_quotes_the_paper_too(name: str) -> None:
    known = [numbers(row, ["mIoU"]) for row in printed(TABLES[name])]
    assert all(row in known for row in quoted(STUDIES["smoke"], name))


@pytest.mark.parametrize("study", ["paper", "mini"])
def test_attn2mask_is_quoted_second_hand(study: str) -> None:
    known = [numbers(row, ["mIoU"]) for row in printed("attn2mask (Exploring Limits of Diffusion-Synthetic Training)")]
    tables = [name for name in STUDIES[study].segmenter_tables if name not in TABLES]
    found = [row for table in tables for row in quoted(STUDIES[study], table)]
    assert found and all(row in known for row in found)


SETTINGS = [*printed("Settings"), *printed("Programs that were released")]


@pytest.mark.parametrize("cells", SETTINGS, ids=[row["key of the study"] for row in SETTINGS])
def test_a_setting_is_the_printed_one(cells: Cells) -> None:
    value: Any = STUDIES["paper"].model_dump()
    for key in cells["key of the study"].strip("`").split("."):
        value = value[key]
    texts = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    assert texts == cells["value"]


def edges(settings: SegmenterSettings) -> dict[str, str]:
    """The settings that Mask2Former states in pixels."""
    height, width = settings.crop_size
    least, most = (round(min(height, width) * scale) for scale in (settings.scale_min, settings.scale_max))
    return {
        "crop": f"{height} x {width}",
        "shorter edge in training, least": str(least),
        "shorter edge in training, most": str(most),
        "backbone trained on": "ImageNet-22k" if "in22k" in str(settings.pretrained) else "ImageNet-1k",
    }


@pytest.mark.parametrize(
    "heading", ["`resnet` (ADE20K)", "`swin` (ADE20K)", "`swin_city` (Cityscapes)"], ids=["resnet", "swin", "swin_city"]
)
def test_segmenters_are_trained_as_their_authors_do(heading: str) -> None:
    settings = STUDIES["paper"].segmenters[heading.split("`")[1]]
    for row in printed("Mask2Former (Cheng et al., CVPR 2022)"):
        setting = row["setting"].strip("`")
        value = edges(settings).get(setting) or str(getattr(settings, setting))
        assert value == row[heading], setting


def test_a_judge_asks_by_the_words_that_images_are_drawn_with() -> None:
    words = spec_of("judge", STUDIES["paper"], "scenes")["words"]
    assert words == {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
    assert spec_of("judge", STUDIES["mini"], "scenes")["words"] == {}  # whose classes are words
