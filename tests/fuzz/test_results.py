"""Hostile results: tables and reports are made only from what earlier stages wrote."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seediff.datasets.images import encode_png
from seediff.segmenter.confusions import image_confusions, write_confusions
from seediff.workflow import plan
from seediff.workflow.reporting.findings import Findings, as_content
from seediff.workflow.reporting.formats import Heading, TextGrid
from seediff.workflow.reporting.stored import as_json
from seediff.workflow.reporting.tables import write_table
from seediff.workflow.study import load_study
from tests.conftest import ROOT
from tests.fuzz.hostile import damaged, tampered
from tests.fuzz.sandbox import cases, sandbox
from tests.runs import write_run
from tests.stages import spec_of, typed

pytestmark = pytest.mark.fuzz


def npz_of_a_run() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "metrics/exact/resnet/0/voc.npz")
        write_confusions(path, image_confusions([("val_000000", np.eye(3, dtype=int))], 3))
        return path.read_bytes()


SMOKE = load_study(ROOT / "config" / "studies" / "smoke.yaml")
TABLE, MASKS = spec_of("tabulate", SMOKE, "domains"), spec_of("tabulate", SMOKE, "scenes")
METRICS = {"classes": ["background", "cat", "car"], "confusion": [[9, 1, 0], [1, 5, 0], [2, 0, 4]]}
NPZ = npz_of_a_run()
OBJECTS = {"iou": [0.5, 0.7], "missed": 0.1, "spilled": 0.2, "best_threshold": 0.3, "best_iou": [0.6]}
STRATA = {"one class": OBJECTS, "2 classes": OBJECTS}
JUDGED = {"rows": {f"{row['variant']}-{row['refinement']}": STRATA for row in MASKS["rows"]}}


def tabulate(spec: Any, path: str, content: bytes) -> int:
    """Of a table whose file at ``path`` holds ``content``; the matrices of a run's single images are sound."""
    with sandbox() as box:
        file = Path("results", path)
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        if file.parts[1] == "metrics":
            images = [("val_000000", np.array(METRICS["confusion"])), ("val_000001", np.zeros((3, 3), int))]
            write_confusions(file.with_suffix(".npz"), image_confusions(images, 3))
        outputs = ("--results", "results", "--output", "out/table")
        code, said = box.seediff("stage", "tabulate", "--spec", json.dumps(spec), *outputs)
        assert code == 0 or path.removesuffix("json") in said
        assert (code == 0) == Path("out/table.html").exists()
        return code


@cases(150)
@given(tampered(METRICS))
def test_metrics_that_were_tampered_with(content: Any) -> None:
    tabulate(TABLE, "metrics/exact/resnet/0/voc.json", json.dumps(content).encode())


@cases(150)
@given(tampered(JUDGED) | tampered(STRATA).map(lambda strata: {"rows": dict.fromkeys(JUDGED["rows"], strata)}))
def test_judged_masks_that_were_tampered_with(content: Any) -> None:
    """Those of some rows, or of all."""
    tabulate(MASKS, "judged/scenes.json", json.dumps(content).encode())


@cases(50)
@given(damaged(json.dumps(METRICS).encode()) | st.sampled_from([b"[" * 200_000, b"9" * 5000]))
def test_damaged_metrics(content: bytes) -> None:
    tabulate(TABLE, "metrics/exact/resnet/0/voc.json", content)


@cases(100)
@given(damaged(NPZ))
def test_damaged_metrics_of_images(content: bytes) -> None:
    with sandbox() as box:
        file = Path("results", "metrics/exact/resnet/0/voc.npz")
        write_run(file.with_suffix(".json"), METRICS["classes"], np.array([METRICS["confusion"]]))
        file.write_bytes(content)
        outputs = ("--results", "results", "--output", "out/table")
        code, said = box.seediff("stage", "tabulate", "--spec", json.dumps(TABLE), *outputs)
        assert code == 0 or str(file) in said
        assert (code == 0) == Path("out/table.html").exists()


def test_sound_results() -> None:
    assert tabulate(TABLE, "metrics/exact/resnet/0/voc.json", json.dumps(METRICS).encode()) == 0
    assert tabulate(MASKS, "judged/scenes.json", json.dumps(JUDGED).encode()) == 0


def write_sound_table(folder: Path) -> bytes:
    write_table(typed("tabulate", TABLE), folder, folder / "t")
    return (folder / "t.md").read_bytes()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_sound_table(tmp_path_factory.mktemp("table"))


@cases(150)
@given(st.data())
def test_a_damaged_table_is_shown_or_refused(table: bytes, data: st.DataObject) -> None:
    with sandbox() as box:
        (box.folder / "t.md").write_bytes(data.draw(damaged(table) | st.binary(max_size=80)))
        box.seediff("show", "t.md")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("models/exact/resnet/0/history.csv", b""),
        ("models/exact/resnet/0/history.csv", b"iteration,loss\n1,high\n"),
        ("models/exact/resnet/0/history.csv", b"\xff\xfe"),
        ("tables/domains.grid.json", b"\xff\xfe"),
        ("tables/domains.grid.json", b'{"name": "t", "rows": 3}'),
        ("tables/domains.verdicts.json", b"[]"),
        ("strips/cat.png", b"GIF"),
        ("judged/scenes.png", b"GIF"),
    ],
)
def test_a_report_of_hostile_parts(path: str, content: bytes) -> None:
    with sandbox() as box:
        write_sound_parts(Path("results"))
        spec = json.dumps(spec_of("report", SMOKE))
        arguments = ("stage", "report", "--spec", spec, "--results", "results", "--output", "out/report.html")
        assert box.seediff(*arguments) == (0, "")
        Path("out/report.html").unlink()
        Path("results", path).write_bytes(content)
        assert box.seediff(*arguments)[0] == 1 and not Path("out/report.html").exists()


def write_sound_parts(results: Path) -> None:
    png = encode_png(np.zeros((2, 2, 3), np.uint8))
    grid = TextGrid("t", "T", "", (Heading("", numeric=False),), (("a",),))
    shown = {"grid.json": as_json(grid), "verdicts.json": as_content(Findings("t", "T", "", "mIoU", repeats=1))}
    files = {
        f"tables/{name}.{kind}": json.dumps(content).encode()
        for name in SMOKE.tables
        for kind, content in shown.items()
    }
    files |= {f"strips/{name}.png": png for name in SMOKE.classes}
    files |= {f"figures/{name}.png": png for name in plan.FIGURES}
    files |= {f"judged/{name}.png": png for name in plan.judges(SMOKE)}
    files |= {f"predictions/{name}.png": png for name in plan.pictured_tables(SMOKE)}
    files |= {f"models/{name}/history.csv": b"iteration,loss\n1,2.0\n2,1.0\n" for name in plan.models(SMOKE)}
    for path, content in files.items():
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_bytes(content)
