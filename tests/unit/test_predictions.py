"""The picture of what segmenters predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seediff.workflow.plan import pictured_runs, pictured_tables
from seediff.workflow.reporting.predictions import Predicted, _grid, write_predictions
from seediff.workflow.study import load_study
from tests.conftest import ROOT


def test_every_row_shows_its_label_maps_over_the_images(tmp_path: Path) -> None:
    images = [np.full((64, 64, 3), shade, np.uint8) for shade in (40, 200)]
    cat, nothing = np.full((64, 64), 1, np.uint8), np.zeros((64, 64), np.uint8)
    predicted = Predicted(["first", "second"], images, {"truth": [cat, nothing], "CAA": [nothing, cat]})
    image_row, truth, caa = _grid(predicted, ["cat", "car"]).rows
    assert [row.title for row in (image_row, truth, caa)] == ["image", "truth", "CAA"]
    for row, coloured in ((image_row, ()), (truth, (0,)), (caa, (1,))):
        for place, tile in enumerate(row.tiles.values()):
            red, green, blue = np.asarray(tile)[32, 32].astype(int)
            assert (red - green > 40) == (place in coloured) and green == blue  # VOC's first colour is a red
    assert [title.split(": ")[1] for title in truth.tiles] == ["cat", "background"]
    write_predictions(predicted, ["cat", "car"], tmp_path / "a.png")
    write_predictions(predicted, ["cat", "car"], tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_table_shows_the_first_run_of_each_row_of_its_benchmark() -> None:
    study = load_study(ROOT / "config/studies/smoke.yaml")
    assert pictured_tables(study) == ["domains"]
    assert {label: (run.recipe, run.repeat) for label, run in pictured_runs(study, "domains").items()} == {
        "tuned": ("tuned", 0),
        "exact masks": ("exact", 0),
    }
